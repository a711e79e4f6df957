package gossip

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"golang.org/x/time/rate"

	"github.com/notarynet/notaryd/node/snapshot"
	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// pullers starts one asking node and some that serve the given backends (nil serves nothing).
func pullers(t *testing.T, adjust func(*Config), backends ...Backend) (*Net, []domain.PublicKey, []*Net) {
	t.Helper()
	nets := meshOf(t, len(backends)+1, accepting, func(_ int, c *Config) {
		c.PullHedge = 2 * time.Second // tests of hedging choose less
		if adjust != nil {
			adjust(c)
		}
	})
	var keys []domain.PublicKey
	for i, b := range backends {
		if b != nil {
			nets[i+1].Serve(t.Context(), b, nil)
		}
		keys = append(keys, nets[i+1].Key())
	}
	return nets[0], keys, nets[1:]
}

func checkID(raw, _ []byte) (domain.Hash, error) { return testID(raw), nil }

func asked(n *Net, p pull, outcome string) float64 {
	return count(n.metrics.Asked.WithLabelValues(p.String(), outcome))
}

func TestPullTransactions(t *testing.T) {
	s := newStore()
	var ids []domain.Hash
	for i := range MaxPullItems {
		raw := fmt.Appendf(nil, "transaction %d", i)
		ids = append(ids, s.put(raw))
		if i%2 == 0 {
			s.proofs[ids[i]] = fmt.Appendf(nil, "proof %d", i)
		}
	}
	n, keys, _ := pullers(t, nil, s)
	for _, proofs := range []bool{false, true} {
		got, err := n.PullTransactions(t.Context(), keys, ids, proofs, checkID)
		if err != nil || len(got) != len(ids) {
			t.Fatalf("%d transactions, %v", len(got), err)
		}
		for i, p := range got {
			if p.ID != ids[i] || string(p.Raw) != fmt.Sprintf("transaction %d", i) {
				t.Fatalf("transaction %d: %q", i, p.Raw)
			}
			if want := proofs && i%2 == 0; want != (p.Proof != nil) {
				t.Errorf("proofs %v: transaction %d has proof %q", proofs, i, p.Proof)
			}
		}
	}
	// No candidates: whoever is connected.
	if got, err := n.PullTransactions(t.Context(), nil, ids[:1], false, checkID); err != nil || len(got) != 1 {
		t.Errorf("without candidates: %d, %v", len(got), err)
	}
	for _, bad := range [][]domain.Hash{nil, make([]domain.Hash, MaxPullItems+1)} {
		if _, err := n.PullTransactions(t.Context(), keys, bad, false, checkID); !errors.Is(err, ErrRequest) {
			t.Errorf("%d ids: %v", len(bad), err)
		}
	}
}

// More than one answer can hold comes in several.
func TestPullBeyondOneAnswer(t *testing.T) {
	s := newStore()
	var ids []domain.Hash
	for i := range 40 {
		raw := bytes.Repeat([]byte{byte(i)}, MaxTransaction)
		ids = append(ids, s.put(raw))
	}
	n, keys, _ := pullers(t, nil, s)
	got, err := n.PullTransactions(t.Context(), keys, ids, false, checkID)
	if err != nil || len(got) != len(ids) {
		t.Fatalf("%d transactions, %v", len(got), err)
	}
	if s.asked < 3 {
		t.Errorf("10 MiB in %d answers of 4", s.asked)
	}
}

func TestPullWithheldGoesOn(t *testing.T) {
	first, second, third := newStore(), newStore(), newStore()
	a, b := first.put([]byte("a")), second.put([]byte("b"))
	missing := testID([]byte("nobody has this"))
	n, keys, _ := pullers(t, nil, first, second, third, nil)
	got, err := n.PullTransactions(t.Context(), keys, []domain.Hash{b, missing, a}, false, checkID)
	if !errors.Is(err, ErrMissing) || len(got) != 2 || string(got[0].Raw) != "b" || string(got[1].Raw) != "a" {
		t.Fatalf("got %v, %v", got, err)
	}
	for _, k := range keys {
		if p := n.ledger.points(k, time.Now()); p != 0 {
			t.Errorf("having nothing cost %v points", p)
		}
	}
	if asked(n, pullTx, "empty") != 1 || asked(n, pullTx, "unreachable") != 1 {
		t.Errorf("empty %v, unreachable %v", asked(n, pullTx, "empty"), asked(n, pullTx, "unreachable"))
	}
}

