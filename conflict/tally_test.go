package conflict

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// slowTally keeps every vote and recounts from scratch: what Tally must agree with.
type slowTally struct{ votes []Vote }

func (s *slowTally) add(v Vote) {
	for _, o := range s.votes {
		if o.Tx == v.Tx && o.State == v.State && o.Round == v.Round && o.Group == v.Group && o.Voter == v.Voter {
			return
		}
	}
	s.votes = append(s.votes, v)
}

func (s *slowTally) weight(tx, link domain.Hash, round uint32, state observation.State) (sum group.Weight) {
	for _, v := range s.votes {
		if v.Tx == tx && v.Group.Link() == link && v.Round == round && v.State == state {
			sum += v.Group.Voters()[v.Voter].Share
		}
	}
	return sum
}

// milestones are all that the votes amount to, in a canonical form.
func (s *slowTally) milestones() map[string]int {
	out := make(map[string]int)
	for _, v := range s.votes {
		out[fmt.Sprint(v.Tx, FirstVote)] = 1
		pending := s.weight(v.Tx, v.Group.Link(), v.Round, observation.Pending)
		accepted := s.weight(v.Tx, v.Group.Link(), v.Round, observation.Accepted)
		for kind, reached := range map[MilestoneKind]bool{
			Third: 3*pending > group.Total, Certificate: 3*pending > 2*group.Total, Final: 3*accepted > 2*group.Total,
		} {
			if reached {
				out[fmt.Sprint(v.Tx, kind, v.Round, v.Group.Epoch())] = 1
			}
		}
	}
	return out
}

func drawGroups(t *rapid.T, tb testing.TB) []*group.Group {
	parts := rapid.SliceOfN(rapid.IntRange(1, 9), 1, 9).Draw(t, "parts")
	return []*group.Group{groupOf(tb, 0, parts...), groupOf(tb, 1, parts...)}
}

func drawVote(t *rapid.T, groups []*group.Group, txs, rounds int) Vote {
	g := rapid.SampledFrom(groups).Draw(t, "group")
	return Vote{
		Tx:    tx(rapid.IntRange(0, txs-1).Draw(t, "tx")),
		State: rapid.SampledFrom([]observation.State{observation.Pending, observation.Accepted, observation.Abstain}).Draw(t, "state"),
		Round: uint32(rapid.IntRange(0, rounds-1).Draw(t, "round")),
		Group: g, Voter: rapid.IntRange(0, len(g.Voters())-1).Draw(t, "voter"),
		Height: uint64(rapid.IntRange(1, 5).Draw(t, "height")),
	}
}

func TestTallyAgreesWithRecount(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		groups := drawGroups(rt, t)
		tally, slow := NewTally(DefaultTallyLimits), &slowTally{}
		seen := make(map[string]int)
		for range rapid.IntRange(0, 120).Draw(rt, "votes") {
			v := drawVote(rt, groups, 3, 3)
			slow.add(v)
			tally.Reach(v.Tx) // changes nothing
			for _, m := range tally.Count(v, nil) {
				key := fmt.Sprint(m.Tx, m.Kind, m.Round, m.Group.Epoch())
				if m.Kind == FirstVote {
					key = fmt.Sprint(m.Tx, m.Kind)
				}
				seen[key]++
			}
		}
		if want := slow.milestones(); fmt.Sprint(seen) != fmt.Sprint(want) {
			rt.Fatalf("milestones\n%v, want\n%v", seen, want)
		}
		for id := range 3 {
			checkTx(rt, tally, slow, groups, tx(id))
		}
	})
}

