package observation_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/canonical"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// linkForgery spoils the links of a proof, with the part that a verifier must name.
type linkForgery struct {
	name   string
	change func(links []*notaryv1.Link) []*notaryv1.Link
	reason notaryv1.Reason
	field  string
}

// editTx changes the body of a link's transaction; the proof is then of another one.
func editTx(l *notaryv1.Link, change func(*notaryv1.TransactionBody)) {
	var tx notaryv1.Transaction
	var body notaryv1.TransactionBody
	if err := errors.Join(proto.Unmarshal(l.Transaction, &tx), proto.Unmarshal(tx.Body, &body)); err != nil {
		panic(err)
	}
	change(&body)
	tx.Body = must(canonical.Marshal(&body))
	l.Transaction = must(canonical.Marshal(&tx))
}

func editProof(l *notaryv1.Link, change func(*notaryv1.AcceptanceProof)) {
	var p notaryv1.AcceptanceProof
	if err := proto.Unmarshal(l.Proof, &p); err != nil {
		panic(err)
	}
	change(&p)
	l.Proof = must(canonical.Marshal(&p))
}

func editGroup(b []byte, change func(*notaryv1.Group)) []byte {
	var g notaryv1.Group
	if err := proto.Unmarshal(b, &g); err != nil {
		panic(err)
	}
	change(&g)
	return must(canonical.Marshal(&g))
}

