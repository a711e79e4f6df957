package conflict

import (
	"fmt"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

func newTestContests(t testing.TB, self int, g *group.Group, edit func(*Params)) *Contests {
	t.Helper()
	p := DefaultParams()
	if edit != nil {
		edit(&p)
	}
	c, err := NewContests(p, nodeKey(self), g)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func refusedIn(out []Effect) (ids []domain.Hash) {
	for _, e := range out {
		if r, ok := e.(TooManyRivals); ok {
			ids = append(ids, r.Tx)
		}
	}
	return ids
}

// Rivals beyond the cap are turned away, unless the network carries them; who stays does not depend on the order.
func TestFloodIsCapped(t *testing.T) {
	g := equalGroup(t, 4)
	for _, order := range []int{1, 7, 13} { // strides through 32 rivals
		c := newTestContests(t, 0, g, func(p *Params) { p.MaxRivals = 4 })
		turned := make(map[domain.Hash]bool)
		step := func(in Input) {
			for _, id := range refusedIn(c.Step(in)) {
				turned[id] = true
			}
		}
		vote := func(id, voter int) Vote {
			return Vote{Tx: tx(id), State: observation.Pending, Group: g, Voter: voter}
		}
		step(Join{Tx: tx(100), Spends: outpoints(1), InWindow: true}) // has this node's vote
		for i := range 32 {
			id := (i*order + 1) % 32
			var votes []Vote
			if id >= 29 {
				votes = []Vote{vote(id, id%4)} // a quarter of the weight
			}
			step(Join{Tx: tx(id), Spends: outpoints(1), InWindow: true, Votes: votes})
		}
		for id := range 32 {
			if keeps := id >= 29; keeps == turned[tx(id)] {
				t.Errorf("stride %d: rival %d turned away: %v", order, id, turned[tx(id)])
			}
		}
		if turned[tx(100)] {
			t.Errorf("stride %d: turned away what has this node's vote", order)
		}
		if k := c.txs[tx(100)].contest; len(k.members) != 4 || k.floods(4) == 0 {
			t.Errorf("stride %d: %d members, %d floods", order, len(k.members), k.floods(4))
		}
		step(Join{Tx: tx(5), Spends: outpoints(1), InWindow: true, Votes: []Vote{vote(5, 1), vote(5, 2)}})
		if c.txs[tx(5)] == nil {
			t.Errorf("stride %d: turned away more than 1/3 of the weight", order)
		}
	}
}

// Who is turned away again leaves nothing behind: outpoints that it alone spends are forgotten with it.
func TestFloodLeavesNothing(t *testing.T) {
	c := newTestContests(t, 0, equalGroup(t, 4), func(p *Params) { p.MaxRivals = 4 })
	for id := 64; id > 0; id-- { // the lower id stays
		c.Step(Join{Tx: tx(id), Spends: outpoints(1, 100+id)})
	}
	spent := make(map[*point]bool)
	for _, t := range c.txs {
		for _, p := range t.points {
			spent[p] = true
		}
	}
	if len(c.txs) != 4 || len(c.points) != len(spent) {
		t.Errorf("%d transactions on %d outpoints, and %d are remembered", len(c.txs), len(spent), len(c.points))
	}
}

// Who takes the place of another knows this node's votes on the outpoints that the two of them alone spend.
func TestDisplacedLeaveVotes(t *testing.T) {
	c := newTestContests(t, 0, equalGroup(t, 4), func(p *Params) { p.MaxRivals = 2 })
	own := Record{Outpoint: outpoints(9)[0], State: observation.Pending, Tx: tx(7)} // of what has not come here yet
	c.Step(Join{Tx: tx(1), Spends: outpoints(1), InWindow: true})
	c.Step(Join{Tx: tx(3), Spends: outpoints(1, 9), InWindow: true, Own: []Record{own}})
	out := c.Step(Join{Tx: tx(2), Spends: outpoints(1, 9), InWindow: true, Own: []Record{own}})
	if gone := found[TooManyRivals](out); len(gone) != 1 || gone[0].Tx != tx(3) {
		t.Fatalf("%+v", out)
	}
	if got := c.guard.Records(own.Outpoint); len(got) != 1 || got[0] != own {
		t.Errorf("on what both spend this node has %+v, want %+v", got, own)
	}
}

func TestFloodAdmitsTheFacilitatorsChoice(t *testing.T) {
	g := equalGroup(t, 4)
	c := newTestContests(t, 0, g, func(p *Params) { p.MaxRivals = 2 })
	c.Step(Join{Tx: tx(1), Spends: outpoints(1), InWindow: true})
	c.Step(Join{Tx: tx(2), Spends: outpoints(1), InWindow: true, Votes: []Vote{
		{Tx: tx(2), State: observation.Pending, Round: 3, Group: g, Voter: 1},
		{Tx: tx(2), State: observation.Pending, Round: 3, Group: g, Voter: 2},
	}}) // the contest is in round 3
	f := FacilitatorOf(g, outpoint(1), 3)
	for _, test := range []struct {
		voter, round int
		admitted     bool
	}{{f, 2, false}, {(f + 1) % 4, 3, false}, {f, 3, true}} {
		v := Vote{Tx: tx(3), State: observation.Pending, Round: uint32(test.round), Group: g, Voter: test.voter}
		out := c.Step(Join{Tx: tx(3), Spends: outpoints(1), InWindow: true, Votes: []Vote{v}})
		if admitted := len(refusedIn(out)) == 0; admitted != test.admitted {
			t.Errorf("vote of %d (facilitator %d) in round %d: admitted %v", test.voter, f, test.round, admitted)
		}
	}
}

// flood joins n rivals of one outpoint, lets liars vote for all of them, and decides for one.
func flood(tb testing.TB, g *group.Group, n, cap, liars int) {
	c := newTestContests(tb, 0, g, func(p *Params) { p.MaxRivals = cap })
	for id := range n {
		c.Step(Join{Tx: tx(id), Spends: outpoints(1), InWindow: true})
	}
	for voter := range liars {
		for id := range n {
			c.Step(Heard{[]Vote{{Tx: tx(id), State: observation.Pending, Round: 1, Group: g, Voter: voter}}})
		}
	}
	for voter := range len(g.Voters()) {
		c.Step(Heard{[]Vote{{Tx: tx(0), State: observation.Pending, Round: 1, Group: g, Voter: voter}}})
	}
	decided := 0
	for voter := range len(g.Voters()) {
		for _, e := range c.Step(Heard{[]Vote{{Tx: tx(0), State: observation.Accepted, Round: 1, Group: g, Voter: voter}}}) {
			if d, ok := e.(Decided); ok {
				decided += 1 + len(d.Rejected)
			}
		}
	}
	if want := min(n, cap); decided != want {
		tb.Fatalf("decided %d, want %d", decided, want)
	}
}

func BenchmarkRivals(b *testing.B) {
	g := equalGroup(b, 20)
	for _, cap := range []int{16, 1024} {
		for _, liars := range []int{0, 1, 6} {
			b.Run(fmt.Sprintf("1024 of one outpoint/cap %d/%d liars", cap, liars), func(b *testing.B) {
				for b.Loop() {
					flood(b, g, 1024, cap, liars)
				}
			})
		}
	}
}