func TestPullWrongAnswerCosts(t *testing.T) {
	liar, honest := newStore(), newStore()
	id := honest.put([]byte("right"))
	liar.transactions[id] = []byte("wrong")
	n, keys, _ := pullers(t, nil, liar, honest)
	for name, check := range map[string]func(raw, proof []byte) (domain.Hash, error){
		"another id": checkID,
		"refused by the check": func(raw, _ []byte) (domain.Hash, error) {
			if string(raw) == "wrong" {
				return id, errors.New("does not verify")
			}
			return id, nil
		},
	} {
		before := n.ledger.points(keys[0], time.Now())
		got, err := n.PullTransactions(t.Context(), keys, []domain.Hash{id}, false, check)
		if err != nil || len(got) != 1 || string(got[0].Raw) != "right" {
			t.Fatalf("%s: %v, %v", name, got, err)
		}
		if after := n.ledger.points(keys[0], time.Now()); after-before < 24 {
			t.Errorf("%s: points went from %v to %v", name, before, after)
		}
	}
	if p := n.ledger.points(keys[1], time.Now()); p != 0 {
		t.Errorf("the honest node has %v points", p)
	}
}

// Four wrong answers shut a stranger out, but not a member.
func TestLiarIsShutOut(t *testing.T) {
	for _, member := range []bool{false, true} {
		liar := newStore()
		id := testID([]byte("right"))
		liar.transactions[id] = []byte("wrong")
		n, keys, _ := pullers(t, nil, liar)
		if member {
			n.SetMembers(keys)
		}
		for range 4 {
			if _, err := n.PullTransactions(t.Context(), keys, []domain.Hash{id}, false, checkID); !errors.Is(err, ErrMissing) {
				t.Fatal(err)
			}
		}
		if member {
			if count(n.metrics.Bans) != 0 || len(n.Peers()) != 1 {
				t.Error("a member was banned")
			}
			continue
		}
		eventually(t, "shut out", func() bool { return len(n.Peers()) == 0 })
	}
}

// pulledPast is a node that has pulled a transaction in time past so many silent peers that were asked first, with their keys.
func pulledPast(t *testing.T, count int) (*Net, []domain.PublicKey) {
	t.Helper()
	silent, quick := newStore(), newStore()
	silent.wait = make(chan struct{})
	id := quick.put([]byte("tx"))
	n, keys, _ := pullers(t, func(c *Config) { c.PullHedge = 20 * time.Millisecond }, append(slices.Repeat([]Backend{silent}, count), quick)...)
	start := time.Now()
	got, err := n.PullTransactions(t.Context(), keys, []domain.Hash{id}, false, checkID)
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if took := time.Since(start); took >= n.config.PullTimeout {
		t.Errorf("took %v", took)
	}
	return n, keys
}

// A silent peer costs the hedge, not the timeout.
func TestPullHedgesSilence(t *testing.T) {
	n, keys := pulledPast(t, 1)
	// It was cancelled before its time, so it is not to blame.
	eventually(t, "cancelled", func() bool { return asked(n, pullTx, "cancelled") == 1 })
	if p := n.ledger.points(keys[0], time.Now()); p != 0 {
		t.Errorf("%v points", p)
	}
}

// More silent peers than are asked side by side hold nobody up until their time is over.
func TestPullBeyondSilentLanes(t *testing.T) { pulledPast(t, maxParallel+1) }

// A peer that answers in time is not blamed for what waited here for its turn.
func TestPullWaitsAtItsOwnExpense(t *testing.T) {
	simulated(t, 2, time.Millisecond, func(t *testing.T, world *sim) { // a machine that stood still would be late with an answer
		shape := func(c *Config) {
			c.PullsPerPeer, c.PullTimeout, c.PullHedge = 1, time.Second, 900*time.Millisecond
		}
		n, server := world.start(t, 0, shape), world.start(t, 1, shape)
		steady := newStore()
		steady.wait = make(chan struct{})
		id := steady.put([]byte("tx"))
		server.Serve(t.Context(), steady, nil)
		awaitNeighbours(t, n, 1)
		stop, ended := make(chan struct{}), make(chan struct{})
		defer func() { close(stop); <-ended }()
		go func() {
			defer close(ended)
			for {
				time.Sleep(600 * time.Millisecond) // each answer, by the fake clock
				select {
				case steady.wait <- struct{}{}:
				case <-stop:
					return
				}
			}
		}()
		done := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := n.PullTransactions(t.Context(), []domain.PublicKey{server.Key()}, []domain.Hash{id}, false, checkID)
				done <- err
			}()
		}
		for range 2 {
			if err := receive(t, done); err != nil {
				t.Error(err)
			}
		}
		if p := n.ledger.points(server.Key(), time.Now()); p != 0 {
			t.Errorf("%v points", p)
		}
	})
}

