package observation_test

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
)

func leavesOf(n int) []byte {
	var b []byte
	for i := range n {
		b = kit.Vote(domain.Sum(domain.TagTx, fmt.Append(nil, i)), observation.Pending, 0, uint64(i)).AppendTo(b)
	}
	return b
}

func BenchmarkRoot(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		leaves := leavesOf(n)
		b.Run(fmt.Sprintf("fold/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				observation.RootOf(leaves)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/leaf")
		})
		b.Run(fmt.Sprintf("tree/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				observation.NewTree(leaves)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/leaf")
		})
	}
}

// BenchmarkRootCeilings is what the tree of BenchmarkRoot costs elsewhere: the compact range of
// transparency-dev, and the bare hashes that no tree can do without, one block a leaf and two a node.
func BenchmarkRootCeilings(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		leaves := leavesOf(n)
		b.Run(fmt.Sprintf("compact/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
			for b.Loop() {
				r := factory.NewEmptyRange(0)
				for i := range n {
					leaf := leaves[i*observation.LeafSize : (i+1)*observation.LeafSize]
					if err := r.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := r.GetRootHash(nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("hashes/%d", n), func(b *testing.B) {
			var leaf [1 + observation.LeafSize]byte
			var node [65]byte
			for b.Loop() {
				for range n {
					h := sha256.Sum256(leaf[:])
					node[1] = h[0]
					g := sha256.Sum256(node[:])
					leaf[1] = g[0]
				}
			}
		})
	}
}

func BenchmarkVerifyPath(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		leaves := leavesOf(n)
		tree := observation.NewTree(leaves)
		root, at := tree.Root(), n/3
		leaf, path := leaves[at*observation.LeafSize:(at+1)*observation.LeafSize], tree.Path(at)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !observation.VerifyPath(root, leaf, uint32(at), uint32(n), path) {
					b.Fatal("refused")
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	net := kit.New("test", kit.Equal(4)...)
	for _, n := range []int{1, 100, 10_000} {
		leaves := make([]observation.Leaf, n)
		for i := range leaves {
			leaves[i] = kit.Vote(domain.Sum(domain.TagTx, fmt.Append(nil, i)), observation.Pending, 0, 1)
		}
		o := net.Signers[0].Observe(net.Group, 1, leaves...)
		rules := observation.Rules{Network: net.Genesis.ID}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := observation.Decode(o.Raw, rules); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkProof verifies the file of one transaction without its bytes, all peers signing in batches of 1 to
// 1,000 leaves, and reports its size.
func BenchmarkProof(b *testing.B) {
	for _, n := range []int{4, 20, 100} {
		net := kit.New("test", kit.Equal(n)...)
		for _, batch := range []int{1, 8, 16, 1000} {
			tx := net.Spend("paid", 0)
			p := must(observation.BuildProof(net.Group, nil, []observation.Item{{
				ID: tx.ID, Edges: net.Accept(tx.ID, observation.Accepted, 0, n, batch),
			}}))
			file := p.EncodeFile()
			for _, batched := range []bool{false, true} {
				root := observation.NewRoot(net.Group)
				name := fmt.Sprintf("%d peers/batches of %d/one by one", n, batch)
				if batched {
					root.VerifyBatch = func(c []domain.Check) []bool { return domain.VerifyBatch(c, rand.Reader) }
					name = fmt.Sprintf("%d peers/batches of %d/batched", n, batch)
				}
				b.Run(name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						p, err := observation.DecodeFile(file, observation.Limits{})
						if err != nil {
							b.Fatal(err)
						}
						if v, err := p.Verify(root); err != nil || v.Conclusion != observation.Valid {
							b.Fatal(v, err)
						}
					}
					b.ReportMetric(float64(len(file)), "bytes")
					b.ReportMetric(float64(len(file))/float64(n), "bytes/peer")
				})
			}
		}
	}
}

// BenchmarkQuorum is BenchmarkProof with no more signers than a quorum needs, which is what nodes hand out.
func BenchmarkQuorum(b *testing.B) {
	for _, n := range []int{4, 20, 100} {
		net := kit.New("test", kit.Equal(n)...)
		for _, batch := range []int{1, 8, 16, 32, 64, 100, 1000} {
			tx := net.Spend("paid", 0)
			p := must(observation.BuildProof(net.Group, nil, []observation.Item{{
				ID: tx.ID, Edges: net.Accept(tx.ID, observation.Accepted, 0, 2*n/3+1, batch),
			}}))
			b.Run(fmt.Sprintf("%d peers/batches of %d", n, batch), func(b *testing.B) {
				for b.Loop() {
					if v, err := p.Verify(observation.NewRoot(net.Group)); err != nil || v.Conclusion != observation.Valid {
						b.Fatal(v, err)
					}
				}
				b.ReportMetric(float64(len(p.EncodeFile())), "bytes")
			})
		}
	}
}

func BenchmarkFollow(b *testing.B) {
	net := kit.New("test", kit.Equal(4)...)
	chain := chainOf(net, *net.Signers[0], 1, 200)
	b.ReportAllocs()
	for b.Loop() {
		c := observation.NewChains(64, 8)
		for _, o := range chain {
			if follow(c, o).Standing != observation.Extends {
				b.Fatal("a gap")
			}
		}
	}
}

// BenchmarkBuild makes and encodes the proof of one transaction, as a node does for whoever has submitted it.
func BenchmarkBuild(b *testing.B) {
	net := kit.New("test", kit.Equal(4)...)
	tx := net.Spend("paid", 0)
	item := observation.Item{ID: tx.ID, Raw: tx.Raw, Edges: net.Accept(tx.ID, observation.Accepted, 0, 3, 100)}
	b.ReportAllocs()
	for b.Loop() {
		must(observation.BuildProof(net.Group, nil, []observation.Item{item})).Encode()
	}
}
