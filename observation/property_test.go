package observation_test

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// TestMoreEdgesMoreWeight: whatever edges are left out, the weight that is left is the sum of the shares that
// are left, and what was valid with fewer stays valid with more.
func TestMoreEdgesMoreWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		net := drawNetwork(t)
		tx := net.Spend("paid", 0)
		all := net.Accept(tx.ID, observation.Accepted, 0, len(net.Signers), 3)
		all = rapid.Permutation(all).Draw(t, "order")
		valid := false
		for n := 1; n <= len(all); n++ {
			p := must(observation.BuildProof(net.Group, nil, []observation.Item{{ID: tx.ID, Edges: all[:n]}}))
			v := must(p.Verify(observation.NewRoot(net.Group)))
			var want group.Weight
			peers := map[string]bool{}
			for _, e := range all[:n] {
				want += net.Group.Share(e.Header.Key)
				i, _ := net.Group.Voter(e.Header.Key)
				peers[net.Group.Voters()[i].PeerID.String()] = true
			}
			got := v.Transactions[0]
			if got.Weight != want || len(got.Peers) != len(peers) {
				t.Fatalf("%d edges: weight %d of %d peers, want %d of %d", n, got.Weight, len(got.Peers), want, len(peers))
			}
			now := v.Conclusion == observation.Valid
			if now != group.Quorum(want) || (valid && !now) {
				t.Fatalf("%d edges of weight %d: %s", n, want, v.Conclusion)
			}
			valid = now
		}
		if !valid {
			t.Fatal("everybody signed, and it is not valid")
		}
	})
}

// TestLeavingTransactionsOut: a proof of several transactions holds a proof of each.
func TestLeavingTransactionsOut(t *testing.T) {
	net, p := twoTransactions()
	for keep := range 2 {
		raw := forge(p, func(m *notaryv1.AcceptanceProof) { m.Transactions = m.Transactions[keep : keep+1] })
		v, err := verify(net, raw)
		if err != nil || v.Conclusion != observation.Valid || v.Transactions[0].ID != p.Transactions[keep].ID {
			t.Errorf("transaction %d alone: %+v, %v", keep, v, err)
		}
	}
}

// TestOneTransactionShort: a proof is worth no more than the weakest of its transactions.
func TestOneTransactionShort(t *testing.T) {
	net, p := twoTransactions()
	for short := range 2 {
		raw := forge(p, func(m *notaryv1.AcceptanceProof) {
			m.Transactions[short].Edges = m.Transactions[short].Edges[:2]
		})
		v, err := verify(net, raw)
		if err != nil || v.Conclusion != observation.NotEnoughWeight ||
			v.Transactions[short].Conclusion != observation.NotEnoughWeight || v.Transactions[1-short].Conclusion != observation.Valid {
			t.Errorf("transaction %d short: %+v, %v", short, v, err)
		}
	}
}

// TestFlippedCertificate: no byte of a certificate without transactions can change.
func TestFlippedCertificate(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	tx := net.Spend("paid", 0)
	c := must(observation.BuildCertificate(net.Group, nil, []observation.Item{{
		ID: tx.ID, Round: 3, Edges: net.Accept(tx.ID, observation.Pending, 3, 3, 4),
	}}))
	raw := c.Encode()
	for i := range raw {
		for _, mask := range []byte{1, 2, 0x80, 0xff} {
			forged := bytes.Clone(raw)
			forged[i] ^= mask
			p, err := observation.DecodeCertificate(forged, observation.Limits{})
			if err != nil {
				continue
			}
			if v, err := p.Verify(observation.NewRoot(net.Group)); err == nil {
				t.Fatalf("byte %d flipped by %x: %s", i, mask, v.Conclusion)
			}
		}
	}
}