// linkForgeries spoil the links of manyLinks: 0 proven, 1 vouched for, 2 proven.
func linkForgeries() []linkForgery {
	const (
		invalid      = notaryv1.Reason_REASON_INVALID_ARGUMENT
		nonCanonical = notaryv1.Reason_REASON_NON_CANONICAL
		absent       = notaryv1.Reason_REASON_MISSING_FIELD
		badSignature = notaryv1.Reason_REASON_BAD_SIGNATURE
		network      = notaryv1.Reason_REASON_WRONG_NETWORK
	)
	type links = []*notaryv1.Link
	in := func(change func(links)) func(links) links { return func(l links) links { change(l); return l } }
	groupIn := func(change func(*notaryv1.Group)) func(links) links {
		return in(func(l links) { l[1].Group = editGroup(l[1].Group, change) })
	}
	proofIn := func(change func(*notaryv1.AcceptanceProof)) func(links) links {
		return in(func(l links) { editProof(l[2], change) })
	}
	txIn := func(change func(*notaryv1.TransactionBody)) func(links) links {
		return in(func(l links) { editTx(l[0], change) })
	}
	return []linkForgery{
		{"an empty link", in(func(l links) { l[0] = &notaryv1.Link{} }), absent, "links[0].transaction"},
		{"no proof", in(func(l links) { l[0].Proof = nil }), absent, "links[0].proof"},
		{"no transaction", in(func(l links) { l[0].Transaction = nil }), absent, "links[0].transaction"},
		{"group and transaction", in(func(l links) { l[0].Group = l[1].Group }), invalid, "links[0].group"},
		{"group and proof", in(func(l links) { l[1].Proof = l[2].Proof }), invalid, "links[1].group"},
		{"the first left out", func(l links) links { return l[1:] }, 0, ""},
		{"the last left out", func(l links) links { return l[:2] }, invalid, "link"},
		{"the middle left out", func(l links) links { return append(l[:1:1], l[2]) }, invalid, "links[1].proof.link"},
		{"out of order", func(l links) links { return links{l[1], l[0], l[2]} }, invalid, "links[1].proof.link"},
		{"two vouched for", func(l links) links { return links{l[0], l[1], l[1], l[2]} }, invalid, "links[2]"},
		{"one more at the end", func(l links) links { return append(l, l[2]) }, invalid, "links[3].proof.link"},

		{"group unreadable", in(func(l links) { l[1].Group = append(l[1].Group, 0x30, 1) }), nonCanonical, "links[1].group"},
		{"group of another network", groupIn(func(g *notaryv1.Group) { flip(g.Network) }), network, "links[1]"},
		{"group without network", groupIn(func(g *notaryv1.Group) { g.Network = nil }), absent, "links[1].group.network"},
		{"group of epoch 0", groupIn(func(g *notaryv1.Group) { g.Epoch, g.Previous = 0, nil }), invalid, "links[1].group.epoch"},
		{"group of epoch 0 after another", groupIn(func(g *notaryv1.Group) { g.Epoch = 0 }), invalid, "links[1].group.previous"},
		{"group without the one before", groupIn(func(g *notaryv1.Group) { g.Previous = nil }), invalid, "links[1].group.previous"},
		{"group of zeros before", groupIn(func(g *notaryv1.Group) { g.Epoch, g.Previous = 0, make([]byte, 32) }), nonCanonical, "links[1].group.previous"},
		{"group of another epoch", groupIn(func(g *notaryv1.Group) { g.Epoch-- }), invalid, "links[2].proof.link"},
		{"an earlier group", in(func(l links) { l[1].Group = editGroup(l[1].Group, func(g *notaryv1.Group) { g.Epoch = 1 }) }), invalid, "links[1].group.epoch"},
		{"weights above the whole", groupIn(func(g *notaryv1.Group) { g.Members[0].Weight++ }), invalid, "links[1].group.members"},
		{"a member without weight", groupIn(func(g *notaryv1.Group) { g.Members[0].Weight = 0 }), invalid, "links[1].group.members"},
		{"a member without id", groupIn(func(g *notaryv1.Group) { g.Members[0].PeerId = nil }), absent, "links[1].group.members"},
		{"a member without keys", groupIn(func(g *notaryv1.Group) { g.Members[0].Keys = nil }), invalid, "links[1].group.members"},
		{"a key that is none", groupIn(func(g *notaryv1.Group) { g.Members[0].Keys[0].Key = nil }), absent, "links[1].group.members"},
		{"members out of order", groupIn(func(g *notaryv1.Group) { slices.Reverse(g.Members) }), invalid, "links[1].group.members"},
		{"a key of two members", groupIn(func(g *notaryv1.Group) { g.Members[0].Keys[0].Key = g.Members[1].Keys[0].Key }), invalid, "links[1].group.members"},
		{"nobody", groupIn(func(g *notaryv1.Group) { g.Members = nil }), invalid, "links[1].group.members"},
		{"evidence out of order", groupIn(func(g *notaryv1.Group) {
			g.Evidence = [][]byte{bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{1}, 32)}
		}), invalid, "links[1].group.evidence"},
		{"other members", groupIn(func(g *notaryv1.Group) {
			g.Members[0].Weight, g.Members[1].Weight = g.Members[0].Weight-1, g.Members[1].Weight+1
		}), invalid, "links[2].proof.link"},

		{"transaction unreadable", in(func(l links) { l[0].Transaction = []byte{0x18, 1} }), nonCanonical, "links[0].transaction"},
		{"transaction without body", in(func(l links) { l[0].Transaction = []byte{0x12, 0} }), absent, "links[0].transaction.body"},
		{"transaction with witnesses", in(func(l links) { l[0].Transaction = append(l[0].Transaction, 0x12, 0) }), nonCanonical, "links[0].transaction.witnesses"},
		{"body unreadable", in(func(l links) { l[0].Transaction = []byte{0x0a, 2, 0x50, 1} }), nonCanonical, "links[0].transaction.body"},
		{"nothing spent", txIn(func(b *notaryv1.TransactionBody) { b.Inputs = nil }), invalid, "links[0].proof.transactions[0].transaction_id"},
		{"an outpoint of nothing", txIn(func(b *notaryv1.TransactionBody) { b.Inputs[0].Outpoint.Transaction = nil }), absent, "links[0].transaction.body.inputs.outpoint.transaction"},
		{"no group made", txIn(func(b *notaryv1.TransactionBody) { b.Outputs[0].Kind = notaryv1.OutputKind_OUTPUT_KIND_DATA }), absent, "links[0].transaction.body.outputs"},
		{"two groups made", txIn(func(b *notaryv1.TransactionBody) { b.Outputs = append(b.Outputs, b.Outputs[0]) }), invalid, "links[0].transaction.body.outputs[1]"},
		{"a group of nothing", txIn(func(b *notaryv1.TransactionBody) { b.Outputs[0].Data = nil }), absent, "links[0].transaction.body.outputs[0].data.payload.network"},
		{"another group made", txIn(func(b *notaryv1.TransactionBody) {
			b.Outputs[0].Data.Payload = editGroup(b.Outputs[0].Data.Payload, func(g *notaryv1.Group) { g.Members[0].Keys[0].SigningEpoch = 9 })
		}), invalid, "links[0].proof.transactions[0].transaction_id"},

		{"proof unreadable", in(func(l links) { l[2].Proof = l[2].Proof[1:] }), notaryv1.Reason_REASON_MALFORMED, "?"},
		{"proof with links", proofIn(func(p *notaryv1.AcceptanceProof) { p.Links = [][]byte{{}} }), invalid, "links[2].proof.links"},
		{"proof with the transaction", in(func(l links) {
			editProof(l[2], func(p *notaryv1.AcceptanceProof) { p.Transactions[0].Transaction = l[2].Transaction })
		}), nonCanonical, "links[2].proof.transactions[0].transaction"},
		{"proof of nothing", proofIn(func(p *notaryv1.AcceptanceProof) { p.Transactions, p.Observations = nil, nil }), absent, "links[2].proof.transactions"},
		{"proof of another network", proofIn(func(p *notaryv1.AcceptanceProof) { flip(p.Network) }), network, "links[2].proof.network"},
		{"proof by another epoch", proofIn(func(p *notaryv1.AcceptanceProof) { p.GroupEpoch++ }), invalid, "links[2].proof.group_epoch"},
		{"proof by another group", proofIn(func(p *notaryv1.AcceptanceProof) { flip(p.Link) }), invalid, "links[2].proof.link"},
		{"signature", proofIn(func(p *notaryv1.AcceptanceProof) { flip(p.Observations[1].Signature) }), badSignature, "links[2].proof.observations[1].signature"},
		{"signature of the first", in(func(l links) {
			editProof(l[0], func(p *notaryv1.AcceptanceProof) { flip(p.Observations[0].Signature) })
		}), badSignature, "links[0].proof.observations[0].signature"},
		{"key of nobody", proofIn(func(p *notaryv1.AcceptanceProof) { p.Observations[3].KeyIndex = 9 }), invalid, "links[2].proof.observations[3].key_index"},
		{"signing epoch", proofIn(func(p *notaryv1.AcceptanceProof) { p.Observations[0].SigningEpoch = 2 }), invalid, "links[2].proof.observations[0].signing_epoch"},
		{"round", proofIn(func(p *notaryv1.AcceptanceProof) { p.Transactions[0].Round++ }), invalid, "links[2].proof.transactions[0].edges[0].path"},
		{"too few", in(func(l links) {
			editProof(l[0], func(p *notaryv1.AcceptanceProof) {
				p.Observations, p.Transactions[0].Edges = p.Observations[:2], p.Transactions[0].Edges[:2]
			})
		}), notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT, "links[0].proof"},
		{"too few to vouch", proofIn(func(p *notaryv1.AcceptanceProof) {
			p.Observations, p.Transactions[0].Edges = p.Observations[:2], p.Transactions[0].Edges[:2]
		}), 0, ""},
	}
}

