package observation_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// equals are members of one key each and equal weight, by the numbers of their keys.
func equals(a *kit.Age, keys ...int) []group.Member {
	members := make([]group.Member, len(keys))
	for i, k := range keys {
		w := group.Total / group.Weight(len(keys))
		if i == 0 {
			w += group.Total % group.Weight(len(keys))
		}
		members[i] = a.Member(w, k)
	}
	return members
}

// aged is a network of four that changed one member at each of some links.
func aged(links int) *kit.Age {
	a := kit.New("aged", kit.Equal(4)...).Ages()
	for e := range links {
		a.Grow(a.Next(equals(a, 100+e, 101+e, 102+e, 103+e)...))
	}
	return a
}

// payment is the proof of a transaction in the present epoch.
func payment(a *kit.Age, voters ...int) *observation.Proof {
	if len(voters) == 0 {
		voters = a.Everybody()
	}
	return a.Prove(a.Spend("paid", 0), 0, voters...)
}

// plainly gives a proof all links from epoch 0 on.
func plainly(a *kit.Age, p *observation.Proof) *observation.Proof {
	p.Links = a.Links[:p.GroupEpoch]
	return p
}

// again is the proof as its reader sees it.
func again(t fataler, p *observation.Proof) *observation.Proof {
	t.Helper()
	q, err := observation.DecodeProof(p.Encode(), observation.Limits{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	if !bytes.Equal(q.Encode(), p.Encode()) {
		t.Fatalf("another encoding")
	}
	return q
}

func TestPlainWalk(t *testing.T) {
	a := aged(5)
	p := again(t, plainly(a, payment(a)))
	root := a.Root()
	v := must(p.Verify(root))
	if v.Conclusion != observation.Valid || len(v.Links) != 5 || len(v.Anchors) != 5 {
		t.Fatalf("%s, %v, %d anchors", v.Conclusion, v.Links, len(v.Anchors))
	}
	for i, l := range v.Links {
		want := observation.LinkVerdict{Epoch: uint64(i + 1), Link: a.Groups[i+1].Link(), Footing: observation.Proven, By: uint64(i), Weight: group.Total}
		if anchor := v.Anchors[i]; l != want || anchor.Group.Link() != want.Link || anchor.Output != a.Links[i].Output {
			t.Errorf("link %d: %+v, want %+v", i, l, want)
		}
	}
	if len(root.Groups) != 1 {
		t.Error("verifying changed the root")
	}
	root = root.With(v.Anchors...)
	if root.Latest().Link() != p.Link {
		t.Errorf("learned up to epoch %d", root.Latest().Epoch())
	}
	// What was walked once needs no links any more, and is not walked again.
	bare := *p
	bare.Links = nil
	if v := must(bare.Verify(root)); v.Conclusion != observation.Valid || len(v.Links) != 0 {
		t.Errorf("without links: %s, %v", v.Conclusion, v.Links)
	}
	if v := must(p.Verify(root)); v.Conclusion != observation.Valid || len(v.Links) != 0 {
		t.Errorf("with links: %s, %v", v.Conclusion, v.Links)
	}
	// Whoever knows a group in the middle walks from there.
	half := observation.NewRoot(a.Groups[3])
	v = must(p.Verify(half))
	footings := func(v observation.Verdict) (all []observation.Footing) {
		for _, l := range v.Links {
			all = append(all, l.Footing)
		}
		return all
	}
	if want := []observation.Footing{observation.NotNeeded, observation.NotNeeded, observation.Known, observation.Proven, observation.Proven}; v.Conclusion != observation.Valid || !slices.Equal(footings(v), want) {
		t.Errorf("from epoch 3: %s, %v", v.Conclusion, footings(v))
	}
	// Whoever knows none of them has no trust root.
	stranger := observation.NewRoot(a.Next(equals(a, 7)...))
	v = must(p.Verify(stranger))
	if v.Conclusion != observation.NoTrustRoot || v.Links[0].Footing != observation.Unrooted || len(v.Transactions) != 0 {
		t.Errorf("a stranger: %+v", v)
	}
}

// TestSkip: while the keys of the group known live, one group is all that a proof carries; when they have
// gone, links take over.
func TestSkip(t *testing.T) {
	a := kit.New("aged", kit.Equal(8)...).Ages()
	for e := range 20 { // each link replaces one of eight
		a.Grow(a.Next(equals(a, 100+e, 101+e, 102+e, 103+e, 104+e, 105+e, 106+e, 107+e)...))
	}
	for from := range uint64(20) {
		p := payment(a)
		if err := p.LinkFrom(a.Groups[from], a.History); err != nil {
			t.Fatal(err)
		}
		p = again(t, p)
		v := must(p.Verify(observation.NewRoot(a.Groups[from])))
		if v.Conclusion != observation.Valid {
			t.Fatalf("from epoch %d: %s, %v", from, v.Conclusion, v.Links)
		}
		if direct := from >= 18; direct != (len(p.Links) == 1 && p.Links[0].Proof == nil) {
			t.Errorf("from epoch %d: %d links", from, len(p.Links))
		}
		if plain := int(20 - from); len(p.Links) > plain {
			t.Errorf("from epoch %d: %d links, plain walking takes %d", from, len(p.Links), plain)
		}
	}
	p := payment(a)
	wantRefusal(t, p.LinkFrom(a.Next(equals(a, 1)...), a.History), notaryv1.Reason_REASON_INVALID_ARGUMENT, "known_epoch")
	if err := p.LinkFrom(a.Group, a.History); err != nil || len(p.Links) != 0 {
		t.Errorf("the group known already: %d links, %v", len(p.Links), err)
	}
	if err := p.LinkFrom(a.Groups[0], func(uint64) (*observation.Link, error) { return nil, errors.New("gone") }); err == nil {
		t.Error("linked without a history")
	}
}

// TestVouchingCountsTheOlderGroup: shares of the older group, of keys in its signing epochs, more than 2/3.
func TestVouchingCountsTheOlderGroup(t *testing.T) {
	a := kit.New("aged", kit.Peer{Weight: 400_000_000, Keys: 1}, kit.Peer{Weight: 300_000_000, Keys: 1}, kit.Peer{Weight: 300_000_000, Keys: 1}).Ages()
	old := a.Group
	at := func(share group.Weight) (keys []int) {
		for i := range 3 {
			if v, ok := old.Voter(kit.Key(i).Public()); ok && old.Voters()[v].Share == share {
				keys = append(keys, i)
			}
		}
		return keys
	}
	heavy, light := at(400_000_000)[0], at(300_000_000)
	member := func(w group.Weight, key int, signingEpoch uint32) group.Member {
		m := a.Member(w, key)
		m.Keys[0].SigningEpoch = signingEpoch
		return m
	}
	for name, c := range map[string]struct {
		members []group.Member
		weight  group.Weight
	}{
		"both heavy":               {[]group.Member{member(group.Total-2, 50, 1), member(1, heavy, 1), member(1, light[0], 1)}, 700_000_000},
		"two light":                {[]group.Member{member(group.Total-2, light[0], 1), member(2, light[1], 1)}, 600_000_000},
		"another signing epoch":    {[]group.Member{member(group.Total-2, heavy, 2), member(1, light[0], 1), member(1, light[1], 1)}, 600_000_000},
		"strangers of any weight":  {[]group.Member{member(group.Total, 51, 1)}, 0},
		"a stranger and all three": {[]group.Member{member(group.Total-3, 52, 1), member(1, heavy, 1), member(1, light[0], 1), member(1, light[1], 1)}, 1_000_000_000},
	} {
		b := a.Fork()
		b.Grow(b.Next(c.members...))
		for _, s := range b.Signers {
			i, _ := b.Group.Voter(s.Head.Key)
			s.Head.SigningEpoch = b.Group.Voters()[i].SigningEpoch
		}
		p := payment(b)
		p.Links = []*observation.Link{observation.Vouched(b.Group)}
		v, err := again(t, p).Verify(b.Root())
		if err != nil {
			t.Fatal(name, err)
		}
		want := observation.NoTrustRoot
		if group.Quorum(c.weight) {
			want = observation.Valid
		}
		if v.Conclusion != want || v.Links[0].Weight != c.weight {
			t.Errorf("%s: %s by %d, want %s by %d", name, v.Conclusion, v.Links[0].Weight, want, c.weight)
		}
	}
}

// TestAcceptedByTheOlderGroupIsNotFinal is the counterexample of ADR 13: two links for one epoch, one of them
// final, the other accepted by nodes that held more than 2/3 two epochs ago. Only the first can be shown.
func TestAcceptedByTheOlderGroupIsNotFinal(t *testing.T) {
	// Weights of epoch 0: 35, 34, 16, 15; of epoch 1: a quarter each, and a little.
	a := kit.New("drift", kit.Peer{Weight: 350_000_000, Keys: 1}, kit.Peer{Weight: 340_000_000, Keys: 1}, kit.Peer{Weight: 160_000_000, Keys: 1}, kit.Peer{Weight: 150_000_000, Keys: 1}).Ages()
	var keys []int
	for _, share := range []group.Weight{350_000_000, 340_000_000, 160_000_000, 150_000_000} {
		for k := range 4 {
			if i, _ := a.Group.Voter(kit.Key(k).Public()); a.Group.Voters()[i].Share == share {
				keys = append(keys, k)
			}
		}
	}
	drifted := []group.Member{a.Member(150_000_000, keys[0]), a.Member(150_000_000, keys[1]), a.Member(350_000_000, keys[2]), a.Member(350_000_000, keys[3])}
	a.Grow(a.Next(drifted...))
	voter := func(key int) int { i, _ := a.Group.Voter(kit.Key(key).Public()); return i }
	final, rival := a.Next(equals(a, keys...)...), a.Next(equals(a, 60, 61)...)

	lost := a.LinkTx(a.Output, rival)
	accepted := a.Prove(lost, 0, slices.Sorted(slices.Values([]int{voter(keys[0]), voter(keys[1])}))...)
	if v := must(accepted.Verify(observation.NewRoot(a.Group))); v.Conclusion != observation.NotEnoughWeight || v.Transactions[0].Weight != 300_000_000 {
		t.Fatalf("%+v", v)
	}
	l := must(observation.NewLink(lost.Raw, accepted))
	b := a.Fork()
	b.Enter(l)
	p := payment(b)
	for _, links := range [][]*observation.Link{{a.Links[0], l}, {observation.Vouched(a.Group), l}} {
		p.Links = links
		_, err := again(t, p).Verify(a.Root())
		wantRefusal(t, err, notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT, "links[1].proof")
	}
	p.Links = []*observation.Link{observation.Vouched(rival)}
	if v := must(again(t, p).Verify(a.Root())); v.Conclusion != observation.NoTrustRoot {
		t.Errorf("its own members vouch for it: %s", v.Conclusion)
	}
	a.Grow(final, slices.Sorted(slices.Values([]int{voter(keys[2]), voter(keys[3])}))...)
	if v := must(plainly(a, payment(a)).Verify(a.Root())); v.Conclusion != observation.Valid {
		t.Errorf("the final one: %s", v.Conclusion)
	}
}

// TestBreak: two groups of one epoch, each with links that hold.
func TestBreak(t *testing.T) {
	a := aged(2)
	b := a.Fork()
	a.Grow(a.Next(equals(a, 102, 103, 104, 105)...))
	b.Grow(b.Next(equals(b, 102, 103, 104, 99)...))
	root := a.Root()
	root = root.With(must(plainly(a, payment(a)).Verify(root)).Anchors...)
	vouched := payment(b)
	vouched.Links = []*observation.Link{observation.Vouched(b.Group)}
	for name, c := range map[string]struct {
		proof *observation.Proof
		field string
	}{"proven": {plainly(b, payment(b)), "links[2]"}, "vouched for": {vouched, "links[0]"}} {
		_, err := again(t, c.proof).Verify(root)
		wantRefusal(t, err, notaryv1.Reason_REASON_DOUBLE_SPEND, c.field)
		var broken *observation.Break
		if !errors.As(err, &broken) || broken.Epoch != 3 || broken.Known.Link() != a.Group.Link() || broken.Other.Link() != b.Group.Link() {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What does not hold is a bad link and no break.
	c := aged(2)
	tx := c.LinkTx(c.Output, c.Next(equals(c, 102, 103, 104, 98)...))
	c.Enter(must(observation.NewLink(tx.Raw, c.Prove(tx, 0, 0, 1))))
	_, err := plainly(c, payment(c)).Verify(root)
	wantRefusal(t, err, notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT, "links[2].proof")
}

// TestCheckpoint: whoever has all keys of the first group forges what follows it, but not past a group that
// the verifier knows.
func TestCheckpoint(t *testing.T) {
	a := kit.New("old-keys", kit.Equal(4)...).Ages()
	forged := a.Fork()
	for e := range 6 {
		a.Grow(a.Next(equals(a, 100+e, 101+e, 102+e, 103+e)...))
		forged.Grow(forged.Next(forged.Group.Members()...))
	}
	p := payment(forged)
	p.Links = []*observation.Link{observation.Vouched(forged.Group)}
	if v := must(p.Verify(a.Root())); v.Conclusion != observation.Valid {
		t.Fatalf("from genesis alone: %s", v.Conclusion)
	}
	root := a.Root()
	root = root.With(observation.Anchor{Group: a.Groups[4]})
	if v := must(p.Verify(root)); v.Conclusion != observation.NoTrustRoot {
		t.Errorf("jumped over: %s", v.Conclusion)
	}
	_, err := plainly(forged, p).Verify(root)
	wantRefusal(t, err, notaryv1.Reason_REASON_DOUBLE_SPEND, "links[3]")
	honest := payment(a)
	if err := honest.LinkFrom(a.Groups[4], a.History); err != nil {
		t.Fatal(err)
	}
	if v := must(honest.Verify(root)); v.Conclusion != observation.Valid {
		t.Errorf("the true history: %s", v.Conclusion)
	}
}

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

// TestSpends: a link that leaves the output of the group before alone is none, where that output is known.
func TestSpends(t *testing.T) {
	a := aged(1)
	other := observation.GroupOutput{Transaction: a.Genesis.ID, Index: a.Genesis.LinkIndex()}
	tx := a.LinkTx(other, a.Next(equals(a, 1, 2, 3)...))
	b := a.Fork()
	b.Enter(must(observation.NewLink(tx.Raw, a.Prove(tx, 0, a.Everybody()...))))
	p := plainly(b, payment(b))
	_, err := p.Verify(a.Root())
	wantRefusal(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT, "links[1].transaction")
	// A group that was vouched for has no output known: whoever proves the next link says which it is.
	p.Links = []*observation.Link{observation.Vouched(b.Groups[1]), b.Links[1]}
	if v, err := p.Verify(observation.NewRoot(a.Groups[0], a.Groups[1])); err != nil || v.Conclusion != observation.Valid {
		t.Errorf("output unknown: %s, %v", v.Conclusion, err)
	}
}

func TestLinkLimits(t *testing.T) {
	a, p := manyLinks()
	raw := p.Encode()
	for _, c := range []struct {
		limits observation.Limits
		field  string
	}{
		{observation.Limits{MaxLinks: 3, MaxObservations: 12}, ""},
		{observation.Limits{MaxLinks: 2}, "links"},
		{observation.Limits{MaxObservations: 11}, "observations"},
		{observation.Limits{MaxObservations: 7}, "links[2].proof.observations"},
		{observation.Limits{MaxObservations: 3}, "links[0].proof.observations"},
	} {
		q, err := observation.DecodeProof(raw, c.limits)
		if c.field != "" {
			wantRefusal(t, err, notaryv1.Reason_REASON_LIMIT_EXCEEDED, c.field)
		} else if err != nil || must(q.Verify(a.Root())).Conclusion != observation.Valid {
			t.Errorf("%+v: %v", c.limits, err)
		}
	}
}

// TestLinksTwin draws histories and holds the shortest chains against all chains, and what they lead to
// against plain walking.
func TestLinksTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAge(t)
		p := payment(a)
		if a.Group.Epoch() == 0 {
			return
		}
		from := rapid.Uint64Range(0, a.Group.Epoch()-1).Draw(t, "from")
		plain := *p
		plain.Links = a.Links[from:]
		linked := *p
		if err := linked.LinkFrom(a.Groups[from], a.History); err != nil {
			t.Fatal(err)
		}
		root := observation.NewRoot(a.Groups[from])
		want, got := must(plain.Verify(root)), must(again(t, &linked).Verify(root))
		if want.Conclusion != observation.Valid || got.Conclusion != want.Conclusion {
			t.Fatalf("plain %s, linked %s by %v", want.Conclusion, got.Conclusion, got.Links)
		}
		for _, anchor := range got.Anchors {
			if anchor.Group.Link() != a.Groups[anchor.Group.Epoch()].Link() {
				t.Fatalf("epoch %d: a group that plain walking does not reach", anchor.Group.Epoch())
			}
		}
		if best := fewestBytes(a, p, from); bytesOf(linked.Links) != best {
			t.Fatalf("%d bytes of links, %d are enough", bytesOf(linked.Links), best)
		}
	})
}

// TestForgersDoNotLead: whoever has no more than 2/3 of the weight of a known group, and as many keys of its own as it
// likes, leads its verifier to no group of its own, by whatever links.
func TestForgersDoNotLead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		honest := drawAge(t)
		known := honest.At(rapid.Uint64Range(0, honest.Group.Epoch()).Draw(t, "known"))
		var stolen []int // positions among the voters of the known group
		var weight group.Weight
		for _, v := range rapid.Permutation(known.Everybody()).Draw(t, "victims") {
			if share := known.Group.Voters()[v].Share; !group.Quorum(weight + share) {
				stolen, weight = append(stolen, v), weight+share
			}
		}
		slices.Sort(stolen)
		forger := known.Fork()
		members := equals(forger, 500, 501, 502)
		for _, v := range stolen {
			key := known.Group.Voters()[v].Key
			members[0].Keys = append(members[0].Keys, group.NodeKey{Key: key, SigningEpoch: 1})
		}
		made := forger.Next(members...)
		var links []*observation.Link
		switch rapid.IntRange(0, 2).Draw(t, "how") {
		case 0: // what only stolen keys accepted
			if len(stolen) == 0 {
				return
			}
			tx := forger.LinkTx(forger.Output, made)
			links = []*observation.Link{must(observation.NewLink(tx.Raw, forger.Prove(tx, 0, stolen...)))}
			forger.Enter(links[0])
		case 1: // vouched for by stolen keys and its own
			links = []*observation.Link{observation.Vouched(made)}
			forger.Enter(links[0])
		case 2: // the same, with one proven link more
			forger.Enter(observation.Vouched(made))
			second := forger.Grow(forger.Next(equals(forger, 500, 501, 502)...))
			links = []*observation.Link{observation.Vouched(made), second}
		}
		p := payment(forger)
		p.Links = links
		v, err := again(t, p).Verify(observation.NewRoot(known.Group))
		if v.Conclusion == observation.Valid || len(v.Anchors) > 0 {
			t.Fatalf("led to %v by %d of the weight", v.Links, weight)
		}
		if err == nil && v.Conclusion != observation.NoTrustRoot {
			t.Fatalf("%s", v.Conclusion)
		}
	})
}

