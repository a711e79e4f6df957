package conflict

import (
	"slices"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/group"
)

// found returns the effects of one type.
func found[E Effect](out []Effect) (es []E) {
	for _, e := range out {
		if e, ok := e.(E); ok {
			es = append(es, e)
		}
	}
	return es
}

// quorum are votes of one state by the first n voters.
func votesOf(g *group.Group, id int, s observation.State, round uint32, voters ...int) (votes []Vote) {
	for _, v := range voters {
		votes = append(votes, Vote{Tx: tx(id), State: s, Round: round, Group: g, Voter: v})
	}
	return votes
}

// decidedPair is a contest of two that transaction 0 has won in round 0.
func decidedPair(t *testing.T, g *group.Group, edit func(*Params)) *Contests {
	t.Helper()
	c := newTestContests(t, 0, g, edit)
	c.Step(Join{Tx: tx(0), Spends: outpoints(1, 2), InWindow: true})
	c.Step(Join{Tx: tx(1), Spends: outpoints(2, 3), InWindow: true})
	out := c.Step(Heard{votesOf(g, 0, observation.Accepted, 0, 1, 2, 3, 4, 5)})
	if ds := found[Decided](out); len(ds) != 1 || ds[0].Final != tx(0) || !slices.Equal(ds[0].Rejected, idsOf([]*contender{c.txs[tx(1)]})) {
		t.Fatalf("decided %v", ds)
	}
	return c
}

// Two final quorums for rivals change nothing, and are reported; also when one comes as a proof.
func TestBrokenIsReported(t *testing.T) {
	g := equalGroup(t, 7)
	c := decidedPair(t, g, nil)
	out := c.Step(Heard{votesOf(g, 1, observation.Accepted, 3, 1, 2, 3, 4, 5)})
	bs := found[Broken](out)
	if len(bs) != 1 || bs[0].Final != tx(0) || bs[0].Also != tx(1) || bs[0].Round != 3 || len(found[Decided](out)) != 0 {
		t.Errorf("%+v", out)
	}
	out = c.Step(Join{Tx: tx(2), Spends: outpoints(1), Final: &Finality{Round: 1, Group: g}})
	if bs := found[Broken](out); len(bs) != 1 || bs[0].Also != tx(2) {
		t.Errorf("proof of a rival: %+v", out)
	}
	if c.txs[tx(0)].status != final || c.txs[tx(1)].status != rejected {
		t.Error("a second quorum has changed what was decided")
	}
}

// A proof decides at once, whatever was counted.
func TestProofDecides(t *testing.T) {
	g := equalGroup(t, 7)
	c := newTestContests(t, 0, g, nil)
	c.Step(Join{Tx: tx(0), Spends: outpoints(1), InWindow: true})
	out := c.Step(Join{Tx: tx(1), Spends: outpoints(1), Final: &Finality{Round: 2, Group: g}})
	if ds := found[Decided](out); len(ds) != 1 || ds[0].Final != tx(1) || ds[0].Round != 2 {
		t.Errorf("%+v", out)
	}
	if again := c.Step(Join{Tx: tx(1), Spends: outpoints(1), Final: &Finality{Round: 2, Group: g}}); len(found[Decided](again)) != 0 {
		t.Errorf("decided twice: %+v", again)
	}
}

// A lone late voter makes this node vote in two rounds and no more; more than 1/3 takes it along.
func TestSupportIsBounded(t *testing.T) {
	g := equalGroup(t, 7)
	c := decidedPair(t, g, nil)
	cast, proofs := 0, 0
	for round := uint32(1); round <= 50; round++ {
		out := c.Step(Heard{votesOf(g, 1, observation.Pending, round, 6)})
		cast += len(found[CastVote](out))
		proofs += len(found[SendProof](out))
	}
	if cast != maxHelped {
		t.Errorf("one voter drew %d votes, want %d", cast, maxHelped)
	}
	if proofs == 0 || proofs > maxProofs {
		t.Errorf("one voter drew %d proofs", proofs)
	}
	if out := c.Step(Heard{votesOf(g, 0, observation.Abstain, 60, 5)}); len(found[CastVote](out)) != 1 {
		t.Errorf("another voter is not helped: %+v", out)
	}
	out := c.Step(Heard{votesOf(g, 0, observation.Pending, 70, 5, 6, 4)})
	rounds := []uint32{}
	for _, v := range found[CastVote](out) {
		rounds = append(rounds, v.Vote.Round)
		if v.Vote.Tx != tx(0) || v.Vote.State != observation.Pending {
			t.Errorf("supports with %+v", v)
		}
	}
	if !slices.Contains(rounds, 70) {
		t.Errorf("more than 1/3 in round 70, votes in %v", rounds)
	}
	if out := c.Step(Heard{votesOf(g, 0, observation.Pending, 70, 3, 2)}); len(found[CastVote](out)) == 0 {
		t.Error("no ACCEPTED on the certificate of round 70")
	}
}