// manyLinks is a proof with links of both kinds: 0 proven, 1 vouched for, 2 proven.
func manyLinks() (*kit.Age, *observation.Proof) {
	a := kit.New("linked", kit.Equal(4)...).Ages()
	for e := range 4 {
		members := equals(a, 100, 101, 102, 103+e)
		a.Grow(a.Next(members...))
	}
	p := payment(a)
	p.Links = []*observation.Link{a.Links[0], observation.Vouched(a.Groups[3]), a.Links[3]}
	return a, p
}

// relink applies a change to the links of a proof and encodes the result.
func relink(p *observation.Proof, change func([]*notaryv1.Link) []*notaryv1.Link) []byte {
	return forge(p, func(m *notaryv1.AcceptanceProof) {
		var links []*notaryv1.Link
		for _, raw := range m.Links {
			l := new(notaryv1.Link)
			if err := proto.Unmarshal(raw, l); err != nil {
				panic(err)
			}
			links = append(links, l)
		}
		m.Links = nil
		for _, l := range change(links) {
			m.Links = append(m.Links, must(canonical.Marshal(l)))
		}
	})
}

func TestForgedLinks(t *testing.T) {
	a, p := manyLinks()
	if v := must(again(t, p).Verify(a.Root())); v.Conclusion != observation.Valid || v.Links[1].Footing != observation.VouchedFor || v.Links[1].By != 1 {
		t.Fatalf("%+v", v)
	}
	for _, f := range linkForgeries() {
		t.Run(f.name, func(t *testing.T) {
			q, err := observation.DecodeProof(relink(p, f.change), observation.Limits{})
			var v observation.Verdict
			if err == nil {
				v, err = q.Verify(a.Root())
			}
			switch {
			case f.reason == 0:
				if err != nil || v.Conclusion != observation.NoTrustRoot {
					t.Errorf("%s, %v", v.Conclusion, err)
				}
			case f.field == "?":
				if err == nil {
					t.Error("accepted")
				}
			default:
				wantRefusal(t, err, f.reason, f.field)
			}
		})
	}
}