func checkTx(rt *rapid.T, tally *Tally, slow *slowTally, groups []*group.Group, id domain.Hash) {
	var all []Vote
	for _, g := range groups {
		for round := range uint32(3) {
			p, a := tally.Weights(id, g.Link(), round)
			wantP := slow.weight(id, g.Link(), round, observation.Pending)
			wantA := slow.weight(id, g.Link(), round, observation.Accepted)
			if p != wantP || a != wantA {
				rt.Fatalf("weights %d %d, want %d %d", p, a, wantP, wantA)
			}
			for s := observation.Pending; s <= observation.Abstain; s++ {
				edges := tally.Edges(nil, id, g.Link(), round, s)
				var sum group.Weight
				for _, v := range edges {
					sum += g.Voters()[v.Voter].Share
				}
				if want := slow.weight(id, g.Link(), round, s); sum != want {
					rt.Fatalf("edges weigh %d, want %d", sum, want)
				}
				all = append(all, edges...)
			}
		}
	}
	if !slices.Equal(all, tally.Votes(id)) {
		rt.Fatalf("Votes and Edges differ")
	}
}

// What a tally knows does not depend on the order of votes, nor on repeats.
func TestTallyIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		groups := drawGroups(rt, t)
		votes := make([]Vote, rapid.IntRange(1, 60).Draw(rt, "votes"))
		for i := range votes {
			votes[i] = drawVote(rt, groups, 2, 3)
			votes[i].Height = 1
		}
		a, b := NewTally(DefaultTallyLimits), NewTally(DefaultTallyLimits)
		for _, v := range votes {
			a.Count(v, nil)
		}
		for _, v := range rapid.Permutation(append(votes, votes[:len(votes)/2]...)).Draw(rt, "order") {
			b.Count(v, nil)
		}
		for id := range 2 {
			if !slices.Equal(a.Votes(tx(id)), b.Votes(tx(id))) {
				rt.Fatalf("votes on %d differ", id)
			}
		}
	})
}

// A quorum is more than two thirds: four of six equal voters are not enough.
func TestTallyQuorumIsStrict(t *testing.T) {
	g := groupOf(t, 0, 1, 1, 1) // 333333333, 333333333, 333333334
	tally := NewTally(DefaultTallyLimits)
	vote := func(voter int, s observation.State) []Milestone {
		return tally.Count(Vote{Tx: tx(1), State: s, Group: g, Voter: voter}, nil)
	}
	kinds := func(ms []Milestone) (out []MilestoneKind) {
		for _, m := range ms {
			out = append(out, m.Kind)
		}
		return out
	}
	for _, step := range []struct {
		voter int
		state observation.State
		want  []MilestoneKind
	}{
		{0, observation.Pending, []MilestoneKind{FirstVote}},
		{2, observation.Pending, []MilestoneKind{Third, Certificate}}, // 666666667 > 2/3
		{1, observation.Pending, nil},
		{0, observation.Accepted, nil},
		{1, observation.Accepted, nil}, // 666666666 is not
		{2, observation.Accepted, []MilestoneKind{Final}},
		{2, observation.Accepted, nil},
	} {
		if got := kinds(vote(step.voter, step.state)); !slices.Equal(got, step.want) {
			t.Errorf("%d %v: %v, want %v", step.voter, step.state, got, step.want)
		}
	}
}

func TestTallyIgnoresVotesWithoutWeight(t *testing.T) {
	g := equalGroup(t, 4)
	tally := NewTally(DefaultTallyLimits)
	for name, v := range map[string]Vote{
		"rejected":      {State: observation.Rejected, Group: g},
		"seen":          {State: observation.Seen, Group: g},
		"no group":      {State: observation.Pending},
		"signing epoch": {State: observation.Pending, Group: g, SigningEpoch: 1},
		"no voter":      {State: observation.Pending, Group: g, Voter: 4},
		"negative":      {State: observation.Pending, Group: g, Voter: -1},
	} {
		if out := tally.Count(v, nil); out != nil || tally.Len() != 0 {
			t.Errorf("%s: counted: %v", name, out)
		}
	}
}

