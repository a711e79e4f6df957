package observation_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

const (
	forkedChain          = notaryv1.EvidenceKind_EVIDENCE_KIND_FORKED_CHAIN
	conflictingPending   = notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_PENDING
	conflictingAccepted  = notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_ACCEPTED
	acceptedAfterPending = notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING
	conflictingFinal     = notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_FINAL
	noKind               = notaryv1.EvidenceKind_EVIDENCE_KIND_UNSPECIFIED
)

// votes signs one observation with a vote on each transaction.
func votes(net *kit.Network, s *kit.Signer, leaves ...observation.Leaf) *observation.Observation {
	return s.Observe(net.Group, kit.StartMS, leaves...)
}

func TestContradictions(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	a, b := net.Spend("a", 0, 1), net.Spend("b", 1, 2)
	pending, accepted := observation.Pending, observation.Accepted
	type cast struct {
		state observation.State
		round uint32
	}
	for _, c := range []struct {
		name string
		a, b cast // a before b in the chain
		want notaryv1.EvidenceKind
	}{
		{"pending in one round", cast{pending, 3}, cast{pending, 3}, conflictingPending},
		{"pending in two rounds", cast{pending, 3}, cast{pending, 4}, noKind},
		{"accepted in one round", cast{accepted, 0}, cast{accepted, 0}, conflictingAccepted},
		{"accepted in two rounds", cast{accepted, 0}, cast{accepted, 2}, noKind},
		{"accepted after pending above", cast{pending, 2}, cast{accepted, 1}, acceptedAfterPending},
		{"accepted after pending in the same round", cast{pending, 1}, cast{accepted, 1}, noKind},
		{"accepted after pending below", cast{pending, 0}, cast{accepted, 1}, noKind},
		{"accepted before pending above", cast{accepted, 1}, cast{pending, 2}, noKind},
		{"abstain", cast{observation.Abstain, 1}, cast{pending, 1}, noKind},
		{"rejected", cast{observation.Rejected, 1}, cast{accepted, 1}, noKind},
	} {
		for _, apart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, apart %v", c.name, apart), func(t *testing.T) {
				s := *net.Signers[0]
				x, y := kit.Vote(a.ID, c.a.state, c.a.round, 1), kit.Vote(b.ID, c.b.state, c.b.round, 2)
				var first, second observation.Edge
				if apart {
					first, second = votes(net, &s, x).Edge(0), votes(net, &s, y).Edge(0)
				} else {
					o := votes(net, &s, x, y)
					first, second = o.Edge(0), o.Edge(1)
				}
				if got := observation.Contradiction(&first, &second); got != c.want {
					t.Fatalf("%s, want %s", got, c.want)
				}
				e, err := observation.ContradictingVotes(first, second, a.Body, b.Body)
				f, err2 := observation.ContradictingVotes(second, first, b.Body, a.Body)
				if c.want == noKind {
					if !errors.Is(err, observation.ErrNoContradiction) || !errors.Is(err2, observation.ErrNoContradiction) {
						t.Fatalf("%v, %v", err, err2)
					}
					return
				}
				if err != nil || err2 != nil {
					t.Fatal(err, err2)
				}
				if !bytes.Equal(e.Raw, f.Raw) || e.Hash != f.Hash {
					t.Fatal("the order of the votes shows in the evidence")
				}
				convicts(t, net, e, c.want, s.Head)
			})
		}
	}
}

// convicts fails unless evidence survives its encoding and convicts a chain.
func convicts(t fataler, net *kit.Network, e *observation.Evidence, kind notaryv1.EvidenceKind, of observation.Head) {
	t.Helper()
	again, err := observation.DecodeEvidence(e.Raw)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if err := again.Verify(net.Genesis.ID); err != nil {
		t.Fatalf("%v", err)
	}
	if again.Kind != kind || again.Hash != e.Hash || again.Hash != domain.Sum(domain.TagEvidence, e.Raw) ||
		again.Key() != (observation.ChainID{Key: of.Key, SigningEpoch: of.SigningEpoch}) {
		t.Fatalf("convicts %+v of %s", again.Key(), again.Kind)
	}
	m := new(notaryv1.Evidence)
	if raw := must(canonical.Marshal(unmarshal(t, e.Raw, m))); !bytes.Equal(raw, e.Raw) {
		t.Fatalf("not what the encoder of protobuf makes")
	}
}