func bytesOf(links []*observation.Link) (n int) {
	for _, l := range links {
		n += len(l.Raw)
	}
	return n
}

// fewestBytes tries every chain, backwards from the end: jumps of powers of two, one link, or to the end.
func fewestBytes(a *kit.Age, p *observation.Proof, from uint64) int {
	end := p.GroupEpoch
	best := map[uint64]int{end: 0}
	vouches := func(by *observation.Proof, under, old *group.Group) bool {
		var sum group.Weight
		for _, v := range old.Voters() {
			at, ok := under.Voter(v.Key)
			if ok && under.Voters()[at].SigningEpoch == v.SigningEpoch && slices.ContainsFunc(by.Observations, func(o observation.ProofObservation) bool { return int(o.KeyIndex) == at }) {
				sum += v.Share
			}
		}
		return 3*sum > 2*group.Total
	}
	for e := end; e > from; {
		e--
		best[e] = len(a.Links[e].Raw) + best[e+1]
		if vouches(p, a.Groups[end], a.Groups[e]) {
			best[e] = min(best[e], len(observation.Vouched(a.Groups[end]).Raw))
		}
		for jump := uint64(1); e+jump < end; jump *= 2 {
			n := e + jump
			if vouches(a.Links[n].Proof, a.Groups[n], a.Groups[e]) {
				best[e] = min(best[e], len(observation.Vouched(a.Groups[n]).Raw)+len(a.Links[n].Raw)+best[n+1])
			}
		}
	}
	return best[from]
}

