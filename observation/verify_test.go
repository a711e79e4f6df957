package observation_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func TestVerifyValid(t *testing.T) {
	net, p := proofOf(t, 4, 3, 5)
	v, err := p.Verify(observation.NewRoot(net.Group))
	if err != nil {
		t.Fatal(err)
	}
	tx := v.Transactions[0]
	if v.Conclusion != observation.Valid || v.Conclusion.ExitCode() != 0 || v.State != observation.Accepted ||
		v.Network != net.Genesis.ID || v.Link != net.Group.Link() || v.GroupEpoch != 0 {
		t.Errorf("verdict %+v", v)
	}
	if tx.Weight != 750_000_000 || tx.Quorum != 666_666_666 || tx.Missing != 0 || !tx.Included || tx.Own != nil || len(tx.Peers) != 3 {
		t.Errorf("transaction %+v", tx)
	}
	start := uint64(kit.StartMS + 1000)
	if tx.EarliestMS != start || tx.LatestMS != start+14 || tx.SpreadMS != 14 || tx.TimeMS != start+7 {
		t.Errorf("times %+v", tx)
	}
	for i, peer := range tx.Peers {
		if peer.Keys != 1 || peer.Weight != 250_000_000 || peer.Of != 250_000_000 {
			t.Errorf("peer %+v", peer)
		}
		if i > 0 && tx.Peers[i-1].PeerID.Compare(peer.PeerID) >= 0 {
			t.Error("peers out of order")
		}
	}
}

func TestVerifyNotEnough(t *testing.T) {
	for _, c := range []struct {
		peers, signers int
		missing        group.Weight
	}{{4, 2, 166_666_667}, {4, 1, 416_666_667}, {3, 2, 0}, {6, 4, 0}, {9, 6, 0}} {
		net, p := proofOf(t, c.peers, c.signers, 2)
		v, err := p.Verify(observation.NewRoot(net.Group))
		if err != nil {
			t.Fatal(err)
		}
		tx := v.Transactions[0]
		if group.Quorum(tx.Weight) != (tx.Missing == 0) || !group.Quorum(tx.Weight+tx.Missing) ||
			(tx.Missing > 0 && group.Quorum(tx.Weight+tx.Missing-1)) {
			t.Errorf("%d of %d: weight %d, missing %d", c.signers, c.peers, tx.Weight, tx.Missing)
		}
		want := observation.NotEnoughWeight
		if tx.Missing == 0 {
			want = observation.Valid
		}
		if v.Conclusion != want || tx.Conclusion != want || (c.missing > 0 && tx.Missing != c.missing) {
			t.Errorf("%d of %d: %+v", c.signers, c.peers, v)
		}
	}
}

func TestVerifyForged(t *testing.T) {
	net, p := twoTransactions()
	if v, err := verify(net, p.Encode()); err != nil || v.Conclusion != observation.Valid {
		t.Fatalf("the proof to be spoiled: %+v, %v", v, err)
	}
	for _, f := range forgeries() {
		t.Run(f.name, func(t *testing.T) {
			v, err := verify(net, forge(p, f.change))
			wantRefusal(t, err, f.reason, where(p, f.field))
			if v.Conclusion != observation.Invalid || v.Transactions != nil {
				t.Fatalf("verdict beside an error: %+v", v)
			}
		})
	}
	t.Run("node key twice", func(t *testing.T) {
		net, raw := twiceTheKey()
		_, err := verify(net, raw)
		wantRefusal(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT, "transactions[0].edges[2].observation")
	})
}

// TestVerifyByHand: a proof that was never encoded gets the same structural checks.
func TestVerifyByHand(t *testing.T) {
	net, p := twoTransactions()
	root := observation.NewRoot(net.Group)
	p.Transactions[0].Edges = append(p.Transactions[0].Edges, p.Transactions[0].Edges[2])
	_, err := p.Verify(root)
	wantRefusal(t, err, notaryv1.Reason_REASON_NON_CANONICAL, "transactions[0].edges[3].observation")
	_, p = twoTransactions()
	p.State = observation.Seen
	_, err = p.Verify(root)
	wantRefusal(t, err, notaryv1.Reason_REASON_UNKNOWN_KIND, "state")
	p.State = observation.Pending
	_, err = p.Verify(root)
	wantRefusal(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT, "transactions[0].edges[0].path")
}