// Votes of the round of the decision, and ACCEPTED, ask for no support.
func TestSupportIgnoresWhatIsInTime(t *testing.T) {
	g := equalGroup(t, 7)
	c := decidedPair(t, g, nil)
	for _, votes := range [][]Vote{
		votesOf(g, 0, observation.Pending, 0, 6), votesOf(g, 1, observation.Pending, 0, 5), votesOf(g, 0, observation.Accepted, 4, 5),
	} {
		if out := c.Step(Heard{votes}); len(out) != 0 {
			t.Errorf("%+v draws %+v", votes, out)
		}
	}
}

// What is settled is forgotten in order when there is too much of it, guard and tally with it.
func TestSettledIsBounded(t *testing.T) {
	g := equalGroup(t, 7)
	c := newTestContests(t, 0, g, func(p *Params) { p.MaxSettled = 10 })
	retired := 0
	for id := range 100 {
		c.Step(Join{Tx: tx(2 * id), Spends: outpoints(id), InWindow: true})
		c.Step(Join{Tx: tx(2*id + 1), Spends: outpoints(id), InWindow: true})
		out := c.Step(Heard{votesOf(g, 2*id, observation.Accepted, 0, 1, 2, 3, 4, 5)})
		retired += len(found[Retired](out))
	}
	if retired != 190 || len(c.txs) != 10 || len(c.settled) != 10 || c.tally.Len() != 10 {
		t.Errorf("%d retired, %d held, %d settled, %d tallied", retired, len(c.txs), len(c.settled), c.tally.Len())
	}
	if len(c.points) != 5 || c.guard.Len() > 5 {
		t.Errorf("%d outpoints, %d guarded", len(c.points), c.guard.Len())
	}
}

// A new epoch: the next round, heard anew; old certificates free and rank, and are not accepted on.
func TestNewGroup(t *testing.T) {
	old, next := groupOf(t, 0, 1, 1, 1, 1, 1, 1, 1), groupOf(t, 1, 1, 1, 1, 1, 1, 1, 1)
	c := newTestContests(t, 0, old, nil)
	c.Step(Join{Tx: tx(0), Spends: outpoints(1), InWindow: true})
	c.Step(Join{Tx: tx(1), Spends: outpoints(1), InWindow: true})
	c.Step(Heard{votesOf(old, 1, observation.Pending, 0, 1, 2, 3)})
	c.Step(NewGroup{Group: next})
	k := c.txs[tx(0)].contest
	if at, _ := c.heardAbove(k, 0); k.round != 1 || at != 0 {
		t.Fatalf("round %d, heard %d", k.round, at)
	}
	out := c.Step(Heard{votesOf(old, 1, observation.Pending, 0, 4, 5)}) // completes a certificate of the old epoch
	for _, v := range found[CastVote](out) {
		if v.Vote.State == observation.Accepted {
			t.Errorf("accepts on a certificate of another epoch: %+v", v)
		}
	}
	if c.txs[tx(1)].certificate != CertAt(0, 0) {
		t.Error("the certificate of the old epoch is not known")
	}
	votes := append(votesOf(old, 1, observation.Pending, 1, 1, 2), votesOf(next, 1, observation.Pending, 1, 3, 4, 5)...)
	if out := c.Step(Heard{votes}); len(found[Decided](out)) != 0 || c.txs[tx(1)].certificate != CertAt(0, 0) {
		t.Error("weights of two epochs are added up")
	}
	out = c.Step(Heard{votesOf(next, 1, observation.Pending, 1, 1, 2)})
	accepted := slices.ContainsFunc(found[CastVote](out), func(v CastVote) bool {
		return v.Vote.State == observation.Accepted && v.Vote.Round == 1 && v.Vote.Epoch == 1
	})
	if !accepted {
		t.Errorf("no ACCEPTED on the certificate of the new epoch: %+v", out)
	}
}