// drawAge draws a network whose members come, go, and change weight and signing epoch, and whose links are
// accepted by whoever happens to be there.
func drawAge(t *rapid.T) *kit.Age {
	a := kit.New("drawn", kit.Equal(4)...).Ages()
	keys := []int{0, 1, 2, 3}
	for range rapid.IntRange(0, 12).Draw(t, "links") {
		if rapid.Bool().Draw(t, "joins") {
			keys = append(keys, 100+int(a.Group.Epoch()))
		}
		if i := rapid.IntRange(0, len(keys)-1).Draw(t, "leaves"); len(keys) > 3 && rapid.Bool().Draw(t, "left") {
			keys = slices.Delete(slices.Clone(keys), i, i+1)
		}
		members := equals(a, keys...)
		shift := group.Weight(rapid.Uint64Range(0, uint64(members[1].Weight)-1).Draw(t, "shift"))
		members[0].Weight, members[1].Weight = members[0].Weight+shift, members[1].Weight-shift
		var voters []int
		var sum group.Weight
		for _, v := range rapid.Permutation(a.Everybody()).Draw(t, "order") {
			if group.Quorum(sum) && rapid.Bool().Draw(t, "enough") {
				break
			}
			voters, sum = append(voters, v), sum+a.Group.Voters()[v].Share
		}
		a.Grow(a.Next(members...), voters...)
	}
	return a
}

