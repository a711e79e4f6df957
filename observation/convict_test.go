package observation_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func unmarshal[M proto.Message](t fataler, b []byte, m M) M {
	t.Helper()
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatalf("%v", err)
	}
	return m
}

// someEvidence is one piece of each kind, with the network it convicts on.
func someEvidence() (*kit.Network, map[notaryv1.EvidenceKind]*observation.Evidence) {
	net := kit.New("test", kit.Equal(4)...)
	a, b := net.Spend("a", 0), net.Spend("b", 0)
	s := *net.Signers[0]
	twin := s
	o := votes(net, &s, kit.Vote(a.ID, observation.Pending, 1, 1), kit.Vote(b.ID, observation.Pending, 1, 2),
		kit.Vote(a.ID, observation.Accepted, 0, 3), kit.Vote(b.ID, observation.Accepted, 0, 4))
	pair := func(i, j int, x, y []byte) *observation.Evidence {
		return must(observation.ContradictingVotes(o.Edge(i), o.Edge(j), x, y))
	}
	return net, map[notaryv1.EvidenceKind]*observation.Evidence{
		forkedChain:          must(observation.ForkedChain(o.Signed(), votes(net, &twin).Signed())),
		conflictingPending:   pair(0, 1, a.Body, b.Body),
		conflictingAccepted:  pair(2, 3, a.Body, b.Body),
		acceptedAfterPending: pair(0, 3, a.Body, b.Body),
		conflictingFinal:     must(observation.ContradictingFinals(s.Final(net.Group, a.ID, 0), s.Final(net.Group, b.ID, 2), a.Body, b.Body)),
	}
}

// sortFinals puts the finals of evidence into their order, and the bodies with them.
func sortFinals(e *notaryv1.Evidence) {
	if bytes.Compare(must(canonical.Marshal(e.Finals[0])), must(canonical.Marshal(e.Finals[1]))) > 0 {
		e.Finals[0], e.Finals[1] = e.Finals[1], e.Finals[0]
		e.Bodies[0], e.Bodies[1] = e.Bodies[1], e.Bodies[0]
	}
}