// TestFlippedProof flips every byte of a file. Witnesses of the transaction carried along, which are no
// part of its id, are all that may change unseen, and they change nothing that is claimed.
func TestFlippedProof(t *testing.T) {
	net, p := twoTransactions()
	file := p.EncodeFile()
	want := must(p.Verify(observation.NewRoot(net.Group)))
	raw := p.Transactions[0].Raw
	if len(raw) == 0 {
		raw = p.Transactions[1].Raw
	}
	witnesses := bytes.Index(file, raw) + bytes.Index(raw, []byte{0x12}) // not before field 2
	end := bytes.Index(file, raw) + len(raw)
	unseen := 0
	for i := range file {
		for _, mask := range []byte{1, 0x80, 0xff, 0x10} {
			forged := bytes.Clone(file)
			forged[i] ^= mask
			p, err := observation.DecodeFile(forged, observation.Limits{})
			if err != nil {
				continue
			}
			got, err := p.Verify(observation.NewRoot(net.Group))
			if err != nil {
				continue
			}
			unseen++
			if i < witnesses || i >= end {
				t.Fatalf("byte %d of %d (witnesses %d to %d) flipped by %x unseen", i, len(file), witnesses, end, mask)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("byte %d flipped by %x changed the verdict", i, mask)
			}
		}
	}
	if unseen == 0 {
		t.Fatal("no byte of a witness was flipped: the test does not test what it says")
	}
}

// drawNetwork draws a network of peers with several keys and uneven weights.
func drawNetwork(t *rapid.T) *kit.Network {
	n := rapid.IntRange(1, 8).Draw(t, "peers")
	peers := make([]kit.Peer, n)
	rest := uint64(group.Total)
	for i := range peers {
		left := uint64(n - i - 1)
		weight := rest
		if left > 0 {
			weight = rapid.Uint64Range(1, rest-left).Draw(t, "weight")
		}
		rest -= weight
		peers[i] = kit.Peer{Weight: weight, Keys: rapid.IntRange(1, 3).Draw(t, "keys")}
	}
	return kit.New("test", peers...)
}

// TestProofRoundTrip: whatever is built verifies, in every form, with the weight and the median that a slow
// twin finds.
func TestProofRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		net := drawNetwork(t)
		state := rapid.SampledFrom([]observation.State{observation.Accepted, observation.Pending}).Draw(t, "state")
		txs := rapid.IntRange(1, 4).Draw(t, "transactions")
		items := make([]observation.Item, txs)
		type signed struct {
			weight group.Weight
			timeMS uint64
		}
		votes := map[domain.Hash][]signed{}
		for i := range items {
			tx := net.Spend(string(rune('a'+i)), uint32(i))
			items[i] = observation.Item{ID: tx.ID, Round: uint32(rapid.IntRange(0, 3).Draw(t, "round"))}
			if rapid.Bool().Draw(t, "carry") {
				items[i].Raw = tx.Raw
			}
		}
		for k, s := range net.Signers {
			var leaves []observation.Leaf
			var about []int
			for i := range items {
				if k > 0 && rapid.IntRange(0, 3).Draw(t, "skip") == 0 {
					continue
				}
				timeMS := kit.StartMS + uint64(rapid.IntRange(0, 5).Draw(t, "time"))
				for range rapid.IntRange(0, 4).Draw(t, "others") {
					leaves, about = append(leaves, kit.Vote(domain.Hash{byte(len(leaves))}, observation.Abstain, 0, 1)), append(about, -1)
				}
				leaves, about = append(leaves, kit.Vote(items[i].ID, state, items[i].Round, timeMS)), append(about, i)
				votes[items[i].ID] = append(votes[items[i].ID], signed{net.Group.Voters()[k].Share, timeMS})
			}
			o := s.Observe(net.Group, kit.StartMS, leaves...)
			tree := o.Tree()
			for j, i := range about {
				if i >= 0 {
					items[i].Edges = append(items[i].Edges, observation.NewEdge(o, tree, j))
				}
			}
		}
		items = rapid.Permutation(items).Draw(t, "order")
		for i := range items {
			items[i].Edges = rapid.Permutation(items[i].Edges).Draw(t, "order")
		}
		build := observation.BuildProof
		if state == observation.Pending {
			build = observation.BuildCertificate
		}
		p := must(build(net.Group, nil, items))
		v := must(p.Verify(observation.NewRoot(net.Group)))
		for _, tx := range v.Transactions {
			var all []uint64 // one time for each unit of a coarse weight would not fit; count by weight instead
			var weight group.Weight
			for _, s := range votes[tx.ID] {
				weight += s.weight
				all = append(all, s.timeMS)
			}
			median := uint64(0)
			for _, m := range all { // the earliest time with at least half of the weight at or before it
				var upTo group.Weight
				for _, s := range votes[tx.ID] {
					if s.timeMS <= m {
						upTo += s.weight
					}
				}
				if 2*upTo >= weight && (median == 0 || m < median) {
					median = m
				}
			}
			if tx.Weight != weight || tx.TimeMS != median {
				t.Fatalf("weight %d at %d, want %d at %d", tx.Weight, tx.TimeMS, weight, median)
			}
		}
		again := decodeAgain(t, p)
		if !reflect.DeepEqual(must(again.Verify(observation.NewRoot(net.Group))), v) {
			t.Fatal("the verdict changed on the way through the encoding")
		}
		batched := observation.NewRoot(net.Group)
		batched.VerifyBatch = func(c []domain.Check) []bool { return domain.VerifyBatch(c, rand.Reader) }
		if !reflect.DeepEqual(must(p.Verify(batched)), v) {
			t.Fatal("the verdict in a batch differs")
		}
	})
}

