package node

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// idle is the node of the first voter of a village. It does not run; before it is made, its store is prepared.
func (v *village) idle(prepare func(*store.Store)) *Node {
	t := v.t
	t.Helper()
	st, log := v.store(0), slog.New(slog.DiscardHandler)
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if prepare != nil {
		prepare(st)
	}
	registry := prometheus.NewRegistry()
	n, err := New(DefaultConfig(), Parts{
		Genesis: v.genesis, Key: v.signers[0].Key, Store: st, Gossip: gossip.DefaultConfig(v.genesis.ID, v.signers[0].Key),
		GossipMetrics: gossip.NewMetrics(registry), Metrics: NewMetrics(registry), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMaySign(t *testing.T) {
	v := newVillage(t, nil)
	member, stranger := v.signers[0].Head.Key, kit.Key(50).Public()
	for name, c := range map[string]struct {
		key     domain.PublicKey
		signing store.Signing
		may     bool
		why     string
	}{
		"a member":                        {member, store.Signing{}, true, ""},
		"no member":                       {stranger, store.Signing{}, false, ""},
		"a backup":                        {member, store.Signing{Backup: true}, false, "not restored"},
		"a backup of no member":           {stranger, store.Signing{Backup: true}, false, "not restored"},
		"restored, not yet listed":        {member, store.Signing{Epoch: 9, RestoredMS: 1}, false, "names signing epoch 9"},
		"restored on another machine":     {member, store.Signing{Epoch: 9}, false, "restored on another machine"},
		"restored, and the epoch is here": {member, store.Signing{RestoredMS: 1}, true, ""},
	} {
		may, why := maySign(v.genesis.Group, c.key, c.signing)
		if may != c.may || !strings.Contains(why, c.why) || c.why == "" && why != "" {
			t.Errorf("%s: %v, %q", name, may, why)
		}
	}
}

// A valid signature by the node's own key that is not on record ends the node; a forged one, what it signed itself,
// and what its key signed in another epoch do not.
func TestOwnSignatureNotOnRecord(t *testing.T) {
	v := newVillage(t, nil)
	signer := *v.signers[0]
	first := signer.Observe(v.genesis.Group, kit.StartMS)
	unknown := signer.Observe(v.genesis.Group, kit.StartMS+1)
	n := v.idle(func(s *store.Store) {
		if err := s.SaveVotes(store.VoteBatch{Observations: []*observation.Observation{first}}); err != nil {
			t.Fatal(err)
		}
	})
	sh := n.sh
	go sh.verifier.run(t.Context())
	halted := func() error {
		select {
		case err := <-n.failed:
			return err
		default:
			return nil
		}
	}
	if err := sh.observe(t.Context(), first); err != nil || halted() != nil {
		t.Errorf("what it signed itself: %v", err)
	}
	forged := append([]byte(nil), unknown.Raw...)
	forged[len(forged)-1] ^= 1
	if err := sh.observed(t.Context(), forged); err == nil || halted() != nil {
		t.Errorf("a forged signature: %v", err)
	}
	other := kit.Signer{Key: v.signers[0].Key, Head: observation.Head{Key: v.signers[0].Head.Key, SigningEpoch: 4}}
	if err := sh.observe(t.Context(), other.Observe(v.genesis.Group, kit.StartMS)); refusal.ReasonOf(err) != notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT || halted() != nil {
		t.Errorf("another signing epoch: %v", err)
	}
	for name, take := range map[string]func() error{
		"gossip, a pull of a range": func() error { return sh.observe(t.Context(), unknown) },
		"a pull of a fork":          func() error { return sh.takeFork(t.Context(), unknown.Raw) },
		"a pull of votes": func() error {
			return sh.keep(t.Context(), []*observation.Observation{unknown}, domain.Hash{})
		},
	} {
		if err := take(); !errors.Is(err, ErrSignedElsewhere) || !errors.Is(halted(), ErrSignedElsewhere) {
			t.Errorf("%s: %v", name, err)
		}
	}
	n.Stop()
}

// Evidence against the own key in the epoch in which it signs ends the node, and one that comes back says nothing.
func TestOwnEvidence(t *testing.T) {
	v := newVillage(t, nil)
	a, b := *v.signers[0], *v.signers[0]
	e, err := observation.ForkedChain(a.Observe(v.genesis.Group, kit.StartMS).Signed(), b.Observe(v.genesis.Group, kit.StartMS+1).Signed())
	if err != nil {
		t.Fatal(err)
	}
	n := v.idle(nil)
	if added, err := n.sh.archive.keep(e, "a peer"); !added || err != nil {
		t.Fatal(added, err)
	}
	if err := <-n.failed; !errors.Is(err, ErrSignedElsewhere) {
		t.Errorf("ended with %v", err)
	}
	n = v.idle(func(s *store.Store) {
		if _, err := s.SaveEvidence(e); err != nil {
			t.Fatal(err)
		}
	})
	problems, _ := n.Ready()
	if n.sh.batcher.signs || len(problems) != 2 || !strings.Contains(problems[1], "contradicted itself") {
		t.Errorf("the convicted node signs: %v, %v", n.sh.batcher.signs, problems)
	}
}

// A node that does not sign is silent: nothing is written, nothing is sent, nobody is told that it voted.
func TestSilentBatcher(t *testing.T) {
	s := newSigner(t)
	s.signs = false
	var answers []error
	c := cast{tx: s.v.pay(0, "a"), state: observation.Pending, answer: func(err error, _ []conflict.Record) { answers = append(answers, err) }}
	if err := s.gather(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if len(answers) != 0 || s.unsigned() != 0 || len(s.answers) != 0 {
		t.Errorf("%d answers, %d leaves", len(answers), s.unsigned())
	}
}

// What a node publishes again after a crash is all that it signed at once the last time, and nothing before.
func TestLastRow(t *testing.T) {
	v := newVillage(t, nil)
	signer := *v.signers[0]
	var all []*observation.Observation
	for _, timeMS := range []uint64{1, 1, 2, 2, 2} {
		all = append(all, signer.Observe(v.genesis.Group, kit.StartMS+timeMS))
	}
	n := v.idle(func(s *store.Store) {
		if err := s.SaveVotes(store.VoteBatch{Observations: all}); err != nil {
			t.Fatal(err)
		}
	})
	for height, want := range map[int][]*observation.Observation{0: nil, 1: all[:1], 2: all[:2], 3: all[2:3], 5: all[2:]} {
		head := observation.Head{Key: v.signers[0].Head.Key, Height: uint64(height)}
		row, err := lastRow(n.sh.store, head)
		if err != nil || !slices.EqualFunc(row, want, func(a, b *observation.Observation) bool { return a.Hash == b.Hash }) {
			t.Errorf("up to height %d: %d observations, %v, want %d", height, len(row), err, len(want))
		}
	}
}