func TestEvidenceForged(t *testing.T) {
	net, all := someEvidence()
	other := kit.New("other", kit.Equal(4)...)
	foreign := votes(other, other.Signers[0])
	const (
		invalid      = notaryv1.Reason_REASON_INVALID_ARGUMENT
		nonCanonical = notaryv1.Reason_REASON_NON_CANONICAL
		absent       = notaryv1.Reason_REASON_MISSING_FIELD
		malformed    = notaryv1.Reason_REASON_MALFORMED
		badSignature = notaryv1.Reason_REASON_BAD_SIGNATURE
	)
	type evidence = notaryv1.Evidence
	for _, c := range []struct {
		name   string
		kind   notaryv1.EvidenceKind
		change func(e *evidence)
		reason notaryv1.Reason
		field  string
	}{
		{"no kind", conflictingPending, func(e *evidence) { e.Kind = 0 }, notaryv1.Reason_REASON_UNKNOWN_KIND, "kind"},
		{"unknown kind", conflictingPending, func(e *evidence) { e.Kind = 99 }, notaryv1.Reason_REASON_UNKNOWN_KIND, "kind"},
		{"leaves as finals", conflictingPending, func(e *evidence) { e.Kind = conflictingFinal }, malformed, "leaves"},
		{"finals beside leaves", conflictingPending, func(e *evidence) { e.Finals = []*notaryv1.FinalSignature{{}} }, malformed, "finals"},
		{"finals as leaves", conflictingFinal, func(e *evidence) { e.Kind = conflictingPending }, malformed, "leaves"},
		{"leaves beside finals", conflictingFinal, func(e *evidence) { e.Leaves = []*notaryv1.SignedLeaf{{}} }, malformed, "leaves"},
		{"one final", conflictingFinal, func(e *evidence) { e.Finals = e.Finals[:1] }, malformed, "finals"},
		{"one body of finals", conflictingFinal, func(e *evidence) { e.Bodies = e.Bodies[:1] }, malformed, "bodies"},
		{"finals in the other order", conflictingFinal, func(e *evidence) {
			e.Finals[0], e.Finals[1] = e.Finals[1], e.Finals[0]
		}, nonCanonical, "finals[1]"},
		{"bodies of finals swapped", conflictingFinal, func(e *evidence) { e.Bodies[0], e.Bodies[1] = e.Bodies[1], e.Bodies[0] }, invalid, "bodies[0]"},
		{"finals for one transaction", conflictingFinal, func(e *evidence) {
			e.Finals[1].TransactionId, e.Finals[1].Round, e.Bodies[1] = e.Finals[0].TransactionId, 1<<31, e.Bodies[0]
			sortFinals(e)
		}, invalid, "finals"},
		{"finals of two keys", conflictingFinal, func(e *evidence) { flip(e.Finals[1].NodeKey); sortFinals(e) }, invalid, "finals"},
		{"finals of two signing epochs", conflictingFinal, func(e *evidence) { e.Finals[1].SigningEpoch++ }, invalid, "finals"},
		{"a final of another network", conflictingFinal, func(e *evidence) {
			e.Finals[1].Network = foreign.Header.Network[:]
			e.Finals[0].Network = foreign.Header.Network[:]
		},
			notaryv1.Reason_REASON_WRONG_NETWORK, "finals[0].network"},
		{"finals without a conflict", conflictingFinal, func(e *evidence) {
			c := net.Spend("apart", 7)
			e.Finals[1].TransactionId, e.Bodies[1] = c.ID[:], c.Body
			sortFinals(e)
		}, invalid, "bodies"},
		{"another round of a final", conflictingFinal, func(e *evidence) { e.Finals[1].Round++ }, badSignature, "finals[1].node_signature"},
		{"another link of a final", conflictingFinal, func(e *evidence) { flip(e.Finals[0].Link); flip(e.Finals[1].Link) }, badSignature, "finals[0].node_signature"},
		{"a final unsigned", conflictingFinal, func(e *evidence) { e.Finals[0].NodeSignature = nil }, absent, "finals[0].node_signature"},
		{"a final with its share", conflictingFinal, func(e *evidence) { e.Finals[0].Signature = make([]byte, 96) }, nonCanonical, "finals[0].signature"},
		{"kind of another", conflictingPending, func(e *evidence) { e.Kind = conflictingAccepted }, invalid, "kind"},
		{"one leaf", conflictingPending, func(e *evidence) { e.Leaves = e.Leaves[:1] }, malformed, "leaves"},
		{"one body", conflictingPending, func(e *evidence) { e.Bodies = e.Bodies[:1] }, malformed, "bodies"},
		{"bodies of a fork", forkedChain, func(e *evidence) { e.Bodies = [][]byte{{1}, {2}} }, malformed, "bodies"},
		{"leaves in the other order", conflictingPending, func(e *evidence) {
			e.Leaves[0], e.Leaves[1] = e.Leaves[1], e.Leaves[0]
		}, nonCanonical, "leaves[1]"},
		{"the same leaf twice", conflictingPending, func(e *evidence) { e.Leaves[1] = e.Leaves[0] }, nonCanonical, "leaves[1]"},
		{"ACCEPTED first", acceptedAfterPending, func(e *evidence) {
			e.Leaves[0], e.Leaves[1] = e.Leaves[1], e.Leaves[0]
			e.Bodies[0], e.Bodies[1] = e.Bodies[1], e.Bodies[0]
		}, nonCanonical, "leaves"},
		{"bodies swapped", acceptedAfterPending, func(e *evidence) { e.Bodies[0], e.Bodies[1] = e.Bodies[1], e.Bodies[0] }, invalid, "bodies[0]"},
		{"another body", conflictingPending, func(e *evidence) { e.Bodies[1] = net.Spend("c", 0).Body }, invalid, "bodies[1]"},
		{"no header", conflictingPending, func(e *evidence) { e.Leaves[1].Header = nil }, absent, "leaves[1].header"},
		{"no signature", conflictingPending, func(e *evidence) { e.Leaves[1].Signature = nil }, absent, "leaves[1].signature"},
		{"no leaf", conflictingPending, func(e *evidence) { e.Leaves[1].Leaf = nil }, absent, "leaves[1].leaf"},
		{"leaf of a fork", forkedChain, func(e *evidence) { e.Leaves[0].Leaf = make([]byte, 47) }, nonCanonical, "leaves[0].leaf"},
		{"index of a fork", forkedChain, func(e *evidence) { e.Leaves[1].Index = 1 }, nonCanonical, "leaves[1].leaf"},
		{"header", conflictingPending, func(e *evidence) { e.Leaves[1].Header[190] ^= 1 }, notaryv1.Reason_REASON_BAD_SIGNATURE, "leaves[1].signature"},
		{"header of height 0", conflictingPending, func(e *evidence) { copy(e.Leaves[1].Header[68:76], make([]byte, 8)) }, invalid, "leaves[1].header.height"},
		{"another network", forkedChain, func(e *evidence) {
			h := foreign.Header.Encode()
			e.Leaves[1] = &notaryv1.SignedLeaf{Header: h[:], Signature: foreign.Signature[:]}
			if bytes.Compare(e.Leaves[0].Header, h[:]) > 0 {
				e.Leaves[0], e.Leaves[1] = e.Leaves[1], e.Leaves[0]
			}
		}, notaryv1.Reason_REASON_WRONG_NETWORK, "leaves[?].header.network"},
		{"another signing epoch", acceptedAfterPending, func(e *evidence) { e.Leaves[1].Header[67] ^= 3 }, invalid, "leaves"},
		{"two heights", forkedChain, func(e *evidence) {
			copy(e.Leaves[1].Header[68:76], []byte{0xff})
			copy(e.Leaves[1].Header[76:108], []byte{1})
		}, invalid, "leaves"},
		{"signature", forkedChain, func(e *evidence) { e.Leaves[1].Signature[3] ^= 1 }, notaryv1.Reason_REASON_BAD_SIGNATURE, "leaves[1].signature"},
		{"path", conflictingPending, func(e *evidence) { e.Leaves[1].Path[3] ^= 1 }, invalid, "leaves[1].path"},
		{"index", acceptedAfterPending, func(e *evidence) { e.Leaves[1].Index = 1 }, invalid, "leaves[1].path"},
		{"state of the leaf", conflictingPending, func(e *evidence) { e.Leaves[1].Leaf[33] = 8 }, notaryv1.Reason_REASON_UNKNOWN_KIND, "leaves[1].leaf.state"},
		{"time of the leaf", conflictingPending, func(e *evidence) { e.Leaves[1].Leaf[45] ^= 1 }, invalid, "leaves[1].path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := unmarshal(t, all[c.kind].Raw, new(evidence))
			c.change(m)
			e, err := observation.DecodeEvidence(must(canonical.Marshal(m)))
			if err == nil {
				err = e.Verify(net.Genesis.ID)
			}
			field := c.field
			if field == "leaves[?].header.network" {
				field = "leaves[1].header.network"
				if domain.Hash(m.Leaves[0].Header[:32]) != net.Genesis.ID {
					field = "leaves[0].header.network"
				}
			}
			wantRefusal(t, err, c.reason, field)
		})
	}
}