// Whoever has a lot to fetch from one peer keeps to what that serves, and is not taken for a flood.
func TestPullKeepsToItsShare(t *testing.T) {
	s := newStore()
	var ids []domain.Hash
	for i := range 4 {
		ids = append(ids, s.put(bytes.Repeat([]byte{byte(i)}, MaxTransaction)))
	}
	n, keys, servers := pullers(t, func(c *Config) { c.PullRate = 1 << 20 }, s)
	for i := range 6 {
		if got, err := n.PullTransactions(t.Context(), keys, ids, false, checkID); err != nil {
			t.Fatalf("pull %d: %d transactions, %v", i, len(got), err)
		}
	}
	if p := servers[0].ledger.points(n.key, time.Now()); p != 0 {
		t.Errorf("%v points", p)
	}
}

// What a peer served that was not waited for counts for it, and so it does here: whoever always asks a slow one first, and has its
// answers of others, is not taken for a flood.
func TestPullCountsWhatIsNotAwaited(t *testing.T) {
	slow, quick := newStore(), newStore()
	slow.wait = make(chan struct{})
	var ids []domain.Hash
	for i := range 4 {
		raw := bytes.Repeat([]byte{byte(i)}, MaxTransaction)
		ids = append(ids, quick.put(raw))
		slow.put(raw)
	}
	n, keys, servers := pullers(t, func(c *Config) { c.PullRate, c.PullHedge = 1<<20, 20*time.Millisecond }, slow, quick)
	servers[1].budgets = newBudgets(1 << 30) // nothing is in its way
	n.answers.peers[keys[1]] = rate.NewLimiter(rate.Inf, 0)
	serves := func() bool {
		servers[0].serving.mu.Lock()
		defer servers[0].serving.mu.Unlock()
		return len(servers[0].serving.peers) > 0
	}
	for i := range 8 {
		if got, err := n.PullTransactions(t.Context(), keys, ids, false, checkID); err != nil {
			t.Fatalf("pull %d: %d transactions, %v", i, len(got), err)
		}
		for serves() {
			select {
			case slow.wait <- struct{}{}:
			case <-time.After(time.Millisecond):
			}
		}
	}
	if asked(n, pullTx, "cancelled") == 0 {
		t.Error("the slow one was not asked")
	}
	if p := servers[0].ledger.points(n.key, time.Now()); p != 0 {
		t.Errorf("%v points", p)
	}
}

func TestPullTimeoutCostsLittle(t *testing.T) {
	silent := newStore()
	silent.wait = make(chan struct{})
	n, keys, _ := pullers(t, func(c *Config) { c.PullTimeout, c.PullHedge = 100*time.Millisecond, 50*time.Millisecond }, silent)
	_, err := n.PullTransactions(t.Context(), keys, []domain.Hash{{1}}, false, checkID)
	if !errors.Is(err, ErrMissing) {
		t.Fatal(err)
	}
	// The server's own deadline ends at about the same time, and may be first to say so.
	if p := n.ledger.points(keys[0], time.Now()); p > 1 {
		t.Errorf("%v points", p)
	}
	if asked(n, pullTx, "timeout")+asked(n, pullTx, "unreachable") != 1 {
		t.Error("attempt not counted")
	}
}

