package node

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/store"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// TestHeld: what the group accepts without those whom this node's peer trusts is final, and held here; others,
// who trust otherwise or nobody, hold nothing.
func TestHeld(t *testing.T) {
	v, nodes := speakers(t, 3, func(v *village) { v.still = true }) // or the one who is absent would soon weigh a third
	before := v.pay(0, "before")
	nodes[0].submitFinal(t, before)
	if s, _, err := nodes[0].Transaction(t.Context(), before.ID); err != nil || s.Held || s.OwnThreshold != 0 || s.AcceptedWeight < 666_666_667 {
		t.Errorf("without a view: %v, %v", s, err)
	}
	nodes[0].label(t, v.peer(3), 1000) // who does not run
	eventually(t, "a view", func() bool { return nodes[0].sh.keeper.seen.Load().own() != nil })
	after := v.pay(1, "after")
	nodes[0].submitFinal(t, after)
	for _, tx := range []domain.Hash{before.ID, after.ID} {
		s, _, err := nodes[0].Transaction(t.Context(), tx)
		if err != nil || s.State != notaryv1.TransactionState_TRANSACTION_STATE_FINAL || !s.Held || s.OwnWeight >= s.OwnThreshold || s.OwnThreshold != uint64(group.Total/2) {
			t.Errorf("with a view: %v, %v", s, err)
		}
	}
	eventually(t, "it to be counted", func() bool { return counterOf(t, nodes[0].sh.metrics.held) >= 1 }) // after it is told
	eventually(t, "the payment at the second node", func() bool {
		s, _, err := nodes[1].Transaction(t.Context(), after.ID)
		return err == nil && s.State == notaryv1.TransactionState_TRANSACTION_STATE_FINAL
	})
	if s, _, err := nodes[1].Transaction(t.Context(), after.ID); err != nil || s.Held || s.OwnThreshold != 0 {
		t.Errorf("who labels nobody: %v, %v", s, err)
	}
	told, err := nodes[0].Trust(t.Context(), domain.Hash{}, domain.Hash{}, unpaid)
	if err != nil || domain.Hash(told.Viewer) != v.peer(0) || told.Distance == 0 { // it falls with every link
		t.Errorf("%v, %v", told, err)
	}
	why, err := nodes[0].Explain(t.Context(), after.ID, unpaid)
	if err != nil || !why.Status.Held || !slices.ContainsFunc(why.Account, func(s string) bool { return strings.Contains(s, "HELD") }) {
		t.Errorf("%v, %v", why.GetAccount(), err)
	}
}