// FuzzLinks: no crash, one encoding, and nothing but the history's own groups is believed.
func FuzzLinks(f *testing.F) {
	a, p := manyLinks()
	f.Add(p.Encode())
	f.Add(plainly(a, payment(a)).Encode())
	for _, l := range linkForgeries() {
		f.Add(relink(p, l.change))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := observation.DecodeProof(b, observation.Limits{MaxObservations: 64})
		if err != nil {
			return
		}
		if !bytes.Equal(p.Encode(), b) {
			t.Fatal("another encoding")
		}
		v, _ := p.Verify(a.Root())
		for _, anchor := range v.Anchors {
			if e := anchor.Group.Epoch(); e >= uint64(len(a.Groups)) || anchor.Group.Link() != a.Groups[e].Link() {
				t.Fatalf("believes a group of epoch %d", e)
			}
		}
	})
}

// BenchmarkWalk verifies a year of hourly links, and the chain that skips.
func BenchmarkWalk(b *testing.B) {
	a := kit.New("year", kit.Equal(20)...).Ages()
	for e := range 1000 {
		keys := make([]int, 20)
		for i := range keys {
			keys[i] = 100 + (e+19-i)/20*20 + i // each key lives for twenty links
		}
		a.Grow(a.Next(equals(a, keys...)...))
	}
	for _, kind := range []string{"plain", "shortest"} {
		p := payment(a)
		if kind == "plain" {
			p.Links = a.Links
		} else if err := p.LinkFrom(a.Groups[0], a.History); err != nil {
			b.Fatal(err)
		}
		b.Run(kind, func(b *testing.B) {
			root := a.Root()
			root.VerifyBatch = func(c []domain.Check) []bool { return domain.VerifyBatch(c, rand.Reader) }
			for b.Loop() {
				if v := must(p.Verify(root)); v.Conclusion != observation.Valid {
					b.Fatal(v.Conclusion)
				}
			}
			b.ReportMetric(float64(len(p.Links)), "links")
			b.ReportMetric(float64(bytesOf(p.Links)), "bytes")
		})
	}
	b.Run("search", func(b *testing.B) {
		p := payment(a)
		for b.Loop() {
			if err := p.LinkFrom(a.Groups[0], a.History); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestCompactLinks: a compact proof walks as any other, and vouches for nothing.
func TestCompactLinks(t *testing.T) {
	net := kit.NewBLS("compact", kit.Equal(4)...)
	a := net.Ages()
	for range 3 {
		a.Grow(a.Next(a.Group.Members()...))
	}
	c := compactOf(a.Network, 3)
	if err := c.LinkFrom(a.Groups[0], a.History); err != nil {
		t.Fatal(err)
	}
	c = must(observation.DecodeCompact(c.Encode(), observation.Limits{}))
	v, err := c.Verify(a.Root())
	if err != nil || v.Conclusion != observation.Valid || len(v.Anchors) == 0 {
		t.Fatalf("%s, %v", v.Conclusion, err)
	}
	if n := len(c.Links); n != 2 || c.Links[n-1].Proof == nil {
		t.Errorf("%d links, want one vouched for and one proven", n)
	}
	c.Links = []*observation.Link{observation.Vouched(a.Group)}
	_, err = observation.DecodeCompact(c.Encode(), observation.Limits{})
	wantRefusal(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT, "links[0]")
}