func TestPullEndsWithItsContext(t *testing.T) {
	silent := newStore()
	silent.wait = make(chan struct{})
	n, keys, _ := pullers(t, nil, silent)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := n.PullTransactions(ctx, keys, []domain.Hash{{1}}, false, checkID); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestUntilAsksForSomething: where another peer answers first, side by side, nothing is asked for that is here by then.
func TestUntilAsksForSomething(t *testing.T) {
	left := []uint64{1, 2}
	missing := func() []uint64 {
		now := left
		left = nil // another peer's answer comes
		return now
	}
	asked := 0
	enough := until(missing, func(keys []uint64) (int, bool) {
		if asked++; len(keys) == 0 {
			t.Error("an empty request")
		}
		return MaxPullResponse, true
	})
	if !enough || asked != 1 {
		t.Errorf("enough %v after %d requests", enough, asked)
	}
}

func TestPullObservations(t *testing.T) {
	s := newStore()
	raw := func(h uint64) []byte { return binary.BigEndian.AppendUint64([]byte("observation "), h) }
	height := func(b []byte) (uint64, error) { return binary.BigEndian.Uint64(b[len(b)-8:]), nil }
	for h := uint64(1); h <= 300; h++ {
		if h != 7 {
			s.observations[h] = raw(h)
		}
	}
	other := newStore()
	other.observations[7] = raw(7)
	n, keys, _ := pullers(t, nil, s, other)
	r := Range{Key: testKey(3).Public(), SigningEpoch: 2, From: 1, To: 256}
	got, err := n.PullObservations(t.Context(), keys, r, height)
	if err != nil || len(got) != 256 {
		t.Fatalf("%d observations, %v", len(got), err)
	}
	for i, o := range got {
		if o.Height != uint64(i+1) || !bytes.Equal(o.Raw, raw(o.Height)) {
			t.Fatalf("observation %d is %d", i, o.Height)
		}
	}
	for _, bad := range []Range{{From: 2, To: 1}, {From: 1, To: 257}} {
		if _, err := n.PullObservations(t.Context(), keys, bad, height); !errors.Is(err, ErrRequest) {
			t.Errorf("%d to %d: %v", bad.From, bad.To, err)
		}
	}
	// Out of range, and out of order.
	for name, wrong := range map[string]map[uint64][]byte{
		"out of range": {10: raw(11)},
		"out of order": {10: raw(11), 11: raw(10)},
		"twice":        {10: raw(10), 11: raw(10)},
	} {
		s.observations = wrong
		before := n.ledger.points(keys[0], time.Now())
		to := uint64(9 + len(wrong))
		if _, err := n.PullObservations(t.Context(), keys[:1], Range{From: 10, To: to}, height); !errors.Is(err, ErrMissing) {
			t.Errorf("%s: %v", name, err)
		}
		if after := n.ledger.points(keys[0], time.Now()); after-before < 24 {
			t.Errorf("%s cost %v points", name, after-before)
		}
	}
}

func TestPullHeads(t *testing.T) {
	s := newStore()
	for i := range 1000 {
		s.heads = append(s.heads, Head{Key: testKey(i).Public(), SigningEpoch: uint32(i % 3), Height: uint64(i), Hash: domain.Hash{byte(i)}})
	}
	n, keys, _ := pullers(t, nil, s, nil)
	got, err := n.PullHeads(t.Context(), keys[0])
	if err != nil || !slices.Equal(got, s.heads) {
		t.Fatalf("%d heads, %v", len(got), err)
	}
	if _, err := n.PullHeads(t.Context(), keys[1]); !errors.Is(err, ErrMissing) {
		t.Errorf("from a node that serves nothing: %v", err)
	}
}

// rogue answers every pull with a frame of its own making.
func rogue(t *testing.T, n *Net, write func(s network.Stream)) domain.PublicKey {
	t.Helper()
	s := newStranger(t, n, 99)
	for p := range numPulls {
		s.SetStreamHandler(pullProtocol(testNetwork, p), func(st network.Stream) {
			if _, err := readFrame(st, maxRequest); err == nil {
				write(st)
			}
			st.Close()
		})
	}
	return testKey(99).Public()
}

func TestRogueServers(t *testing.T) {
	ok := appendBytes(nil, tag1Bytes, appendBytes(nil, tag1Bytes, []byte("tx")))
	frame := func(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }
	for name, answer := range map[string][]byte{
		"oversized":          binary.AppendUvarint(nil, MaxPullResponse+1),
		"length not minimal": {0x81, 0x00, 0x00},
		"truncated":          frame(ok)[:len(ok)-1],
		"trailing bytes":     append(frame(ok), 0),
		"not canonical":      frame(append(slices.Clone(ok), tag2Varint, 0)),
		"unasked":            frame(ok),
		"unasked proof":      frame(appendBytes(nil, tag1Bytes, appendBytes(appendBytes(nil, tag1Bytes, []byte("right")), tag2Bytes, []byte("proof")))),
	} {
		t.Run(name, func(t *testing.T) {
			n := startNet(t, testConfig(0), judge{})
			key := rogue(t, n, func(s network.Stream) { s.Write(answer) })
			got, err := n.PullTransactions(t.Context(), []domain.PublicKey{key}, []domain.Hash{testID([]byte("right"))}, false, checkID)
			if len(got) != 0 || !errors.Is(err, ErrMissing) {
				t.Fatalf("got %v, %v", got, err)
			}
			if p := n.ledger.points(key, time.Now()); p < 24 {
				t.Errorf("%v points, outcomes wrong %v", p, asked(n, pullTx, "wrong"))
			}
		})
	}
}

func TestRogueClients(t *testing.T) {
	s := newStore()
	n := startNet(t, testConfig(0), judge{})
	n.Serve(t.Context(), s, nil)
	client := newStranger(t, n, 9)
	key := testKey(9).Public()
	id := domain.Hash{1}
	tooMany := bytes.Repeat(appendBytes(nil, tag1Bytes, id[:]), MaxPullItems+1)
	frame := func(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }
	cases := map[string]struct {
		p       pull
		request []byte
	}{
		"oversized":     {pullTx, binary.AppendUvarint(nil, maxRequest+1)},
		"too many ids":  {pullTx, frame(tooMany)},
		"not canonical": {pullHeadsP, frame([]byte{tag2Varint, 1})},
	}
	before := 0.0
	for name, c := range cases {
		st, err := client.NewStream(t.Context(), n.host.ID(), pullProtocol(testNetwork, c.p))
		if err != nil {
			t.Fatal(err)
		}
		st.Write(c.request)
		st.CloseWrite()
		st.SetReadDeadline(time.Now().Add(patience))
		if _, err := st.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: answered", name)
		}
		eventually(t, name, func() bool { return n.ledger.points(key, time.Now()) > before+20 })
		before = n.ledger.points(key, time.Now())
	}
	if s.asked != 0 {
		t.Errorf("the backend was asked %d times", s.asked)
	}
}

