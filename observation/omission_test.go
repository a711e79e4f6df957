package observation_test

import (
	"bytes"
	"testing"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// silence is a vote on a transaction, and the chain of another key that refers to it at step 1 and then speaks of
// other things alone, a step a third of the window.
type silence struct {
	net   *kit.Network
	tx    kit.Tx
	vote  observation.Edge
	chain []*observation.Observation
}

func refers(o *observation.Observation) observation.Leaf {
	return observation.Leaf{Subject: o.Hash, Type: observation.SubjectObservation, State: observation.Seen, TimeMS: 1}
}

// keepSilent makes a silence of some steps in all; change, where there is one, says what each signs.
func keepSilent(steps int, change func(step int, s *silence) []observation.Leaf) *silence {
	net := kit.New("test", kit.Equal(4)...)
	s := &silence{net: net, tx: net.Spend("a", 0)}
	held := votes(net, net.Signers[1], kit.Vote(net.Spend("else", 3).ID, observation.Pending, 0, 1), kit.Vote(s.tx.ID, observation.Pending, 0, 1))
	s.vote = held.Edge(1)
	silent := *net.Signers[0]
	for i := range steps {
		leaves := []observation.Leaf{kit.Vote(domain.Hash{byte(i + 1)}, observation.Pending, 0, 1)}
		if i == 1 {
			leaves = append(leaves, refers(held))
		}
		if change != nil {
			leaves = append(leaves, change(i, s)...)
		}
		s.chain = append(s.chain, silent.Observe(net.Group, kit.StartMS+uint64(i)*observation.OmissionWindowMS/3+uint64(i), leaves...))
	}
	return s
}

func TestOmission(t *testing.T) {
	s := keepSilent(8, nil)
	o := must(observation.NewOmission(s.vote, s.tx.Body, s.chain[1:]))
	again := must(observation.DecodeOmission(o.Raw, s.net.Genesis.ID))
	if err := again.Verify(); err != nil {
		t.Fatal(err)
	}
	if again.Tx() != s.tx.ID || again.Key() != s.chain[0].Header.Chain() || again.Vote.Header.Key != s.net.Signers[1].Head.Key {
		t.Fatalf("%s of %v", again.Tx(), again.Key())
	}
	if len(again.Chain) != 4 {
		t.Fatalf("a chain of %d, the window takes 4", len(again.Chain))
	}
	if other := must(observation.NewOmission(s.vote, s.tx.Body, s.chain[1:5])); !bytes.Equal(other.Raw, o.Raw) {
		t.Fatal("what comes after the window shows")
	}
	if !bytes.Equal(must(canonical.Marshal(unmarshal(t, o.Raw, new(notaryv1.OmissionReport)))), o.Raw) {
		t.Fatal("not what the encoder of protobuf makes")
	}
	if !again.Speaks(func(tx domain.Hash) bool { return tx == domain.Hash{3} }) || again.Speaks(func(tx domain.Hash) bool { return tx == domain.Hash{1} }) {
		t.Fatal("speaks of other transactions than it signed")
	}
}

// TestNoOmission: a word on the transaction, whatever it says, and there is none; nor before the window is over.
func TestNoOmission(t *testing.T) {
	const invalid = notaryv1.Reason_REASON_INVALID_ARGUMENT
	for _, state := range []observation.State{observation.Pending, observation.Accepted, observation.Abstain, observation.Rejected} {
		for at := 1; at <= 4; at++ {
			s := keepSilent(8, func(step int, s *silence) []observation.Leaf {
				if step != at {
					return nil
				}
				return []observation.Leaf{kit.Vote(s.tx.ID, state, 0, 1)}
			})
			_, err := observation.NewOmission(s.vote, s.tx.Body, s.chain[1:])
			wantRefusal(t, err, invalid, []string{"", "chain[0]", "chain[1]", "chain[2]", "chain[3]"}[at])
		}
	}
	s := keepSilent(8, nil)
	self := s.vote
	self.Header.Key = s.chain[0].Header.Key
	abstains, foreign := s.vote, s.vote
	abstains.Leaf.State = observation.Abstain
	foreign.Header.Network[0]++
	for _, c := range []struct {
		name   string
		vote   observation.Edge
		body   []byte
		chain  []*observation.Observation
		reason notaryv1.Reason
		field  string
	}{
		{"too short", s.vote, s.tx.Body, s.chain[1:4], invalid, "chain"},
		{"one observation", s.vote, s.tx.Body, s.chain[1:2], invalid, "chain"},
		{"nothing", s.vote, s.tx.Body, nil, notaryv1.Reason_REASON_MISSING_FIELD, "chain"},
		{"no reference", s.vote, s.tx.Body, s.chain[2:], invalid, "chain[0]"},
		{"a gap", s.vote, s.tx.Body, append(s.chain[1:2:2], s.chain[3:]...), invalid, "chain[1]"},
		{"another body", s.vote, s.net.Spend("b", 0).Body, s.chain[1:], invalid, "body"},
		{"its own vote", self, s.tx.Body, s.chain[1:], invalid, "vote.header"},
		{"no vote for it", abstains, s.tx.Body, s.chain[1:], invalid, "vote.leaf"},
		{"another network", foreign, s.tx.Body, s.chain[1:], invalid, "vote.header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := observation.NewOmission(c.vote, c.body, c.chain)
			wantRefusal(t, err, c.reason, c.field)
		})
	}
}