// A voter that names transactions nobody knows pushes out only its own.
func TestTallyUnknownIsBounded(t *testing.T) {
	g := equalGroup(t, 4)
	tally := NewTally(TallyLimits{UnknownPerVoter: 10, HollowPerVoter: 4})
	count := func(voter, id int) {
		tally.Count(Vote{Tx: tx(id), State: observation.Pending, Group: g, Voter: voter}, nil)
	}
	held := func(id int) bool { return len(tally.Votes(tx(id))) > 0 }
	tally.Know(tx(1), nil)
	count(0, 1) // known before its votes
	count(0, 2)
	tally.Know(tx(2), nil) // and after
	count(1, 3)            // another voter's
	for id := 100; id < 200; id++ {
		count(0, id)
		count(2, id)
	}
	for _, id := range []int{1, 2, 3, 199, 190} {
		if !held(id) {
			t.Errorf("tx %d was dropped", id)
		}
	}
	if held(189) || tally.Len() != 13 {
		t.Errorf("holds %d transactions, want 13", tally.Len())
	}
}

// A voter that votes in ever new rounds pushes out only its own lone votes.
func TestTallyRoundsAreBounded(t *testing.T) {
	g := equalGroup(t, 4)
	tally := NewTally(TallyLimits{UnknownPerVoter: 10, HollowPerVoter: 4})
	for voter := range 2 {
		tally.Count(Vote{Tx: tx(1), State: observation.Pending, Round: 7, Group: g, Voter: voter}, nil)
	}
	for round := range uint32(1000) {
		tally.Count(Vote{Tx: tx(1), State: observation.Pending, Round: 1000 - round, Group: g, Voter: 0}, nil)
	}
	if p, _ := tally.Weights(tx(1), g.Link(), 7); p != group.Total/2 {
		t.Errorf("round 7 holds %d", p)
	}
	if n := len(tally.Votes(tx(1))); n != 6 {
		t.Errorf("holds %d votes, want 2 and 4", n)
	}
}

// A liar that votes in many rounds, alone or with others who do, loses its own votes and nobody else's, and takes no more room for that.
func TestTallyKeepsTheVotesOfOthers(t *testing.T) {
	g := equalGroup(t, 10)
	tally := NewTally(TallyLimits{UnknownPerVoter: 10, HollowPerVoter: 4})
	vote := func(voter int, round uint32) []Milestone {
		return tally.Count(Vote{Tx: tx(1), State: observation.Pending, Round: round, Group: g, Voter: voter}, nil)
	}
	for round := range uint32(4) {
		vote(0, round)
	}
	vote(3, 0)
	vote(4, 0)
	for round := range uint32(1000) { // two liars open rounds and join each other's
		vote(int(round)%2, 4+round)
		vote(int(round+1)%2, 4+round)
	}
	if p, _ := tally.Weights(tx(1), g.Link(), 0); p != group.Total/5 {
		t.Errorf("round 0 holds %d, want what two voters have", p)
	}
	if n := len(tally.Votes(tx(1))); n != 2+2*4 {
		t.Errorf("holds %d votes, want 2 of the honest and 4 of each liar", n)
	}
	certified := 0
	for voter := 5; voter < 10; voter++ {
		for _, m := range vote(voter, 0) {
			if m.Kind == Certificate {
				certified = voter
			}
		}
	}
	if certified != 9 {
		t.Errorf("certified by the vote of %d, want that of the seventh", certified)
	}
}

func TestTallyForgets(t *testing.T) {
	g := equalGroup(t, 4)
	tally := NewTally(DefaultTallyLimits)
	v := Vote{Tx: tx(1), State: observation.Pending, Group: g}
	tally.Count(v, nil)
	tally.Forget(tx(1))
	tally.Forget(tx(1))
	if tally.Len() != 0 || tally.Votes(tx(1)) != nil {
		t.Fatal("not forgotten")
	}
	if out := tally.Count(v, nil); len(out) != 1 || out[0].Kind != FirstVote || out[0].Weight != 0 {
		t.Fatalf("a forgotten transaction starts anew: %v", out)
	}
	if p, _ := tally.Weights(tx(1), g.Link(), 0); p != group.Total/4 {
		t.Fatalf("weight %d after reuse", p)
	}
}