// One peer has PullsPerPeer answers in the making and no more.
func TestServerBoundsPullsInFlight(t *testing.T) {
	s := newStore()
	s.wait = make(chan struct{})
	c := testConfig(0)
	c.PullsPerPeer = 2
	n := startNet(t, c, judge{})
	n.Serve(t.Context(), s, nil)
	client := newStranger(t, n, 9)
	id := domain.Hash{1}
	request := appendBytes(nil, tag1Bytes, id[:])
	var streams []network.Stream
	for range 3 {
		st, err := client.NewStream(t.Context(), n.host.ID(), pullProtocol(testNetwork, pullTx))
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFrame(st, request); err != nil {
			t.Fatal(err)
		}
		st.CloseWrite()
		streams = append(streams, st)
	}
	eventually(t, "the third refused", func() bool {
		return count(n.metrics.Served.WithLabelValues("tx", "busy")) == 1
	})
	close(s.wait)
	answered := 0
	for _, st := range streams {
		st.SetReadDeadline(time.Now().Add(patience))
		if b, err := readFrame(st, MaxPullResponse); err == nil && len(b) == 0 {
			answered++
		}
	}
	if answered != 2 {
		t.Errorf("%d answered, want 2", answered)
	}
}

// Small questions with large answers run out of budget.
func TestServerBoundsBytes(t *testing.T) {
	s := newStore()
	id := s.put(bytes.Repeat([]byte{1}, MaxTransaction))
	n, keys, servers := pullers(t, nil, s)
	n.answers = newBudgets(1 << 30) // it keeps to no share
	servers[0].budgets.peers[n.key] = rate.NewLimiter(rate.Every(time.Hour), 4*MaxTransaction)
	for i := 0; asked(n, pullTx, "busy") == 0; i++ { // on a slow machine an answer may come too late to be heard
		if i > 40 {
			t.Fatal("10 MiB where there was 1, or the asker was not told why it got no more")
		}
		n.PullTransactions(t.Context(), keys, []domain.Hash{id}, false, checkID)
	}
	eventually(t, "refused for that", func() bool { return count(servers[0].metrics.Served.WithLabelValues("tx", "limited")) > 0 })
}

