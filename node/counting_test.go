package node

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// booth is one shard of the tallies among four voters of equal weight.
type booth struct {
	*countingShard
	net   *kit.Network
	asked []domain.Hash
	heard []conflict.Vote

	accepts  bool // what certificates lead to is asked for at once
	accepted []conflict.Milestone
}

func newBooth(linger time.Duration) *booth {
	b := &booth{net: kit.New("booth", kit.Equal(4)...)}
	c := newCounting(1, nil, newLately(), linger, newDirectory(), NewMetrics(prometheus.NewRegistry()), listeners{
		joined:  func(*flight) {},
		accept:  func(_ *flight, m conflict.Milestone) bool { b.accepted = append(b.accepted, m); return b.accepts },
		finish:  func(*flight, finality) bool { return false },
		unknown: func(tx domain.Hash, _ domain.PublicKey) { b.asked = append(b.asked, tx) },
		hear:    func(_ context.Context, votes []conflict.Vote) { b.heard = append(b.heard, votes...) },
	})
	b.countingShard = c.shards[0]
	return b
}

// say has a voter sign one observation with a vote of one state on each transaction.
func (b *booth) say(voter int, state observation.State, txs ...domain.Hash) {
	var leaves []observation.Leaf
	for _, tx := range txs {
		leaves = append(leaves, kit.Vote(tx, state, 0, 1))
	}
	b.count(context.Background(), ballots{b.net.Signers[voter].Observe(b.net.Group, kit.StartMS, leaves...), b.net.Group, voter}, domain.Hash{})
}

// fly has a flight begin for each transaction.
func (b *booth) fly(txs ...domain.Hash) (fs []*flight) {
	for _, id := range txs {
		f := newFlight(&utxo.Tx{ID: id}, Origin{}, new(utxo.FeePolicy))
		b.flights.add(f)
		b.join(f)
		fs = append(fs, f)
	}
	return fs
}

// land ends flights: their transactions are final on disk.
func (b *booth) land(fs ...*flight) {
	for _, f := range fs {
		b.lately.add(f.tx.ID)
		b.flights.remove(f)
	}
}

func numbered(from, to int) (ids []domain.Hash) {
	for n := from; n < to; n++ {
		ids = append(ids, domain.Sum(domain.TagTx, binary.BigEndian.AppendUint32(nil, uint32(n))))
	}
	return ids
}

// TestLateVotesLeadToNothing: once a transaction is final and its votes are forgotten, votes on it are neither kept nor
// is it asked for; a transaction that is not known here is.
func TestLateVotesLeadToNothing(t *testing.T) {
	b := newBooth(2 * time.Second)
	ids := numbered(0, 3)
	final, open, unknown := ids[0], ids[1], ids[2]
	fs := b.fly(final, open)
	for voter := range 3 {
		b.say(voter, observation.Pending, final, open)
		b.say(voter, observation.Accepted, final)
	}
	b.land(fs[0])
	now := time.Now().Add(tallyTick)
	b.forgetOld(now)
	b.say(3, observation.Pending, final, unknown)
	if n := len(b.tally.Votes(final)); n != 7 {
		t.Errorf("%d votes are held right after the end, want all 7", n)
	}
	b.forgetOld(now.Add(tallyRetention))
	if n := len(b.tally.Votes(final)); n != 0 {
		t.Errorf("%d votes are held a minute after the end", n)
	}
	if n := len(b.tally.Votes(open)); n != 3 {
		t.Errorf("%d votes are held on a transaction that flies, want 3", n)
	}
	for range 3 {
		b.say(3, observation.Accepted, final, open)
	}
	if n := b.tally.Len(); n != 1 {
		t.Errorf("votes on %d transactions are held, want those of the one that flies", n)
	}
	if len(b.asked) != 1 || b.asked[0] != unknown {
		t.Errorf("asked for %v, want %s alone", b.asked, unknown)
	}
}

// TestCertifiedIsAskedForAgain: a transaction that the network has certified and that is not here, since it was not found or
// had to give way, is asked for until it is, those named first first and not all at once; one that a liar names is not.
func TestCertifiedIsAskedForAgain(t *testing.T) {
	b := newBooth(0)
	ids := numbered(0, askedAgain+2)
	lie, certified := ids[0], ids[1:]
	b.say(0, observation.Pending, lie)
	for i := 0; i < len(certified); i += 100 {
		for voter := range 3 {
			b.say(voter, observation.Pending, certified[i:min(i+100, len(certified))]...)
		}
	}
	b.asked = nil
	now := time.Now().Add(tallyTick)
	b.forgetOld(now)
	if !slices.Equal(b.asked, certified[:askedAgain]) {
		t.Fatalf("asked for %d, want the %d that were named first", len(b.asked), askedAgain)
	}
	b.asked = nil
	for _, f := range b.fly(certified[:askedAgain]...) {
		if len(f.got()) == 0 {
			t.Fatal("a flight is not told what was counted before it came")
		}
	}
	b.forgetOld(now)
	if !slices.Equal(b.asked, certified[askedAgain:]) {
		t.Errorf("asked for %d, want the one that is left", len(b.asked))
	}
}

// TestLateVotesAreHeard: late votes on a final transaction that is contested reach the contests, and are kept until these
// have forgotten it.
func TestLateVotesAreHeard(t *testing.T) {
	b := newBooth(0)
	final := numbered(0, 1)[0]
	b.land(b.fly(final)...)
	b.forgetOld(time.Now().Add(tallyRetention))
	b.handle(t.Context(), contesting{final, func(_ context.Context, votes []conflict.Vote) {
		if len(votes) != 0 {
			t.Errorf("hands over %v", votes)
		}
	}})
	b.say(3, observation.Pending, final)
	later := time.Now().Add(2 * tallyRetention)
	b.forgetOld(later)
	b.forgetOld(later.Add(tallyRetention))
	if len(b.heard) != 1 || len(b.tally.Votes(final)) != 1 {
		t.Errorf("heard %v, held %v", b.heard, b.tally.Votes(final))
	}
	if b.asked != nil {
		t.Errorf("asked for %v", b.asked)
	}
	b.handle(t.Context(), retired{final, 1})
	b.forgetOld(later)
	b.forgetOld(later.Add(tallyRetention))
	if b.tally.Len() != 0 {
		t.Error("the votes are kept for ever")
	}
}

