package store

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// This node's chain never forks in its own store: what does not follow the head is refused.
func TestSaveVotesRefuses(t *testing.T) {
	s := openTest(t)
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 1))
	first := vote(t, s, observation.Pending, 0, tx)
	elsewhere := seal(own, first.Head(), now)
	elsewhere.Header.Network = gold
	for name, o := range map[string]*observation.Observation{
		"none":                  nil,
		"without bytes":         {Header: elsewhere.Header},
		"the same again":        first,
		"another at the height": seal(own, observation.Head{}, now+1),
		"a gap":                 seal(own, observation.Head{Height: 5, Hash: gold}, now),
		"another previous":      seal(own, observation.Head{Height: 1, Hash: gold}, now),
		"another key":           seal(peers[0], observation.Head{}, now),
		"another network":       elsewhere,
	} {
		before := dump(t, s)
		if err := s.SaveVotes(VoteBatch{Observations: []*observation.Observation{o}}); !errors.Is(err, ErrInconsistent) || errors.Is(err, ErrStoreFailed) {
			t.Errorf("%s: %v", name, err)
		}
		if dump(t, s) != before {
			t.Errorf("%s: something was written", name)
		}
	}
	row := sealRow(own, first.Head(), now, 3)
	for name, list := range map[string][]*observation.Observation{
		"no list": nil, "a gap within": {row[0], row[2]}, "backwards": {row[1], row[0]}, "twice the same": {row[0], row[0]},
		"of two keys": {row[0], seal(peers[0], observation.Head{Height: 2, Hash: row[0].Hash}, now)},
	} {
		before := dump(t, s)
		if err := s.SaveVotes(VoteBatch{Observations: list}); !errors.Is(err, ErrInconsistent) || errors.Is(err, ErrStoreFailed) {
			t.Errorf("%s: %v", name, err)
		}
		if dump(t, s) != before {
			t.Errorf("%s: something was written", name)
		}
	}
	if err := s.SaveVotes(VoteBatch{Observations: row}); err != nil {
		t.Errorf("what follows: %v", err)
	}
	if head := s.Head(ownChain(0)); head != row[2].Head() {
		t.Errorf("the head is %v, want the last of what follows", head)
	}
}

// Votes on what is final leave no record behind where nobody contended for it: a restart must not take
// it up again.
func TestVotesAfterFinal(t *testing.T) {
	s := openTest(t)
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 10))
	vote(t, s, observation.Pending, 0, tx)
	if err := s.CommitFinal([]Final{finalOf(tx, now)}); err != nil {
		t.Fatal(err)
	}
	vote(t, s, observation.Accepted, 3, tx)
	if got := collect(t, s.GuardRecords()); len(got) != 0 {
		t.Errorf("records of a spent outpoint: %+v", got)
	}
	if pending := collect(t, s.PendingTransactions()); len(pending) != 0 {
		t.Errorf("pending: %+v", pending)
	}
}

// Votes on an outpoint that was contested stay on record after the decision: the winner may be supported
// in later rounds, and must not be where the loser was (rule N1).
func TestVotesAfterContest(t *testing.T) {
	s := openTest(t)
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 10))
	rival := makeTx(t, 2, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[1], 10))
	vote(t, s, observation.Pending, 1, rival)
	if err := s.CommitFinal([]Final{finalOf(tx, now)}); err != nil {
		t.Fatal(err)
	}
	vote(t, s, observation.Accepted, 3, tx)
	got := collect(t, s.GuardRecords())
	if len(got) != 2 || got[0].Tx != rival.ID || got[1].Tx != tx.ID {
		t.Errorf("records of a contested outpoint: %+v", got)
	}
	pending := collect(t, s.PendingTransactions())
	if len(pending) != 1 || pending[0].ID != rival.ID {
		t.Errorf("pending: %+v", pending)
	}
	if err := s.Reject([]Rejected{{Rejection: Rejection{Tx: rival.ID}}}); err != nil {
		t.Fatal(err)
	}
	guard := conflict.NewGuard()
	guard.Restore(collect(t, s.GuardRecords()))
	support := conflict.OwnVote{Tx: tx.ID, Spends: tx.Spends(), State: observation.Pending, Round: 1}
	if err := guard.Check(support); !errors.Is(err, conflict.ErrRoundTaken) {
		t.Errorf("the winner in the loser's round: %v", err)
	}
	if h := s.Head(ownChain(0)); h.Height != 2 {
		t.Errorf("head at %d", h.Height)
	}
}