// TestNoConflictConvictsNobody: evidence of votes on transactions that spend nothing in common.
func TestNoConflictConvictsNobody(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	a, b := net.Spend("a", 0), net.Spend("b", 1)
	s := *net.Signers[0]
	o := votes(net, &s, kit.Vote(a.ID, observation.Pending, 1, 1), kit.Vote(b.ID, observation.Pending, 1, 2))
	m := &notaryv1.Evidence{Kind: conflictingPending}
	h := o.Header.Encode()
	for i, tx := range []kit.Tx{a, b} {
		e := o.Edge(i)
		leaf := e.Leaf.Encode()
		m.Leaves = append(m.Leaves, &notaryv1.SignedLeaf{Header: h[:], Signature: e.Signature[:], Leaf: leaf[:], Index: e.LeafIndex, Path: e.Path})
		m.Bodies = append(m.Bodies, tx.Body)
	}
	if bytes.Compare(must(canonical.Marshal(m.Leaves[0])), must(canonical.Marshal(m.Leaves[1]))) > 0 {
		m.Leaves[0], m.Leaves[1] = m.Leaves[1], m.Leaves[0]
		m.Bodies[0], m.Bodies[1] = m.Bodies[1], m.Bodies[0]
	}
	e := must(observation.DecodeEvidence(must(canonical.Marshal(m))))
	wantRefusal(t, e.Verify(net.Genesis.ID), notaryv1.Reason_REASON_INVALID_ARGUMENT, "bodies")
}

// TestFlippedEvidence flips every byte: none convicts any more.
func TestFlippedEvidence(t *testing.T) {
	net, all := someEvidence()
	for kind, e := range all {
		for i := range e.Raw {
			for _, mask := range []byte{1, 0x80, 0xff} {
				raw := bytes.Clone(e.Raw)
				raw[i] ^= mask
				forged, err := observation.DecodeEvidence(raw)
				if err == nil && forged.Verify(net.Genesis.ID) == nil {
					t.Fatalf("%s: byte %d flipped by %x unseen", kind, i, mask)
				}
			}
		}
	}
}

func FuzzEvidence(f *testing.F) {
	net, all := someEvidence()
	for _, e := range all {
		f.Add(e.Raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := observation.DecodeEvidence(raw)
		if err != nil {
			return
		}
		var m notaryv1.Evidence
		if !bytes.Equal(must(canonical.Marshal(unmarshal(t, raw, &m))), raw) {
			t.Fatal("accepted another encoding")
		}
		if err := e.Verify(net.Genesis.ID); err == nil {
			for kind, known := range all {
				if kind == e.Kind && known.Hash == e.Hash {
					return
				}
			}
			t.Fatalf("new evidence: %x", raw)
		}
	})
}
