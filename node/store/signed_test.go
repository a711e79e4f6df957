package store

import (
	"testing"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/utxo"
)

// Between the write and its sync, pebble shows a batch to every reader. A peer that pulls this node's chain
// in that moment must not get a vote that a crash can still take back (rule N5).
func TestVotesAreHiddenUntilSynced(t *testing.T) {
	s := openTest(t)
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 1))
	first := vote(t, s, observation.Pending, 0, tx)
	id := ownChain(0)
	next := seal(own, first.Head(), now+1, voteLeaf(tx.ID, observation.Accepted, 0))
	batch := VoteBatch{Transactions: []*utxo.Tx{tx}, Records: recordsOf(tx, observation.Accepted, 0), Observations: []*observation.Observation{next}}

	wait, err := s.startVotes(&batch)
	if err != nil {
		t.Fatal(err)
	}
	shown := func() (n int) {
		if _, ok, err := s.Observation(id, 2); err != nil {
			t.Fatal(err)
		} else if ok {
			n++
		}
		n += len(collect(t, s.Observations(id, 2, ^uint64(0))))
		for o := range s.ObservationsSince(0, 0) {
			if o.Hash == next.Hash {
				n++
			}
		}
		if s.Head(id).Height > 1 {
			n++
		}
		for _, h := range s.Heads() {
			if h.Height > 1 {
				n++
			}
		}
		return n
	}
	if n := shown(); n > 0 {
		t.Errorf("%d readers see the vote before it is on disk", n)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	s.nowSigned(next.Head())
	if n := shown(); n != 5 {
		t.Errorf("%d of 5 readers see the vote once it is on disk", n)
	}
}

// PENDING for a rival is in the batch when the winner, which this node had alone voted for so far, is written.
// After a restart the node must know that it voted against the winner: else, asked for its ACCEPTED once more, it
// signs it after a PENDING for the rival in a higher round, which convicts.
func TestVoteAgainstWinnerOnItsWay(t *testing.T) {
	s := openTest(t)
	o := []utxo.Outpoint{genesisOutpoint(0)}
	winner, rival := makeTx(t, 1, o, payment(owners[0], 10)), makeTx(t, 2, o, payment(owners[1], 10))
	vote(t, s, observation.Pending, 0, winner)
	if err := s.CommitFinal([]Final{finalOf(winner, now)}); err != nil {
		t.Fatal(err)
	}
	vote(t, s, observation.Pending, 1, rival)

	guard := conflict.NewGuard()
	for r, err := range s.GuardRecords() {
		if err != nil {
			t.Fatal(err)
		}
		guard.Restore([]conflict.Record{r})
	}
	err := guard.Check(conflict.OwnVote{Tx: winner.ID, Spends: o, State: observation.Accepted, Certificate: conflict.CertAt(0, 0)})
	if err == nil {
		t.Fatal("ACCEPTED in round 0 is let through after a PENDING for a rival in round 1")
	}
}