// Everything a node needs to go on comes back: guard, pending transactions, heads.
func TestRestart(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, testOptions(fs))
	guard := conflict.NewGuard()
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0), genesisOutpoint(4)}, payment(owners[0], 1))
	v := conflict.OwnVote{Tx: tx.ID, Spends: tx.Spends(), State: observation.Pending, Round: 2, Epoch: 7}
	o := seal(own, observation.Head{}, now, voteLeaf(tx.ID, observation.Pending, 2))
	if err := s.SaveVotes(VoteBatch{Records: guard.Record(v), Transactions: []*utxo.Tx{tx}, Observations: []*observation.Observation{o}}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, testOptions(fs))
	defer mustClose(t, s)
	again := conflict.NewGuard()
	again.Restore(collect(t, s.GuardRecords()))
	if err := again.Check(v); !errors.Is(err, conflict.ErrAlreadyCast) {
		t.Errorf("the same vote: %v", err)
	}
	v.Tx = domain.Hash{9}
	if err := again.Check(v); !errors.Is(err, conflict.ErrContradiction) {
		t.Errorf("a rival's vote: %v", err)
	}
	if s.Head(ownChain(0)) != o.Head() {
		t.Errorf("head %+v", s.Head(ownChain(0)))
	}
	pending := collect(t, s.PendingTransactions())
	if len(pending) != 1 || pending[0].ID != tx.ID || pending[0].VotedMS != now {
		t.Errorf("pending %+v", pending)
	}
	chains := observation.NewChains(8, 8)
	for _, h := range s.Heads() {
		chains.Resume(h)
	}
	next := seal(own, o.Head(), now+1)
	if out := chains.Follow(&next.Header, next.Hash); out.Standing != observation.Extends {
		t.Errorf("the next observation %v", out.Standing)
	}
}

// A chain's head waits at a gap, and goes on over what came early once it closes.
func TestGapsInChains(t *testing.T) {
	s := openTest(t)
	id := observation.ChainID{Key: peers[0].Public()}
	var chain []*observation.Observation
	head := observation.Head{}
	for i := range 5 {
		o := seal(peers[0], head, now+uint64(i))
		chain, head = append(chain, o), o.Head()
	}
	for i, c := range []struct {
		save []int
		head uint64
	}{{[]int{4, 2}, 0}, {[]int{0}, 1}, {[]int{3}, 1}, {[]int{1}, 5}, {[]int{1, 1, 0}, 5}} {
		var list []*observation.Observation
		for _, n := range c.save {
			list = append(list, chain[n])
		}
		if err := s.SaveObservations(list); err != nil {
			t.Fatal(err)
		}
		if h := s.Head(id); h.Height != c.head || c.head > 0 && h != chain[c.head-1].Head() {
			t.Errorf("step %d: head %+v, want height %d", i, h, c.head)
		}
	}
	got := collect(t, s.Observations(id, 2, 4))
	if len(got) != 3 || got[0].Hash != chain[1].Hash || got[2].Hash != chain[3].Hash {
		t.Errorf("from 2 to 4: %d observations", len(got))
	}
	own := seal(own, observation.Head{}, now)
	if err := s.SaveObservations([]*observation.Observation{own}); !errors.Is(err, ErrInconsistent) {
		t.Errorf("own observation among those of others: %v", err)
	}
}

// An edge into a forked height finds the observation that holds the vote, under the link that it counts with.
func TestEdgesIntoForks(t *testing.T) {
	s := openTest(t)
	tx := domain.Hash{5}
	first := seal(peers[0], observation.Head{}, now, voteLeaf(gold, observation.Accepted, 0))
	fork := seal(peers[0], observation.Head{}, now, voteLeaf(tx, observation.Accepted, 0))
	later, err := group.New(network, 1, seeds.Link(), seeds.Members(), nil)
	if err != nil {
		t.Fatal(err)
	}
	again := observation.Seal(observation.Head{Key: peers[0].Public()}, later, []observation.Leaf{voteLeaf(gold, observation.Accepted, 0)}, now).Sign(peers[0])
	if err := s.SaveObservations([]*observation.Observation{first, fork, fork, again}); err != nil {
		t.Fatal(err)
	}
	e := EdgeRef{Key: peers[0].Public(), Height: 1}
	for _, c := range []struct {
		tx    domain.Hash
		group *group.Group
		leaf  uint32
		round uint32
		want  *observation.Observation
	}{
		{gold, seeds, 0, 0, first}, {gold, later, 0, 0, again}, {tx, seeds, 0, 0, fork}, {tx, later, 0, 0, nil}, {tx, seeds, 0, 1, nil},
		{tx, seeds, 1, 0, nil}, {domain.Hash{6}, seeds, 0, 0, nil},
	} {
		e.Leaf = c.leaf
		o, ok, err := s.EdgeObservation(e, c.tx, c.group.Link(), c.round)
		if err != nil || ok != (c.want != nil) || ok && o.Hash != c.want.Hash {
			t.Errorf("leaf %d of %s in round %d: %v, %v", c.leaf, c.tx, c.round, ok, err)
		}
	}
	e.Height = 2
	if _, ok, err := s.EdgeObservation(e, tx, seeds.Link(), 0); ok || err != nil {
		t.Errorf("no observation: %v, %v", ok, err)
	}
}