// TestFewVotesAreKept: however much becomes final, a shard keeps the votes of so many; fewer where every voter has
// accepted, for these lack nothing. None goes before its time, which a look behind the quorum takes.
func TestFewVotesAreKept(t *testing.T) {
	b := newBooth(2 * tallyTick)
	var now time.Time
	at := 0
	pour := func(voters, n int) {
		for ; n > 0; n -= 1024 {
			ids := numbered(at, at+1024)
			at += len(ids)
			fs := b.fly(ids...)
			for voter := range voters {
				b.say(voter, observation.Accepted, ids...)
			}
			b.land(fs...)
		}
		now = time.Now().Add(tallyTick)
		b.forgetOld(now)
	}
	all := 2 * unanimousKept
	pour(4, all)
	if n := b.tally.Len(); n != all {
		t.Fatalf("%d are held, want all %d before their time", n, all)
	}
	b.forgetOld(now.Add(b.linger))
	if n := b.tally.Len(); n != unanimousKept {
		t.Errorf("%d that everybody accepted are held, want %d", n, unanimousKept)
	}
	if votes := b.tally.Votes(numbered(at-1, at)[0]); len(votes) != 4 {
		t.Errorf("%d votes on the newest, want 4", len(votes))
	}
	pour(3, endedKept+2048)
	b.forgetOld(now.Add(b.linger))
	if n := b.tally.Len(); n != unanimousKept+endedKept {
		t.Errorf("%d are held, want %d", n, unanimousKept+endedKept)
	}
	b.forgetOld(now.Add(tallyRetention))
	if n := b.tally.Len(); n != 0 {
		t.Errorf("%d are held after a minute", n)
	}
}

// TestVotelessIsForgotten: of what was refused before anybody voted on it nothing is kept.
func TestVotelessIsForgotten(t *testing.T) {
	b := newBooth(0)
	fs := b.fly(numbered(0, 100)...)
	now := time.Now().Add(tallyTick)
	b.forgetOld(now)
	if n := b.tally.Len(); n != 100 {
		t.Fatalf("%d are held, want 100 that fly", n)
	}
	for _, f := range fs {
		b.flights.remove(f)
	}
	if b.forgetOld(now); b.tally.Len() != 0 {
		t.Errorf("%d are held", b.tally.Len())
	}
}

// TestFirstVoteBeforeTheFlight: a flight that comes after votes on its transaction hears what they amount to, and they
// are forgotten with it.
func TestFirstVoteBeforeTheFlight(t *testing.T) {
	b := newBooth(0)
	id := numbered(0, 1)
	for voter := range 3 {
		b.say(voter, observation.Pending, id...)
		b.say(voter, observation.Accepted, id...)
	}
	f := b.fly(id...)[0]
	var kinds []conflict.MilestoneKind
	for _, in := range f.box.take() {
		switch m := in.(type) {
		case lifecycle.Counted:
			kinds = append(kinds, m.Kind)
		case finality:
			kinds = append(kinds, m.Kind)
			if len(m.edges) != 3 {
				t.Errorf("a quorum of %d votes", len(m.edges))
			}
		}
	}
	if len(kinds) != 2 || kinds[0] != conflict.Certificate || kinds[1] != conflict.Final {
		t.Errorf("the flight hears %v", kinds)
	}
	b.land(f)
	now := time.Now().Add(tallyTick)
	b.forgetOld(now)
	if b.forgetOld(now.Add(tallyRetention)); b.tally.Len() != 0 {
		t.Errorf("%d are held", b.tally.Len())
	}
}

// TestCertificateIsObeyedAtOnce: where ACCEPTED by a certificate is asked for by who counts, the flight is not woken for it, and hears of
// it with what comes next; where that cannot be, it is.
func TestCertificateIsObeyedAtOnce(t *testing.T) {
	for _, accepts := range []bool{true, false} {
		b := newBooth(0)
		b.accepts = accepts
		f := b.fly(numbered(0, 1)...)[0]
		wake := make(chan struct{}, 1)
		f.box.attend(wake)
		f.box.take()
		for voter := range 3 {
			b.say(voter, observation.Pending, f.tx.ID)
		}
		if len(b.accepted) != 1 || b.accepted[0].Kind != conflict.Certificate || b.accepted[0].Tx != f.tx.ID {
			t.Fatalf("asked for ACCEPTED by %+v", b.accepted)
		}
		if woken := len(wake) > 0; woken == accepts {
			t.Errorf("asked for at once: %v, woken: %v", accepts, woken)
		}
		inputs := f.box.take()
		last, ok := inputs[len(inputs)-1].(lifecycle.Counted)
		if !ok || last.Kind != conflict.Certificate || last.Cast != accepts {
			t.Errorf("asked for at once: %v, and the flight hears %+v", accepts, inputs)
		}
		b.say(0, observation.Accepted, f.tx.ID)
		b.say(1, observation.Accepted, f.tx.ID)
		b.say(2, observation.Accepted, f.tx.ID)
		if inputs := f.box.take(); len(wake) != 1 || len(inputs) != 1 || inputs[0].(finality).Kind != conflict.Final {
			t.Errorf("finality: %+v", inputs)
		}
	}
}