// TestSimulate: labels that nobody gave, and what would follow.
func TestSimulate(t *testing.T) {
	v, nodes := speakers(t, 1)
	n := nodes[0]
	ratee := v.peer(2)
	got, err := n.Simulate(t.Context(), []*notaryv1.LabelChange{{Ratee: ratee[:], Score: 1000}}, unpaid)
	if err != nil {
		t.Fatal(err)
	}
	if got.Moved == 0 || len(got.Movers) == 0 || domain.Hash(got.Movers[0].PeerId) != ratee || got.Movers[0].After <= got.Movers[0].Before {
		t.Errorf("%v", got)
	}
	if len(got.Before.SafetyPeers) != 2 || got.Before.SafetyWeight != 500_000_000 {
		t.Errorf("before: %v", got.Before)
	}
	if group := n.sh.keeper.seen.Load().state.Group(); group.Epoch() != 0 {
		t.Error("a simulation made a link")
	}
	for name, c := range map[string]*notaryv1.LabelChange{"a label of itself": {Ratee: idBytes([]domain.Hash{v.peer(0)})[0], Score: 5}, "too good": {Ratee: ratee[:], Score: 1001}} {
		if got, err := n.Simulate(t.Context(), []*notaryv1.LabelChange{c}, unpaid); err == nil && got.Moved != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSimulateNobody: a node that speaks for no peer is told whose label it is.
func TestSimulateNobody(t *testing.T) {
	v := newVillage(t, nil)
	n := v.start(0) // without a master key, but its node key is a member's
	v.start(1)
	ratee := v.peer(1)
	if _, err := n.Simulate(t.Context(), []*notaryv1.LabelChange{{Ratee: ratee[:], Score: 1}}, unpaid); err != nil {
		t.Error(err)
	}
	v.signers = append(v.signers, &kit.Signer{Key: kit.Key(60), Head: observation.Head{Key: kit.Key(60).Public()}})
	stranger := v.start(4)
	_, err := stranger.Simulate(t.Context(), []*notaryv1.LabelChange{{Ratee: ratee[:], Score: 1}}, unpaid)
	if refusal.ReasonOf(err) != notaryv1.Reason_REASON_NOT_FOUND {
		t.Errorf("a stranger: %v", err)
	}
}

// TestLateVoteBacks: the quorum was complete without the peer that this node trusts, whose vote comes a moment
// later: nothing is held.
func TestLateVoteBacks(t *testing.T) {
	v, nodes := speakers(t, 4, func(v *village) { v.still = true }) // or the fourth may close the epoch, and say no more in it
	for _, n := range nodes[:3] {
		n.label(t, v.peer(3), 1000)
	}
	eventually(t, "a view", func() bool { return nodes[0].sh.keeper.seen.Load().own() != nil })
	// Now and then the fourth is overtaken: three others have accepted it before its own PENDING is counted there, and then it does no more.
	tx := v.pay(0, "paid")
	nodes[0].submitFinal(t, tx)
	s, _, err := nodes[0].Transaction(t.Context(), tx.ID)
	if err == nil && s.Held {
		tx = v.pay(1, "paid")
		nodes[0].submitFinal(t, tx)
		s, _, err = nodes[0].Transaction(t.Context(), tx.ID)
	}
	if err != nil || s.Held || s.OwnWeight < s.OwnThreshold || s.OwnThreshold == 0 {
		t.Errorf("%v, %v", s, err)
	}
	if s.AcceptedWeight < uint64(group.QuorumWeight)+1 {
		t.Errorf("accepted weight %d", s.AcceptedWeight)
	}
	if waits := nodes[0].sh.backers.waits(tx.ID); waits != nil {
		t.Error("it is not settled")
	}
}

// TestBackersSettle: late votes settle at once, others when the patience is over; what is remembered is bounded.
func TestBackersSettle(t *testing.T) {
	net := kit.New("backers", kit.Equal(4)...)
	key := func(i int) domain.PublicKey { return net.Signers[i].Head.Key }
	registry := prometheus.NewRegistry()
	b := newBackers(time.Second, NewMetrics(registry), slog.New(slog.DiscardHandler))
	b.backing = func(_ *store.FinalInfo, late []domain.PublicKey) backing {
		if slices.Contains(late, key(3)) {
			return backing{weight: 1, threshold: 1}
		}
		return backing{threshold: 1}
	}
	info := &store.FinalInfo{Round: 1, Link: net.Group.Link(), Edges: []store.EdgeRef{{Key: key(0)}, {Key: key(1)}, {Key: key(2)}}}
	vote := func(voter int, state observation.State, round uint32) conflict.Vote {
		return conflict.Vote{State: state, Round: round, Group: net.Group, Voter: voter}
	}
	start := time.Unix(1000, 0)
	b.note(domain.Hash{1}, info, start)
	b.note(domain.Hash{2}, info, start)
	first, second := b.waits(domain.Hash{1}), b.waits(domain.Hash{2})
	closed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	for _, votes := range [][]conflict.Vote{nil, {vote(0, observation.Accepted, 1)}, {vote(3, observation.Pending, 1)}, {vote(3, observation.Accepted, 0)}} {
		b.look(domain.Hash{1}, votes, start.Add(time.Second-1))
		if closed(first) {
			t.Fatalf("settled by %v", votes)
		}
	}
	b.look(domain.Hash{1}, []conflict.Vote{vote(3, observation.Accepted, 1)}, start)
	if late := b.lateFor(domain.Hash{1}); !closed(first) || len(late) != 1 || late[0] != key(3) {
		t.Errorf("late: %v", late)
	}
	b.look(domain.Hash{2}, nil, start.Add(time.Second))
	if !closed(second) || b.lateFor(domain.Hash{2}) != nil || counterOf(t, b.metrics.held) != 1 {
		t.Error("the second is not held")
	}
	for i := range keptBackers + 5 {
		id := domain.Hash{3, byte(i), byte(i >> 8), byte(i >> 16)}
		b.note(id, info, start)
		b.look(id, []conflict.Vote{vote(3, observation.Accepted, 1)}, start)
	}
	if len(b.late) != keptBackers || len(b.kept) != keptBackers || len(b.open) != 0 {
		t.Errorf("%d remembered", len(b.late))
	}
}