// TestOtherVotesDoNotCount: leaves of other states, rounds and subjects of the same batch prove nothing.
func TestOtherVotesDoNotCount(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	tx, rival := net.Spend("paid", 0), net.Spend("rival", 0)
	leaves := []observation.Leaf{
		kit.Vote(tx.ID, observation.Accepted, 1, 5),
		kit.Vote(tx.ID, observation.Pending, 1, 5),
		kit.Vote(tx.ID, observation.Abstain, 1, 5),
		kit.Vote(tx.ID, observation.Rejected, 1, 5),
		kit.Vote(tx.ID, observation.Seen, 0, 5),
		kit.Vote(tx.ID, observation.Accepted, 2, 5),
		kit.Vote(rival.ID, observation.Accepted, 1, 5),
		{Subject: tx.ID, Type: observation.SubjectObservation, State: observation.Seen, TimeMS: 5},
	}
	var batches []*observation.Observation
	item := observation.Item{ID: tx.ID, Round: 1}
	for _, s := range net.Signers[:3] {
		o := s.Observe(net.Group, 6, leaves...)
		batches, item.Edges = append(batches, o), append(item.Edges, o.Edge(0))
	}
	p := must(observation.BuildProof(net.Group, nil, []observation.Item{item}))
	for i := range leaves {
		raw := forge(p, func(m *notaryv1.AcceptanceProof) {
			m.Transactions[0].Edges[1].LeafIndex = uint32(i)
			m.Transactions[0].Edges[1].Path = batches[1].Tree().Path(i)
		})
		v, err := verify(net, raw)
		if i == 0 {
			if err != nil || v.Conclusion != observation.Valid {
				t.Fatalf("the leaf itself: %s, %v", v.Conclusion, err)
			}
			continue
		}
		wantRefusal(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT, "transactions[0].edges[1].path")
	}
}

// TestVotesOfAnotherGroup: headers that name another link or epoch do not count in this one.
func TestVotesOfAnotherGroup(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	next := nextGroup(net.Group)
	tx := net.Spend("paid", 0)
	later := *net
	later.Group = next
	edges := later.Accept(tx.ID, observation.Accepted, 0, 3, 2)
	p := must(observation.BuildProof(next, nil, []observation.Item{{ID: tx.ID, Edges: edges}}))
	raw := forge(p, func(m *notaryv1.AcceptanceProof) {
		link := net.Group.Link()
		m.GroupEpoch, m.Link = 0, link[:]
	})
	_, err := verify(net, raw)
	wantRefusal(t, err, notaryv1.Reason_REASON_BAD_SIGNATURE, "observations[0].signature")
}

// TestVerifyChangesNothing: a proof that was judged encodes as before, and is judged the same again.
func TestVerifyChangesNothing(t *testing.T) {
	net, p := twoTransactions()
	before := p.Encode()
	first := must(p.Verify(observation.NewRoot(net.Group)))
	second := must(p.Verify(observation.NewRoot(net.Group)))
	if !bytes.Equal(p.Encode(), before) || first.Transactions[1].Weight != second.Transactions[1].Weight {
		t.Fatal("verification left a trace")
	}
}

// TestBuildKeepsItsInput: the builder sorts copies.
func TestBuildKeepsItsInput(t *testing.T) {
	net := kit.New("test", kit.Equal(7)...)
	tx := net.Spend("paid", 0)
	edges := net.Accept(tx.ID, observation.Accepted, 0, 7, 2)
	slices.Reverse(edges)
	keys := func() (out []string) {
		for _, e := range edges {
			out = append(out, e.Header.Key.String())
		}
		return out
	}
	before := keys()
	must(observation.BuildProof(net.Group, nil, []observation.Item{{ID: tx.ID, Edges: edges}}))
	if !slices.Equal(before, keys()) {
		t.Fatal("the builder sorted its input")
	}
}

// TestProofTooLarge: what no decoder would read is not built.
func TestProofTooLarge(t *testing.T) {
	net := kit.New("test", kit.Equal(4)...)
	tx := net.Spend("paid", 0)
	edges := net.Accept(tx.ID, observation.Accepted, 0, 3, 1)
	item := []observation.Item{{ID: tx.ID, Edges: edges}}
	of := func(bytes int) []*observation.Link {
		return []*observation.Link{{Group: net.Group, Raw: make([]byte, bytes)}}
	}
	_, err := observation.BuildProof(net.Group, of(16<<20), item)
	wantRefusal(t, err, notaryv1.Reason_REASON_TOO_LARGE, "")
	_, err = observation.BuildProof(net.Group, of(1<<20+1), item)
	wantRefusal(t, err, notaryv1.Reason_REASON_LIMIT_EXCEEDED, "links[0]")
	p := must(observation.BuildProof(net.Group, of(1<<20), item))
	if m := p.Message().(*notaryv1.AcceptanceProof); len(m.Links) != 1 || proto.Size(m) != len(p.Encode()) {
		t.Fatal("links were lost")
	}
}
