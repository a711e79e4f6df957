package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// cpu reports the processor time of an operation, flushes and compactions included: it means the same
// on a busy machine. Call it when the timer starts and the result when it stops.
func cpu(b *testing.B) func() {
	stop := cpuOf(b)
	return func() { b.ReportMetric(stop()/float64(b.N), "cpu-ns/op") }
}

// cpuOf measures the processor time of the whole process, in nanoseconds, until the result is called.
func cpuOf(b *testing.B) func() float64 {
	spent := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := spent()
	return func() float64 { return float64(spent() - before) }
}

// benchStore is on the disk that holds the temporary directory, with the settings of a real node.
func benchStore(b *testing.B, live int, change ...func(*Options)) *Store {
	b.Helper()
	o := testOptions(nil)
	o.MemBytes, o.CacheBytes, o.ReserveBytes = 0, 0, 1
	for _, f := range change {
		f(&o)
	}
	o.Genesis = utxo.Delta{Tx: network}
	for i := range live {
		to := domain.Sum(domain.TagLock, binary.BigEndian.AppendUint64(nil, uint64(i)))
		o.Genesis.Created = append(o.Genesis.Created, utxo.Created{Outpoint: genesisOutpoint(i), Output: payment(to, 10)})
	}
	s, err := Open(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { mustClose(b, s) })
	return s
}

// transfer spends two outputs and makes two, like most payments.
func transfer(b *testing.B, n int) Final {
	to := func(i uint64) utxo.Address {
		return domain.Sum(domain.TagLock, binary.BigEndian.AppendUint64(nil, uint64(n)<<2|i))
	}
	spends := []utxo.Outpoint{genesisOutpoint(2 * n), genesisOutpoint(2*n + 1)}
	return finalOf(makeTx(b, uint64(n), spends, payment(to(0), 7), payment(to(1), 13)), now+uint64(n))
}

// BenchmarkCommitFinal: transfers of two inputs and two outputs, three edges each, in synced batches.
// One operation is one transaction. With votes, this node voted on each before, so that its bytes are
// there and its vote records go.
func BenchmarkCommitFinal(b *testing.B) {
	for _, voted := range []bool{false, true} {
		for _, size := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("voted=%v/batch=%d", voted, size), func(b *testing.B) {
				b.ReportAllocs()
				s := benchStore(b, 2*(b.N+size))
				finals := make([]Final, b.N)
				bytes := 0
				for i := range finals {
					finals[i] = transfer(b, i)
					bytes += len(finals[i].Tx.Raw)
				}
				if voted {
					for i := 0; i < len(finals); i += 1000 {
						saveVotes(b, s, finals[i:min(i+1000, len(finals))], observation.Pending)
					}
				}
				b.ResetTimer()
				defer cpu(b)()
				for i := 0; i < len(finals); i += size {
					if err := s.CommitFinal(finals[i:min(i+size, len(finals))]); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				b.ReportMetric(float64(bytes)/float64(b.N), "txbytes/op")
			})
		}
	}
}

func saveVotes(b *testing.B, s *Store, finals []Final, state observation.State) {
	batch := VoteBatch{}
	var leaves []observation.Leaf
	for _, f := range finals {
		batch.Transactions = append(batch.Transactions, f.Tx)
		batch.Records = append(batch.Records, recordsOf(f.Tx, state, 0)...)
		leaves = append(leaves, voteLeaf(f.Tx.ID, state, 0))
	}
	batch.Observations = []*observation.Observation{seal(own, s.Head(ownChain(0)), now, leaves...)}
	if err := s.SaveVotes(batch); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSaveVotes: PENDING on new transfers of two inputs, one observation and one synced batch for
// each size. One operation is one vote; sealing and signing are in it.
func BenchmarkSaveVotes(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			s := benchStore(b, 0)
			finals := make([]Final, b.N)
			for i := range finals {
				finals[i] = transfer(b, i)
			}
			b.ResetTimer()
			defer cpu(b)()
			for i := 0; i < len(finals); i += size {
				saveVotes(b, s, finals[i:min(i+size, len(finals))], observation.Pending)
			}
		})
	}
}

// BenchmarkSaveObservations: one observation of 100 leaves, not synced.
func BenchmarkSaveObservations(b *testing.B) {
	b.ReportAllocs()
	s := benchStore(b, 0)
	leaves := make([]observation.Leaf, 100)
	for i := range leaves {
		leaves[i] = voteLeaf(domain.Hash{byte(i)}, observation.Pending, 0)
	}
	list := make([]*observation.Observation, b.N)
	head := observation.Head{}
	for i := range list {
		list[i] = seal(peers[0], head, now, leaves...)
		head = list[i].Head()
	}
	b.ResetTimer()
	defer cpu(b)()
	for _, o := range list {
		if err := s.SaveObservations([]*observation.Observation{o}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLookup: among a million live outputs in tables, all in the cache.
func BenchmarkLookup(b *testing.B) {
	const live = 1_000_000
	s := benchStore(b, live)
	var finals []Final
	for i := range 1000 {
		finals = append(finals, transfer(b, i))
	}
	if err := s.CommitFinal(finals); err != nil {
		b.Fatal(err)
	}
	if err := s.db.Flush(); err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for _, kind := range []struct {
		name string
		draw func() utxo.Outpoint
		ok   bool
	}{
		{"live", func() utxo.Outpoint { return genesisOutpoint(2000 + rng.IntN(live-2000)) }, true},
		{"spent", func() utxo.Outpoint { return genesisOutpoint(rng.IntN(2000)) }, true},
		{"unknown", func() utxo.Outpoint {
			return utxo.Outpoint{Tx: domain.Sum(domain.TagTx, binary.BigEndian.AppendUint64(nil, rng.Uint64()))}
		}, false},
	} {
		b.Run(kind.name, func(b *testing.B) {
			b.ReportAllocs()
			defer cpu(b)()
			for b.Loop() {
				if _, ok, err := s.Lookup(kind.draw()); ok != kind.ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
