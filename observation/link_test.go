package observation_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
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