func TestNoContradiction(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	a, b, apart := net.Spend("a", 0), net.Spend("b", 0), net.Spend("apart", 5)
	vote := func(s *kit.Signer, tx domain.Hash) observation.Edge {
		return votes(net, s, kit.Vote(tx, observation.Pending, 0, 1)).Edge(0)
	}
	other := *net.Signers[0]
	other.Head = observation.Head{Key: other.Head.Key, SigningEpoch: 2}
	elsewhere := kit.New("other", kit.Equal(4)...)
	stranger := *elsewhere.Signers[0]
	for name, pair := range map[string]struct {
		x, y         observation.Edge
		bodyX, bodyY []byte
	}{
		"two keys":           {vote(net.Signers[0], a.ID), vote(net.Signers[1], b.ID), a.Body, b.Body},
		"two signing epochs": {vote(net.Signers[0], a.ID), vote(&other, b.ID), a.Body, b.Body},
		"two networks": {vote(net.Signers[0], a.ID),
			votes(elsewhere, &stranger, kit.Vote(b.ID, observation.Pending, 0, 1)).Edge(0), a.Body, b.Body},
		"one transaction": {vote(net.Signers[0], a.ID), vote(net.Signers[0], a.ID), a.Body, a.Body},
		"no conflict":     {vote(net.Signers[0], a.ID), vote(net.Signers[0], apart.ID), a.Body, apart.Body},
	} {
		_, err := observation.ContradictingVotes(pair.x, pair.y, pair.bodyX, pair.bodyY)
		if !errors.Is(err, observation.ErrNoContradiction) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := observation.ContradictingVotes(vote(net.Signers[0], a.ID), vote(net.Signers[0], b.ID), a.Body, []byte{1})
	if refusal.ReasonOf(err) == notaryv1.Reason_REASON_UNSPECIFIED {
		t.Errorf("a body that is none: %v", err)
	}
}

func TestForkedChain(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	s := *net.Signers[0]
	first := votes(net, &s)
	twin := s
	a, b := votes(net, &s, kit.Vote(domain.Hash{1}, observation.Pending, 0, 1)), votes(net, &twin)
	e := must(observation.ForkedChain(a.Signed(), b.Signed()))
	f := must(observation.ForkedChain(b.Signed(), a.Signed()))
	if !bytes.Equal(e.Raw, f.Raw) {
		t.Fatal("the order shows")
	}
	convicts(t, net, e, forkedChain, s.Head)
	for name, pair := range map[string][2]observation.SignedHeader{
		"the same":    {a.Signed(), a.Signed()},
		"two heights": {first.Signed(), a.Signed()},
		"two keys":    {first.Signed(), votes(net, net.Signers[1]).Signed()},
	} {
		if _, err := observation.ForkedChain(pair[0], pair[1]); !errors.Is(err, observation.ErrNoContradiction) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The same header under two signatures is no fork.
	again := a.Signed()
	again.Signature[0]++
	if _, err := observation.ForkedChain(a.Signed(), again); !errors.Is(err, observation.ErrNoContradiction) {
		t.Errorf("two signatures: %v", err)
	}
}

// TestContradictingFinals: rivals alone make evidence, whatever rounds and links are named, in either order.
func TestContradictingFinals(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	a, b, apart := net.Spend("a", 0, 1), net.Spend("b", 1, 2), net.Spend("apart", 5)
	s := net.Signers[0]
	final := func(s *kit.Signer, tx kit.Tx, round uint32) observation.FinalSignature {
		return s.Final(net.Group, tx.ID, round)
	}
	for rounds := range 4 {
		x, y := final(s, a, uint32(rounds%2)), final(s, b, uint32(rounds/2))
		y.Link[0] += byte(rounds) // the signature no longer holds; who makes evidence does not look
		e, err := observation.ContradictingFinals(x, y, a.Body, b.Body)
		f, err2 := observation.ContradictingFinals(y, x, b.Body, a.Body)
		if err != nil || err2 != nil || !bytes.Equal(e.Raw, f.Raw) {
			t.Fatal(err, err2)
		}
		if rounds == 0 {
			convicts(t, net, e, conflictingFinal, s.Head)
		}
	}
	other := *s
	other.Head.SigningEpoch++
	elsewhere := final(s, b, 0)
	elsewhere.Network[0]++
	for name, c := range map[string]struct {
		x, y observation.FinalSignature
		a, b kit.Tx
	}{
		"one transaction":    {final(s, a, 0), final(s, a, 1), a, a},
		"no conflict":        {final(s, a, 0), final(s, apart, 0), a, apart},
		"two keys":           {final(s, a, 0), final(net.Signers[1], b, 0), a, b},
		"two signing epochs": {final(s, a, 0), final(&other, b, 0), a, b},
		"two networks":       {final(s, a, 0), elsewhere, a, b},
	} {
		if _, err := observation.ContradictingFinals(c.x, c.y, c.a.Body, c.b.Body); !errors.Is(err, observation.ErrNoContradiction) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConflict(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	read := func(position uint32) []byte {
		var m notaryv1.TransactionBody
		unmarshal(t, net.Spend("reader", position, 9).Body, &m)
		m.Inputs[0].Kind = notaryv1.InputKind_INPUT_KIND_READ
		return must(canonical.Marshal(&m))
	}
	for _, c := range []struct {
		name string
		a, b []byte
		want bool
	}{
		{"one in common", net.Spend("a", 1, 2).Body, net.Spend("b", 3, 2).Body, true},
		{"nothing in common", net.Spend("a", 1, 2).Body, net.Spend("b", 3, 4).Body, false},
		{"the same transaction", net.Spend("a", 1).Body, net.Spend("a", 1).Body, true},
		{"a read is no conflict", net.Spend("a", 1).Body, read(1), false},
		{"nor is it read by both", read(1), read(1)[:], true}, // both spend 9
	} {
		got, err := observation.Conflict(c.a, c.b)
		back, err2 := observation.Conflict(c.b, c.a)
		if err != nil || err2 != nil || got != c.want || back != c.want {
			t.Errorf("%s: %v, %v, %v, %v", c.name, got, back, err, err2)
		}
	}
	bare := must(canonical.Marshal(&notaryv1.TransactionBody{Inputs: []*notaryv1.Input{{Kind: notaryv1.InputKind_INPUT_KIND_SPEND}}}))
	_, err := observation.Conflict(bare, bare)
	wantRefusal(t, err, notaryv1.Reason_REASON_MISSING_FIELD, "bodies[0].inputs.outpoint.transaction")
	_, err = observation.Conflict(net.Spend("a", 1).Body, bare)
	wantRefusal(t, err, notaryv1.Reason_REASON_MISSING_FIELD, "bodies[1].inputs.outpoint.transaction")
}

// cast is a vote of the histories below, with its place in the chain.
type cast struct {
	tx    int
	state observation.State
	round uint32
}

// honest keeps N1, N3 and N4 over txs that all conflict, as a voter of one key does, over calls in any order.
type honest struct {
	pending  map[uint32]int // round -> tx
	accepted map[uint32]int
	cast     []cast
}

func (h *honest) try(c cast) bool {
	switch c.state {
	case observation.Pending:
		if tx, ok := h.pending[c.round]; ok && (tx != c.tx || h.has(c)) {
			return false
		}
		h.pending[c.round] = c.tx
	case observation.Accepted:
		if tx, ok := h.accepted[c.round]; ok && (tx != c.tx || h.has(c)) {
			return false
		}
		for round, tx := range h.pending {
			if round > c.round && tx != c.tx {
				return false
			}
		}
		h.accepted[c.round] = c.tx
	}
	h.cast = append(h.cast, c)
	return true
}

func (h *honest) has(c cast) bool {
	for _, x := range h.cast {
		if x == c {
			return true
		}
	}
	return false
}

// drawHistory lets an honest voter sign what it may of a random sequence, in batches.
func drawHistory(t *rapid.T, net *kit.Network, txs []kit.Tx) (*honest, []observation.Edge) {
	h := &honest{pending: map[uint32]int{}, accepted: map[uint32]int{}}
	s := *net.Signers[0]
	var edges []observation.Edge
	for range rapid.IntRange(1, 6).Draw(t, "batches") {
		var leaves []observation.Leaf
		for range rapid.IntRange(0, 6).Draw(t, "votes") {
			c := cast{
				rapid.IntRange(0, len(txs)-1).Draw(t, "tx"),
				observation.State(rapid.Uint8Range(1, 4).Draw(t, "state")),
				uint32(rapid.IntRange(0, 4).Draw(t, "round")),
			}
			if h.try(c) {
				leaves = append(leaves, kit.Vote(txs[c.tx].ID, c.state, c.round, 1))
			}
		}
		o := votes(net, &s, leaves...)
		for i := range leaves {
			edges = append(edges, o.Edge(i))
		}
	}
	return h, edges
}

func rivals(net *kit.Network) []kit.Tx {
	var txs []kit.Tx
	for i := range 3 {
		txs = append(txs, net.Spend(fmt.Sprint(i), 0))
	}
	return txs
}

// TestHonestIsNeverConvicted: no two votes of a voter that keeps the rules make evidence.
func TestHonestIsNeverConvicted(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	txs := rivals(net)
	body := bodies(txs)
	rapid.Check(t, func(t *rapid.T) {
		_, edges := drawHistory(t, net, txs)
		for i := range edges {
			for j := range edges {
				x, y := edges[i], edges[j]
				if _, err := observation.ContradictingVotes(x, y, body[x.Leaf.Subject], body[y.Leaf.Subject]); !errors.Is(err, observation.ErrNoContradiction) {
					t.Fatalf("%+v and %+v: %v", x.Leaf, y.Leaf, err)
				}
			}
		}
	})
}

func bodies(txs []kit.Tx) map[domain.Hash][]byte {
	body := map[domain.Hash][]byte{}
	for _, tx := range txs {
		body[tx.ID] = tx.Body
	}
	return body
}

// TestPlantedIsFound: one vote more that the rules forbid makes evidence with some vote before it.
func TestPlantedIsFound(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	txs := rivals(net)
	body := bodies(txs)
	planted := 0
	rapid.Check(t, func(t *rapid.T) {
		h, edges := drawHistory(t, net, txs)
		c := cast{
			rapid.IntRange(0, len(txs)-1).Draw(t, "tx"),
			observation.State(rapid.Uint8Range(1, 2).Draw(t, "state")),
			uint32(rapid.IntRange(0, 4).Draw(t, "round")),
		}
		if h.has(c) || h.try(c) {
			return
		}
		planted++
		s := *net.Signers[0]
		if len(edges) > 0 {
			last := edges[len(edges)-1].Header
			s.Head = observation.Head{Key: last.Key, SigningEpoch: last.SigningEpoch, Height: last.Height, Hash: last.Hash()}
		}
		bad := votes(net, &s, kit.Vote(txs[c.tx].ID, c.state, c.round, 1)).Edge(0)
		for _, e := range edges {
			evidence, err := observation.ContradictingVotes(e, bad, body[e.Leaf.Subject], body[bad.Leaf.Subject])
			if err != nil {
				continue
			}
			convicts(t, net, evidence, evidence.Kind, s.Head)
			return
		}
		t.Fatalf("%+v after %+v convicts nobody", c, h.cast)
	})
	if planted == 0 {
		t.Fatal("nothing was planted")
	}
}

// TestOrderedLeaves: leaves stand in the order of their encodings, PENDING first where the order says so.
func TestOrderedLeaves(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	for i := range 8 {
		a, b := net.Spend(fmt.Sprint("a", i), 0), net.Spend(fmt.Sprint("b", i), 0)
		s := *net.Signers[i%4]
		x := votes(net, &s, kit.Vote(a.ID, observation.Pending, 5, 1)).Edge(0)
		y := votes(net, &s, kit.Vote(b.ID, observation.Accepted, 2, 1)).Edge(0)
		e := must(observation.ContradictingVotes(y, x, b.Body, a.Body))
		if e.Edges[0].Leaf.State != observation.Pending || !bytes.Equal(e.Bodies[0], a.Body) {
			t.Fatal("PENDING is not first")
		}
		z := votes(net, &s, kit.Vote(b.ID, observation.Pending, 5, 1)).Edge(0)
		e = must(observation.ContradictingVotes(x, z, a.Body, b.Body))
		var m notaryv1.Evidence
		unmarshal(t, e.Raw, &m)
		if cmp.Compare(string(must(canonical.Marshal(m.Leaves[0]))), string(must(canonical.Marshal(m.Leaves[1])))) >= 0 {
			t.Fatal("leaves out of order")
		}
	}
}