func TestOmissionForged(t *testing.T) {
	s := keepSilent(8, nil)
	good := must(observation.NewOmission(s.vote, s.tx.Body, s.chain[1:]))
	const (
		invalid      = notaryv1.Reason_REASON_INVALID_ARGUMENT
		absent       = notaryv1.Reason_REASON_MISSING_FIELD
		badSignature = notaryv1.Reason_REASON_BAD_SIGNATURE
	)
	type report = notaryv1.OmissionReport
	for _, c := range []struct {
		name   string
		change func(r *report)
		reason notaryv1.Reason
		field  string
	}{
		{"no vote", func(r *report) { r.Vote = nil }, absent, "vote"},
		{"no body", func(r *report) { r.Body = nil }, absent, "body"},
		{"no chain", func(r *report) { r.Chain = nil }, absent, "chain"},
		{"vote without a leaf", func(r *report) { r.Vote.Leaf = nil }, absent, "vote.leaf"},
		{"vote of another network", func(r *report) { r.Vote.Header[0] ^= 1 }, notaryv1.Reason_REASON_WRONG_NETWORK, "vote.header.network"},
		{"signature of the vote", func(r *report) { flip(r.Vote.Signature) }, badSignature, "vote.signature"},
		{"path of the vote", func(r *report) { flip(r.Vote.Path) }, invalid, "vote.path"},
		{"index of the vote", func(r *report) { r.Vote.Index = 0 }, invalid, "vote.path"},
		{"header of the vote", func(r *report) { r.Vote.Header[190] ^= 1 }, invalid, "chain[0]"},
		{"another body", func(r *report) { r.Body = s.net.Spend("b", 0).Body }, invalid, "body"},
		{"no observation", func(r *report) { r.Chain[2] = []byte{1} }, notaryv1.Reason_REASON_MALFORMED, "chain[2]"},
		{"a leaf replaced", func(r *report) { r.Chain[1][len(r.Chain[1])-30] ^= 1 }, invalid, "chain[1].header.root"},
		{"a signature in the chain", func(r *report) { resign(t, r, 2) }, badSignature, "chain[2].signature"},
		{"backwards", func(r *report) { r.Chain[1], r.Chain[2] = r.Chain[2], r.Chain[1] }, invalid, "chain[1]"},
		{"twice", func(r *report) { r.Chain = append(r.Chain[:2:2], r.Chain[1:]...) }, invalid, "chain[2]"},
		{"beyond the window", func(r *report) { r.Chain = append(r.Chain, s.chain[5].Raw) }, notaryv1.Reason_REASON_NON_CANONICAL, "chain[3]"},
		{"before the window is over", func(r *report) { r.Chain = r.Chain[:3] }, invalid, "chain"},
		{"the reference left out", func(r *report) { r.Chain = r.Chain[1:] }, invalid, "chain[0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := unmarshal(t, good.Raw, new(report))
			c.change(m)
			o, err := observation.DecodeOmission(must(canonical.Marshal(m)), s.net.Genesis.ID)
			if err == nil {
				err = o.Verify()
			}
			wantRefusal(t, err, c.reason, c.field)
		})
	}
	_, err := observation.DecodeOmission(bytes.Repeat([]byte{0}, observation.MaxOmissionBytes+1), s.net.Genesis.ID)
	if err == nil {
		t.Error("too large, and read")
	}
}

// resign spoils the signature of an observation in the chain of a report.
func resign(t fataler, r *notaryv1.OmissionReport, i int) {
	m := unmarshal(t, r.Chain[i], new(notaryv1.Observation))
	flip(m.Signature)
	r.Chain[i] = must(canonical.Marshal(m))
}

// TestFlippedOmission flips every byte: none is a report any more.
func TestFlippedOmission(t *testing.T) {
	s := keepSilent(8, nil)
	good := must(observation.NewOmission(s.vote, s.tx.Body, s.chain[1:]))
	for i := range good.Raw {
		raw := bytes.Clone(good.Raw)
		raw[i] ^= 0x11
		o, err := observation.DecodeOmission(raw, s.net.Genesis.ID)
		if err == nil && o.Verify() == nil {
			t.Fatalf("byte %d flipped unseen", i)
		}
	}
}

func FuzzOmission(f *testing.F) {
	s := keepSilent(8, nil)
	good := must(observation.NewOmission(s.vote, s.tx.Body, s.chain[1:]))
	f.Add(good.Raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := observation.DecodeOmission(raw, s.net.Genesis.ID)
		if err != nil {
			return
		}
		if !bytes.Equal(must(canonical.Marshal(unmarshal(t, raw, new(notaryv1.OmissionReport)))), raw) {
			t.Fatal("accepted another encoding")
		}
		if o.Verify() != nil {
			return
		}
		// Without the keys nothing can be signed anew.
		if !bytes.Equal(raw, good.Raw) {
			t.Fatalf("new report: %x", raw)
		}
	})
}
