package conflict

import (
	"slices"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/utxo"
)

// contestsOf are those of the first voter in a group of four.
func contestsOf(t *testing.T) *Contests {
	t.Helper()
	c, err := NewContests(DefaultParams(), nodeKey(0), equalGroup(t, 4))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// casts are the votes among effects.
func casts(effects []Effect) (votes []OwnVote) {
	for _, e := range effects {
		if v, ok := e.(CastVote); ok {
			votes = append(votes, v.Vote)
		}
	}
	return votes
}

func votedFor(votes []OwnVote, n int, s observation.State) bool {
	return slices.ContainsFunc(votes, func(v OwnVote) bool { return v.Tx == tx(n) && v.State == s })
}

// The node's guard refuses what the live set forbids without a record to show for it. Asked again with the same
// knowledge, it would refuse again, and so on as fast as the two can talk.
func TestRefusedVoteIsNotAskedForAgain(t *testing.T) {
	for name, first := range map[string]Input{
		"alone":  Join{Tx: tx(1), Spends: outpoints(1), InWindow: true},
		"rivals": Join{Tx: tx(1), Spends: outpoints(1, 2), InWindow: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := contestsOf(t)
			open := casts(c.Step(first))
			if name == "rivals" {
				open = append(open, casts(c.Step(Join{Tx: tx(2), Spends: outpoints(2, 3), InWindow: true}))...)
			}
			asked := 0
			for len(open) > 0 {
				v := open[0]
				open = open[1:]
				if asked++; asked > 8 {
					t.Fatalf("still asking for %v of %s in round %d", v.State, v.Tx, v.Round)
				}
				open = append(open, casts(c.Step(Refused{Tx: v.Tx, Spends: v.Spends, State: v.State, Round: v.Round}))...)
			}
		})
	}
}

// Node 0 is locked on A = {1, 2}. C = {1} becomes final, so A is rejected and B = {2, 3} is left. The contests
// know it before the node's guard does, which waits for C to be on disk; its refusal must not stick.
func TestLockFreedAfterRefusal(t *testing.T) {
	c := contestsOf(t)
	a := Record{Outpoint: outpoint(1), State: observation.Pending, Tx: tx(1)}
	lock := Record{Outpoint: outpoint(1), State: observation.Accepted, Tx: tx(1), Certificate: CertAt(0, 0)}
	own := []Record{a, lock}
	for _, r := range []Record{a, lock} {
		r.Outpoint = outpoint(2)
		own = append(own, r)
	}
	g := c.group
	c.Step(Join{Tx: tx(1), Spends: outpoints(1, 2), InWindow: true, Own: own})
	c.Step(Join{Tx: tx(2), Spends: outpoints(2, 3), InWindow: true, Own: own[2:]})
	c.Step(Join{Tx: tx(3), Spends: outpoints(1), InWindow: true, Own: own[:2]})

	pending := func(n int, round uint32, voters int) (votes []Vote) {
		for voter := 1; voter <= voters; voter++ {
			votes = append(votes, Vote{Tx: tx(n), State: observation.Pending, Round: round, Group: g, Voter: voter, Height: uint64(round)})
		}
		return votes
	}
	accepted := pending(3, 1, 3)
	for i := range accepted {
		accepted[i].State = observation.Accepted
	}
	c.Step(Heard{append(pending(3, 1, 3), accepted...)}) // C is final

	// Two others go on to B, too few for the certificate that would free it. The guard still holds the lock.
	asked := casts(c.Step(Heard{pending(2, 2, 2)}))
	if !votedFor(asked, 2, observation.Pending) {
		t.Fatal("free of its lock in the contests, the node does not ask to vote for what is left")
	}
	c.Step(Refused{Tx: tx(2), Spends: outpoints(2, 3), Own: own[2:], State: observation.Pending, Round: 2})

	freed := slices.Clone(own)
	for i := range freed {
		freed[i].Released = freed[i].State == observation.Accepted
	}
	asked = casts(c.Step(Freed{Spends: outpoints(1, 2), Records: freed}))
	if votedFor(asked, 2, observation.Pending) {
		t.Fatal("asked twice in one round")
	}
	if asked = casts(c.Step(Heard{pending(2, 3, 2)})); !votedFor(asked, 2, observation.Pending) {
		t.Fatal("still locked on what is rejected")
	}
}

// Records that were read before a lock was released may arrive after it.
func TestReleasedStaysReleased(t *testing.T) {
	g := NewGuard()
	lock := Record{Outpoint: outpoint(1), State: observation.Accepted, Tx: tx(1), Certificate: CertAt(0, 0)}
	g.Restore([]Record{lock})
	g.Reject(tx(1), []utxo.Outpoint{outpoint(1)})
	g.Restore([]Record{lock})
	if _, _, locked := g.Lock(outpoint(1)); locked {
		t.Fatal("an older copy of the record brings the lock back")
	}
}