func TestAnswersAreCanonical(t *testing.T) {
	s := newStore()
	id := s.put([]byte("tx"))
	s.proofs[id] = []byte("proof")
	s.observations[0], s.observations[1] = []byte("zero"), []byte("one")
	s.heads = []Head{{Key: testKey(0).Public()}, {Key: testKey(1).Public(), SigningEpoch: 1, Height: 300, Hash: domain.Hash{2}}}
	s.votes = [][]byte{[]byte("vote"), []byte("another")}
	s.finals[Final{Tx: id, Round: 3, Link: domain.Hash{9}}] = []byte("final")
	link := domain.Hash{9}
	key := testKey(0).Public()
	marshal := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	requests := [numPulls][]byte{
		pullTx:     marshal(canonical.Marshal(&notaryv1.PullTransactionsRequest{Ids: [][]byte{id[:]}, WithProofs: true})),
		pullObs:    marshal(canonical.Marshal(&notaryv1.PullObservationsRequest{NodeKey: key[:], ToHeight: 255})),
		pullHeadsP: marshal(canonical.Marshal(&notaryv1.PullHeadsRequest{})),
		pullVotes: marshal(canonical.Marshal(&notaryv1.PullVotesRequest{
			TransactionId: id[:], Round: 3, Link: link[:], State: uint32(accepted)})),
		pullFinal: marshal(canonical.Marshal(&notaryv1.PullFinalRequest{TransactionId: id[:], Round: 3, Link: link[:]})),
		pullSet: marshal(canonical.Marshal(&notaryv1.PullSetRequest{
			Ranges: []*notaryv1.SetRange{{From: make([]byte, 32), To: make([]byte, 32), Digest: bytes.Repeat([]byte{7}, 16), Count: 5}}})),
		pullSnapshots: marshal(canonical.Marshal(&notaryv1.PullSnapshotsRequest{})),
		pullPiece:     marshal(canonical.Marshal(&notaryv1.PullPieceRequest{Manifest: link[:], Piece: 300})),
	}
	offer := snapshot.Offer{Manifest: id, Link: link, TimeMS: 5, Signature: domain.Signature{1}}
	s.offers = Snapshots{Offers: []snapshot.Offer{offer}, Links: []domain.Hash{link}}
	s.pieces = map[uint32][]byte{300: []byte("piece")}
	if b := encodePiece(link, 300); !bytes.Equal(b, requests[pullPiece]) {
		t.Errorf("piece encodes to %x, want %x", b, requests[pullPiece])
	}
	s.set = ids{link}
	if r := (setsync.Range{Digest: setsync.Digest(bytes.Repeat([]byte{7}, 16)), Count: 5}); !bytes.Equal(appendBytes(nil, tag1Bytes, appendRange(nil, &r)), requests[pullSet]) {
		t.Errorf("range of ids encodes to %x", appendRange(nil, &r))
	}
	if f := (Final{Tx: id, Round: 3, Link: link}); !bytes.Equal(f.encode(), requests[pullFinal]) {
		t.Errorf("final encodes to %x, want %x", f.encode(), requests[pullFinal])
	}
	if v := (Votes{Tx: id, Round: 3, Link: link, State: accepted}); !bytes.Equal(v.encode(), requests[pullVotes]) {
		t.Errorf("votes encode to %x, want %x", v.encode(), requests[pullVotes])
	}
	if r := (Range{Key: key, To: 255}); !bytes.Equal(r.encode(), requests[pullObs]) {
		t.Errorf("range encodes to %x, want %x", r.encode(), requests[pullObs])
	}
	wants := [numPulls][]byte{
		pullTx: marshal(canonical.Marshal(&notaryv1.PullTransactionsResponse{
			Transactions: []*notaryv1.PulledTransaction{{Transaction: []byte("tx"), Proof: []byte("proof")}}})),
		pullObs:   marshal(canonical.Marshal(&notaryv1.PullObservationsResponse{Observations: [][]byte{[]byte("zero"), []byte("one")}})),
		pullVotes: marshal(canonical.Marshal(&notaryv1.PullObservationsResponse{Observations: s.votes})),
		pullFinal: marshal(canonical.Marshal(&notaryv1.PullFinalResponse{Signature: []byte("final")})),
		pullSet: marshal(canonical.Marshal(&notaryv1.PullSetResponse{Answered: 1, Ranges: []*notaryv1.SetAnswer{
			{From: make([]byte, 32), To: make([]byte, 32), Listed: true, Ids: [][]byte{link[:]}}}})),
		pullSnapshots: marshal(canonical.Marshal(&notaryv1.PullSnapshotsResponse{
			Snapshots: []*notaryv1.SnapshotOffer{{Manifest: id[:], Link: link[:], TimeMs: 5, Signature: offer.Signature[:]}},
			Links:     [][]byte{link[:]}})),
		pullPiece: marshal(canonical.Marshal(&notaryv1.PullPieceResponse{Piece: []byte("piece")})),
	}
	var heads notaryv1.PullHeadsResponse
	for _, h := range s.heads {
		heads.Heads = append(heads.Heads, &notaryv1.ChainHead{NodeKey: h.Key[:], SigningEpoch: h.SigningEpoch, Height: h.Height, Hash: h.Hash[:]})
	}
	wants[pullHeadsP] = marshal(canonical.Marshal(&heads))
	for p := range numPulls {
		if got := marshal(answer(t.Context(), p, domain.PublicKey{}, requests[p], s)); !bytes.Equal(got, wants[p]) {
			t.Errorf("%s: %x, want %x", p, got, wants[p])
		}
	}
}