// A milestone names the holder of its transaction until that is final, or the holder leaves.
func TestTallyNamesHolders(t *testing.T) {
	g := equalGroup(t, 4)
	tally := NewTally(DefaultTallyLimits)
	var held, free int
	count := func(id int, s observation.State) {
		for voter := range 4 {
			for _, m := range tally.Count(Vote{Tx: tx(id), State: s, Group: g, Voter: voter}, nil) {
				if m.Holder == "holder" {
					held++
				} else {
					free++
				}
			}
		}
	}
	if tally.Know(tx(1), "holder") {
		t.Error("votes before the first")
	}
	count(1, observation.Pending)
	if !tally.Know(tx(1), nil) {
		t.Error("no votes after the first")
	}
	count(1, observation.Accepted)
	if held != 4 || free != 0 {
		t.Errorf("of first vote, third, certificate and finality %d name the holder, %d do not", held, free)
	}
	tally.Know(tx(2), "holder")
	count(2, observation.Pending)
	if voted, unanimous := tally.Leave(tx(2)); !voted || unanimous {
		t.Errorf("on what all say PENDING there are votes: %t, and all ACCEPTED: %t", voted, unanimous)
	}
	if voted, unanimous := tally.Leave(tx(3)); voted || unanimous {
		t.Error("votes on what nobody spoke of")
	}
	count(2, observation.Accepted)
	if _, unanimous := tally.Leave(tx(2)); !unanimous {
		t.Error("not all ACCEPTED it")
	}
	if held != 7 || free != 1 {
		t.Errorf("%d name a holder, %d do not, one of them after it left", held, free)
	}
}

func TestTallyDoesNotAllocate(t *testing.T) {
	g := equalGroup(t, 20)
	tally := NewTally(DefaultTallyLimits)
	out := make([]Milestone, 0, 16)
	cycle := func() {
		for id := range 8 {
			tally.Know(tx(id), nil)
			for s := observation.Pending; s <= observation.Accepted; s++ {
				for voter := range 20 {
					out = tally.Count(Vote{Tx: tx(id), State: s, Group: g, Voter: voter}, out[:0])
				}
			}
			tally.Forget(tx(id))
		}
	}
	cycle()
	if n := testing.AllocsPerRun(20, cycle); n != 0 {
		t.Errorf("%v allocations for 320 votes, want none", n)
	}
}

func BenchmarkTallyCount(b *testing.B) {
	g := equalGroup(b, 20)
	tally := NewTally(DefaultTallyLimits)
	out := make([]Milestone, 0, 16)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		id := tx(i / 40 % 4096)
		if i%40 == 0 {
			tally.Forget(id)
			tally.Know(id, nil)
		}
		s := observation.Pending + observation.State(i%40/20)
		out = tally.Count(Vote{Tx: id, State: s, Group: g, Voter: i % 20}, out[:0])
	}
}

// BenchmarkTallyHeld is a transaction among so many others that are held: known, voted on by four in both states, some
// thousand votes apart as they come, and forgotten when it is the oldest.
func BenchmarkTallyHeld(b *testing.B) {
	const apart = 1000
	g := equalGroup(b, 4)
	for _, held := range []int{10_000, 300_000} {
		b.Run(strconv.Itoa(held), func(b *testing.B) {
			tally := NewTally(DefaultTallyLimits)
			ids := make([]domain.Hash, held+9*apart)
			for i := range ids {
				ids[i] = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
			}
			at := func(i int) domain.Hash { return ids[(i+len(ids))%len(ids)] }
			out := make([]Milestone, 0, 16)
			next := func(i int) {
				tally.Know(at(i), nil)
				for vote := range 8 {
					v := Vote{Tx: at(i - (vote+1)*apart), State: observation.Pending + observation.State(vote/4), Group: g, Voter: vote % 4}
					out = tally.Count(v, out[:0])
				}
				tally.Forget(at(i - held))
			}
			for i := range 2 * held {
				next(i)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				next(2*held + i)
			}
		})
	}
}