// Locks that the hand-over adopted hold like this node's own.
func TestNewGroupAdoptsLocks(t *testing.T) {
	old, next := groupOf(t, 0, 1, 1, 1, 1), groupOf(t, 1, 1, 1, 1, 1)
	c := newTestContests(t, 0, old, nil)
	c.Step(Join{Tx: tx(0), Spends: outpoints(1), InWindow: true})
	c.Step(Join{Tx: tx(1), Spends: outpoints(1), InWindow: true})
	c.Step(NewGroup{Group: next, Locks: []Record{{
		Outpoint: outpoint(1), Round: 0, State: observation.Accepted, Tx: tx(1), Certificate: CertAt(0, 0),
	}}})
	out := c.Step(Heard{votesOf(next, 0, observation.Pending, 1, 1, 2)}) // all others go with the rival
	for range 3 {
		for _, e := range found[StartTimer](out) {
			out = append(out, c.Step(Fired{e.ID})...)
		}
	}
	for _, v := range found[CastVote](out) {
		if v.Vote.State == observation.Pending && v.Vote.Tx == tx(0) {
			t.Errorf("votes against an adopted lock: %+v", v)
		}
	}
}

// A listener follows the rounds and says nothing.
func TestListenerIsSilent(t *testing.T) {
	g := equalGroup(t, 4)
	c := newTestContests(t, 99, g, nil)
	var out []Effect
	for id := range 2 {
		out = append(out, c.Step(Join{Tx: tx(id), Spends: outpoints(1), InWindow: true})...)
	}
	out = append(out, c.Step(Heard{append(votesOf(g, 0, observation.Pending, 2, 0, 1), votesOf(g, 1, observation.Pending, 2, 2)...)})...)
	out = append(out, c.Step(Heard{votesOf(g, 0, observation.Pending, 2, 2)})...)
	if k := c.txs[tx(0)].contest; k.round != 2 {
		t.Errorf("round %d, want 2", k.round)
	}
	out = append(out, c.Step(Heard{votesOf(g, 0, observation.Accepted, 2, 0, 1, 2)})...)
	out = append(out, c.Step(Heard{votesOf(g, 1, observation.Pending, 3, 3)})...)
	if v := found[CastVote](out); len(v) != 0 || len(found[SendProof](out)) != 0 {
		t.Errorf("a listener votes: %+v", v)
	}
	if len(found[Decided](out)) != 1 {
		t.Errorf("a listener does not decide: %+v", out)
	}
}

// Unknown timers, votes on what never joined, and votes without weight do nothing.
func TestStepIgnoresStrays(t *testing.T) {
	g := equalGroup(t, 4)
	c := newTestContests(t, 0, g, nil)
	c.Step(Join{Tx: tx(0), Spends: outpoints(1), InWindow: true})
	for _, in := range []Input{
		Fired{77}, Heard{votesOf(g, 5, observation.Pending, 0, 1)}, Heard{votesOf(g, 0, observation.Rejected, 0, 1)}, Heard{},
		Heard{[]Vote{{Tx: tx(0), State: observation.Pending, Group: g, Voter: 9}}},
	} {
		if out := c.Step(in); len(out) != 0 {
			t.Errorf("%+v draws %+v", in, out)
		}
	}
}

// A loser that is forgotten takes no outpoint along that somebody else spends by then: new rivals there still meet, and
// the votes of this node on it are not forgotten.
func TestRetiredLeavesOthersTheirOutpoints(t *testing.T) {
	g := equalGroup(t, 7)
	c := newTestContests(t, 0, g, func(p *Params) { p.MaxSettled = 3 })
	win := func(id int) { c.Step(Heard{votesOf(g, id, observation.Accepted, 0, 1, 2, 3, 4, 5)}) }
	c.Step(Join{Tx: tx(0), Spends: outpoints(1), InWindow: true})
	c.Step(Join{Tx: tx(1), Spends: outpoints(1, 2), InWindow: true})
	c.Step(Join{Tx: tx(2), Spends: outpoints(1, 2), InWindow: true})
	win(0) // and two rivals lose that spend 2 as well, where nothing is final
	for id, n := 3, 0; n < 2; id, n = id+1, n+1 {
		c.Step(Join{Tx: tx(id), Spends: outpoints(10 + id), InWindow: true})
		win(id)
	}
	if c.txs[tx(1)] != nil || c.txs[tx(2)] == nil {
		t.Fatal("not one of the losers is forgotten")
	}
	if out := c.Step(Join{Tx: tx(5), Spends: outpoints(2), InWindow: true}); len(found[CastVote](out)) != 1 {
		t.Fatalf("no vote for what is alone: %+v", out)
	}
	c.Step(Join{Tx: tx(6), Spends: outpoints(20), InWindow: true})
	win(6)
	if c.txs[tx(2)] != nil {
		t.Fatal("the other loser is remembered")
	}
	if out := c.Step(Join{Tx: tx(7), Spends: outpoints(2), InWindow: true}); len(found[CastVote](out)) != 0 {
		t.Errorf("votes for two rivals in one round: %+v", out)
	}
	if c.txs[tx(5)].contest != c.txs[tx(7)].contest {
		t.Error("two rivals are in two contests")
	}
}