func FuzzRequests(f *testing.F) {
	s := newStore()
	id := s.put([]byte("tx"))
	f.Add(uint8(pullTx), appendBytes(nil, tag1Bytes, id[:]))
	f.Add(uint8(pullObs), Range{Key: testKey(0).Public(), From: 1, To: 2}.encode())
	f.Add(uint8(pullHeadsP), []byte{})
	f.Add(uint8(pullVotes), Votes{Tx: id, Round: 1, Link: domain.Hash{1}, State: accepted}.encode())
	f.Add(uint8(pullFinal), Final{Tx: id, Round: 1, Link: domain.Hash{1}}.encode())
	f.Add(uint8(pullSet), appendBytes(nil, tag1Bytes, appendRange(nil, &setsync.Range{Count: 1})))
	f.Add(uint8(pullSnapshots), []byte{})
	f.Add(uint8(pullPiece), encodePiece(domain.Hash{1}, 1))
	s.pieces = map[uint32][]byte{1: []byte("piece")}
	s.set = ids{id}
	s.votes = [][]byte{[]byte("vote")}
	s.finals[Final{Tx: id, Round: 1, Link: domain.Hash{1}}] = []byte("final")
	f.Fuzz(func(t *testing.T, p uint8, request []byte) {
		k := pull(p % uint8(numPulls))
		response, err := answer(context.Background(), k, domain.PublicKey{}, request, s)
		if err != nil {
			if !errors.Is(err, errRequest) {
				t.Fatal(err)
			}
			return
		}
		if err := responseSchemas[k].Check(response); err != nil {
			t.Fatalf("answer is not canonical: %v", err)
		}
	})
}

func FuzzSplitBatch(f *testing.F) {
	f.Add(appendBytes(nil, tagBatch, []byte("tx")))
	f.Add([]byte{tagBatch, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		raws, ok := splitBatch(data)
		var m notaryv1.TransactionBatch
		err := batchSchema.Unmarshal(data, &m)
		if ok && err != nil {
			t.Fatalf("split what is not canonical: %v", err)
		}
		if !ok {
			if err == nil && len(m.Transactions) > 0 && !slices.ContainsFunc(m.Transactions, func(b []byte) bool { return len(b) == 0 }) {
				t.Fatal("refused a good batch")
			}
			return
		}
		if !slices.EqualFunc(raws, m.Transactions, bytes.Equal) {
			t.Fatalf("split into %x, want %x", raws, m.Transactions)
		}
		var b batch
		for _, raw := range raws {
			b.add(raw)
		}
		if again, _ := b.take(); !bytes.Equal(again, data) {
			t.Fatalf("joined to %x, want %x", again, data)
		}
	})
}