// decodeAgain sends a proof through all its forms.
func decodeAgain(t fataler, p *observation.Proof) *observation.Proof {
	raw := p.Encode()
	decode := observation.DecodeProof
	if p.State == observation.Pending {
		decode = observation.DecodeCertificate
	}
	again := must(decode(raw, observation.Limits{}))
	if !bytes.Equal(again.Encode(), raw) {
		t.Fatalf("encodings differ")
	}
	if p.State == observation.Accepted {
		if file := must(observation.DecodeFile(p.EncodeFile(), observation.Limits{})); !bytes.Equal(file.Encode(), raw) {
			t.Fatalf("the file differs")
		}
		if j := must(observation.DecodeProofJSON(must(p.JSON()), observation.Limits{})); !bytes.Equal(j.Encode(), raw) {
			t.Fatalf("the JSON form differs")
		}
	}
	return again
}

func TestBatchNamesTheForged(t *testing.T) {
	net, p := proofOf(t, 20, 20, 2)
	p.Observations[13].Signature[7] ^= 1
	root := observation.NewRoot(net.Group)
	root.VerifyBatch = func(c []domain.Check) []bool { return domain.VerifyBatch(c, rand.Reader) }
	_, err := p.Verify(root)
	wantRefusal(t, err, notaryv1.Reason_REASON_BAD_SIGNATURE, "observations[13].signature")
}

func TestVerdictJSON(t *testing.T) {
	net, p := proofOf(t, 4, 3, 1)
	b := must(json.Marshal(must(p.Verify(observation.NewRoot(net.Group)))))
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if m["conclusion"] != "valid" || m["state"] != "ACCEPTED" || m["network"] != net.Genesis.ID.String() {
		t.Fatalf("%s", b)
	}
}

func FuzzVerify(f *testing.F) {
	net, p := twoTransactions()
	small, q := proofOf(f, 4, 3, 1)
	f.Add(p.Encode())
	f.Add(q.Encode())
	f.Add(must(observation.BuildCertificate(net.Group, nil, []observation.Item{{
		ID: zeroHash, Edges: net.Accept(zeroHash, observation.Pending, 0, 3, 2),
	}})).Encode())
	roots := []observation.Root{observation.NewRoot(net.Group), observation.NewRoot(small.Group), {}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, decode := range []func([]byte, observation.Limits) (*observation.Proof, error){observation.DecodeProof, observation.DecodeCertificate} {
			p, err := decode(raw, observation.Limits{})
			if err != nil {
				continue
			}
			if !bytes.Equal(p.Encode(), raw) {
				t.Fatalf("accepted %x, which encodes to %x", raw, p.Encode())
			}
			for _, root := range roots {
				v, err := p.Verify(root)
				if (err != nil) != (v.Conclusion == observation.Invalid) {
					t.Fatalf("%s with error %v", v.Conclusion, err)
				}
			}
		}
	})
}
