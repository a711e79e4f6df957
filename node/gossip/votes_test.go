package gossip

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

const (
	pending  = notaryv1.VoteState_VOTE_STATE_PENDING
	accepted = notaryv1.VoteState_VOTE_STATE_ACCEPTED
)

var someVotes = Votes{Tx: domain.Hash{1}, Round: 2, Link: domain.Hash{3}, State: pending}

// voteOf is what passes for an observation of a voter in these tests; version tells forks apart.
func voteOf(voter int, version byte) []byte {
	key := testKey(voter).Public()
	return append(key[:], version)
}

// quorum is a check that calls it enough at that many voters.
func quorum(most int) func(raw []byte) (domain.PublicKey, bool, error) {
	seen := map[domain.PublicKey]bool{}
	return func(raw []byte) (domain.PublicKey, bool, error) {
		if len(raw) < 33 {
			return domain.PublicKey{}, false, errors.New("not an observation")
		}
		key := domain.PublicKey(raw[:32])
		seen[key] = true
		return key, len(seen) >= most, nil
	}
}

// Votes are gathered from one peer after the other until they are enough; the first of a voter's forks is kept.
func TestPullVotes(t *testing.T) {
	first, second, third := newStore(), newStore(), newStore()
	first.votes = [][]byte{voteOf(1, 0), voteOf(2, 0)}
	second.votes = [][]byte{voteOf(2, 7), voteOf(3, 7)}
	third.votes = [][]byte{voteOf(4, 0)}
	n, keys, _ := pullers(t, nil, first, second, third)
	got, err := n.PullVotes(t.Context(), keys, someVotes, quorum(3))
	want := [][]byte{voteOf(1, 0), voteOf(2, 0), voteOf(3, 7)}
	if err != nil || !slices.EqualFunc(got, want, bytes.Equal) {
		t.Fatalf("got %x, %v", got, err)
	}
	if third.asked != 0 {
		t.Error("another was asked when it was enough")
	}
	got, err = n.PullVotes(t.Context(), keys, someVotes, quorum(5))
	if !errors.Is(err, ErrMissing) || len(got) != 4 {
		t.Fatalf("%d, %v", len(got), err)
	}
	for _, k := range keys {
		if p := n.ledger.points(k, time.Now()); p != 0 {
			t.Errorf("not having all cost %v points", p)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.PullVotes(ctx, keys, someVotes, quorum(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, state := range []notaryv1.VoteState{0, 3, 4, 5, -1} {
		v := someVotes
		v.State = state
		if _, err := n.PullVotes(t.Context(), keys, v, quorum(1)); !errors.Is(err, ErrRequest) {
			t.Errorf("state %d: %v", state, err)
		}
	}
}

// More votes than one answer holds come in several, since answers start anywhere.
func TestPullVotesBeyondOneAnswer(t *testing.T) {
	s := newStore()
	s.rotate = true
	for i := range MaxPullItems + 100 {
		s.votes = append(s.votes, voteOf(i, 0))
	}
	n, keys, _ := pullers(t, nil, s)
	got, err := n.PullVotes(t.Context(), keys, someVotes, quorum(len(s.votes)))
	if err != nil || len(got) != len(s.votes) {
		t.Fatalf("%d votes, %v", len(got), err)
	}
	if s.asked < 2 {
		t.Errorf("%d answers", s.asked)
	}
	// Answers that bring nothing new end it.
	s.rotate, s.asked = false, 0
	if got, err := n.PullVotes(t.Context(), keys, someVotes, quorum(math.MaxInt)); !errors.Is(err, ErrMissing) || len(got) != MaxPullItems {
		t.Fatalf("%d votes, %v", len(got), err)
	}
	if s.asked != 2 {
		t.Errorf("asked %d times for the same", s.asked)
	}
}

func TestPullVotesWrongAnswerCosts(t *testing.T) {
	for name, votes := range map[string][][]byte{
		"refused by the check":   {voteOf(1, 0), []byte("wrong")},
		"two of a voter at once": {voteOf(1, 0), voteOf(1, 1)},
	} {
		liar, honest := newStore(), newStore()
		liar.votes, honest.votes = votes, [][]byte{voteOf(2, 0)}
		n, keys, _ := pullers(t, nil, liar, honest)
		got, err := n.PullVotes(t.Context(), keys, someVotes, quorum(2))
		if err != nil || !slices.EqualFunc(got, [][]byte{voteOf(1, 0), voteOf(2, 0)}, bytes.Equal) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
		if p := n.ledger.points(keys[0], time.Now()); p < 24 {
			t.Errorf("%s cost %v points", name, p)
		}
		if p := n.ledger.points(keys[1], time.Now()); p != 0 {
			t.Errorf("%s: the honest node has %v points", name, p)
		}
	}
}

func TestVotesRequests(t *testing.T) {
	for _, v := range []Votes{
		someVotes,
		{State: pending},
		{Tx: domain.Hash{255}, Round: math.MaxUint32, Link: domain.Hash{1}, State: accepted},
	} {
		if got, ok := decodeVotes(v.encode()); !ok || got != v {
			t.Errorf("%+v comes back as %+v, %v", v, got, ok)
		}
	}
	hash := make([]byte, 32)
	for name, m := range map[string]*notaryv1.PullVotesRequest{
		"no transaction": {Link: hash, State: 1},
		"no link":        {TransactionId: hash, State: 1},
		"no state":       {TransactionId: hash, Link: hash},
		"abstain":        {TransactionId: hash, Link: hash, State: 3},
		"far state":      {TransactionId: hash, Link: hash, State: math.MaxUint32},
	} {
		raw, err := canonical.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := answer(t.Context(), pullVotes, domain.PublicKey{}, raw, newStore()); !errors.Is(err, errRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// hints starts a node that keeps up to room hints.
func hints(t *testing.T, room int) (*Net, chan FinalHint) {
	t.Helper()
	taken := make(chan FinalHint, room)
	n := startNet(t, testConfig(0), judge{})
	n.Serve(t.Context(), newStore(), func(from domain.PublicKey, h FinalHint) bool {
		if from == n.Key() {
			t.Error("a hint of its own")
		}
		return offer(taken, h)
	})
	return n, taken
}

func TestHint(t *testing.T) {
	n, taken := hints(t, 1)
	c := testConfig(1)
	c.Bootstrap = n.Addrs()
	sender := startNet(t, c, judge{})
	awaitNeighbours(t, sender, 1)
	want := FinalHint{Tx: domain.Hash{1}, Round: 7, Link: domain.Hash{2}}
	if err := sender.Hint(t.Context(), n.Key(), want); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, taken); got != want {
		t.Errorf("got %+v", got)
	}
	// What there is no room for is dropped, and nobody is blamed.
	for range 2 {
		if err := sender.Hint(t.Context(), n.Key(), want); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "one dropped", func() bool { return count(n.metrics.Hints.WithLabelValues("dropped")) == 1 })
	if p := n.ledger.points(sender.Key(), time.Now()); p != 0 {
		t.Errorf("%v points", p)
	}
	if got := count(sender.metrics.Hints.WithLabelValues("sent")); got != 3 {
		t.Errorf("%v sent", got)
	}
	// One who serves nothing cannot be told.
	if err := n.Hint(t.Context(), sender.Key(), want); !errors.Is(err, errUnreachable) {
		t.Errorf("to a node that serves nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sender.Hint(ctx, n.Key(), want); err == nil {
		t.Error("sent after its context")
	}
}

// A node sends no peer so many hints that it looks like a flood.
func TestHintsAreRationed(t *testing.T) {
	n, _ := hints(t, 1)
	c := testConfig(1)
	c.Bootstrap = n.Addrs()
	sender := startNet(t, c, judge{})
	awaitNeighbours(t, sender, 1)
	var err error
	for i := 0; err == nil; i++ {
		if i > 100*hintRate {
			t.Fatal("no end")
		}
		err = sender.Hint(t.Context(), n.Key(), FinalHint{Round: uint32(i)})
		if crowded := new(network.StreamError); errors.As(err, &crowded) && crowded.ErrorCode == network.StreamResourceLimitExceeded {
			time.Sleep(time.Millisecond) // on a busy machine more are open than one peer may have, until they are read
			err = nil
		}
	}
	if !errors.Is(err, ErrTooManyHints) {
		t.Fatal(err)
	}
	if limited := count(n.metrics.Hints.WithLabelValues("limited")); limited != 0 || n.ledger.points(sender.Key(), time.Now()) != 0 {
		t.Errorf("%v over the limit of the receiver", limited)
	}
}

// sayHint sends bytes as a hint and reports whether they were read without complaint.
func sayHint(t *testing.T, s *stranger, n *Net, frame []byte) bool {
	t.Helper()
	st, err := s.NewStream(t.Context(), n.host.ID(), hintProtocol(testNetwork))
	if err != nil {
		return false
	}
	defer st.Reset()
	st.SetDeadline(time.Now().Add(patience))
	if _, err := st.Write(frame); err != nil {
		return false
	}
	st.CloseWrite()
	var reset *network.StreamError
	_, err = st.Read(make([]byte, 1))
	return err != nil && !errors.As(err, &reset)
}

func TestHintFloodCostsTheConnection(t *testing.T) {
	n, _ := hints(t, 1)
	s := newStranger(t, n, 9)
	h := FinalHint{Tx: domain.Hash{1}}.encode()
	frame := append(binary.AppendUvarint(nil, uint64(len(h))), h...)
	sent := 0
	for sayHint(t, s, n, frame) {
		if sent++; sent > 100*hintRate {
			t.Fatal("no end")
		}
	}
	if sent < burstSeconds*hintRate {
		t.Errorf("refused after %d", sent)
	}
	// It goes on; what it may have again meanwhile costs it nothing.
	for more := 0; count(n.metrics.Bans) == 0; more++ {
		if more > 100*hintRate {
			t.Fatal("a flood costs nothing")
		}
		sayHint(t, s, n, frame)
	}
	eventually(t, "shut out", func() bool { return len(n.host.Network().ConnsToPeer(s.ID())) == 0 })
}

func TestMalformedHints(t *testing.T) {
	n, taken := hints(t, 16)
	s := newStranger(t, n, 9)
	frame := func(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }
	good := FinalHint{Tx: domain.Hash{1}, Link: domain.Hash{2}}.encode()
	var names []string
	cases := map[string][]byte{
		"oversized":      binary.AppendUvarint(nil, maxHint+1),
		"no link":        frame(good[:34]),
		"unknown field":  frame(append(slices.Clone(good), 4<<3, 1)),
		"trailing bytes": append(frame(good), 0),
	}
	for name := range cases {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		if sayHint(t, s, n, cases[name]) && i < 3 {
			t.Errorf("%s: read without complaint", name)
		}
		eventually(t, name, func() bool { return count(n.metrics.Hints.WithLabelValues("malformed")) == float64(i+1) })
	}
	if len(taken) != 0 {
		t.Errorf("%d taken", len(taken))
	}
	if p := count(n.metrics.Offences.WithLabelValues("malformed")); p != float64(len(names)) {
		t.Errorf("%v offences", p)
	}
}

// A new peer is announced once, however many connections it makes.
func TestArrivals(t *testing.T) {
	n := startNet(t, testConfig(0), judge{})
	for i := 1; i <= 3; i++ {
		c := testConfig(i)
		c.Bootstrap = n.Addrs()
		other := startNet(t, c, judge{})
		if got := receive(t, n.Arrivals()); got != other.Key() {
			t.Errorf("%s arrived, want %s", got, other.Key())
		}
	}
}

func FuzzHint(f *testing.F) {
	f.Add(FinalHint{Tx: domain.Hash{1}, Round: 300, Link: domain.Hash{2}}.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, ok := decodeHint(raw)
		var m notaryv1.FinalHint
		err := hintSchema.Unmarshal(raw, &m)
		if want := err == nil && len(m.TransactionId) == 32 && len(m.Link) == 32; ok != want {
			t.Fatalf("decoded %v, want %v", ok, want)
		}
		if ok && !bytes.Equal(h.encode(), raw) {
			t.Fatalf("%s comes back as %x", fmt.Sprintf("%x", raw), h.encode())
		}
	})
}
