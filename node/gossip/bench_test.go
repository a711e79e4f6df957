package gossip

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/notarynet/notaryd/internal/freeport"
	"github.com/notarynet/notaryd/proto/domain"
)

// BenchmarkLatency is the time until all of four hosts have a message of 1 KB, one at a time.
func BenchmarkLatency(b *testing.B) {
	for _, c := range []struct {
		name   string
		direct bool
	}{{"flood", false}, {"direct", true}} {
		b.Run(c.name, func(b *testing.B) {
			nets := benchNets(b, c.direct, judge{})
			samples := make([]time.Duration, 0, b.N)
			raw := make([]byte, 1024)
			b.ResetTimer()
			for i := range b.N {
				raw = bytes.Clone(raw)
				binary.BigEndian.PutUint64(raw, uint64(i)+1)
				start := time.Now()
				if err := nets[0].PublishObservation(raw); err != nil {
					b.Fatal(err)
				}
				for _, n := range nets[1:] {
					<-n.Observations()
				}
				samples = append(samples, time.Since(start))
			}
			b.StopTimer()
			slices.Sort(samples)
			b.ReportMetric(float64(samples[len(samples)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(samples[len(samples)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkBatches is the rate at which batches of 64 KB, of transactions of 300 bytes, reach all of four
// hosts, with up to 8 under way; beside it that of one loopback TCP connection, the ceiling.
func BenchmarkBatches(b *testing.B) {
	for _, c := range []struct {
		name   string
		direct bool
		// verify is how long a handler takes: about what 216 signatures do in one batch.
		verify time.Duration
	}{{"flood", false, 0}, {"direct", true, 0}, {"flood-verified", false, 4 * time.Millisecond}, {"direct-verified", true, 4 * time.Millisecond}} {
		b.Run(c.name, func(b *testing.B) {
			nets := benchNets(b, c.direct, judge{transactions: func(context.Context, domain.PublicKey, [][]byte) Verdict {
				time.Sleep(c.verify) // stands for work
				return Accept
			}})
			size := 0
			b.ResetTimer()
			sentBatches, landed := 0, 0
			for landed < b.N {
				for sentBatches < b.N && sentBatches-landed < 8 {
					raws := make([][]byte, 216)
					for i := range raws {
						raws[i] = make([]byte, 300)
						binary.BigEndian.PutUint64(raws[i], uint64(sentBatches)<<16|uint64(i)+1)
					}
					var one batch
					for _, raw := range raws {
						one.add(raw)
					}
					data, items := one.take()
					size = len(data)
					nets[0].sendBatch(b.Context(), data, items)
					sentBatches++
				}
				for _, n := range nets[1:] {
					<-n.Transactions()
				}
				landed++
			}
			b.StopTimer()
			b.SetBytes(int64(size))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "batches/s")
			b.ReportMetric(216*float64(b.N)/b.Elapsed().Seconds(), "tx/s")
			duplicates := 0.0
			for _, n := range nets {
				duplicates += n.outcomes(topicTx, "duplicate")
			}
			b.ReportMetric(duplicates/float64(b.N), "duplicates/batch")
		})
	}
	b.Run("ceiling", benchLoopback)
}

func benchLoopback(b *testing.B) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			defer c.Close()
			_, err = io.CopyN(io.Discard, c, int64(b.N)*65536)
		}
		done <- err
	}()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 65536)
	b.SetBytes(65536)
	b.ResetTimer()
	for range b.N {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func benchNets(b *testing.B, direct bool, h Handlers) []*Net {
	ports := freeport.Ports(b, 4)
	var all []string
	for i, p := range ports {
		all = append(all, addrOf(i, p))
	}
	var nets []*Net
	for i := range ports {
		c := testConfig(i)
		c.Listen = []string{all[i][:len(all[i])-len("/p2p/")-len(PeerID(testKey(i).Public()).String())]}
		c.Bootstrap = all
		if direct {
			c.Direct = all
		}
		nets = append(nets, startNet(b, c, h))
	}
	for _, n := range nets {
		awaitNeighbours(b, n, 3)
		eventually(b, "mesh", func() bool {
			for _, p := range n.Peers() {
				if p.Meshes < int(numTopics) && !direct {
					return false
				}
			}
			return true
		})
	}
	return nets
}

// BenchmarkPull is one transaction of 300 bytes pulled over loopback.
func BenchmarkPull(b *testing.B) {
	nets := benchNets(b, false, judge{})
	s := newStore()
	id := s.put(make([]byte, 300))
	for _, n := range nets[1:] {
		n.Serve(b.Context(), s, nil)
	}
	keys, ids := []domain.PublicKey{nets[1].Key()}, []domain.Hash{id}
	b.ResetTimer()
	for range b.N {
		if _, err := nets[0].PullTransactions(b.Context(), keys, ids, false, checkID); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSplitBatch is the canonical check and split of a 64 KB batch.
func BenchmarkSplitBatch(b *testing.B) {
	var one batch
	for range 216 {
		one.add(make([]byte, 300))
	}
	data, _ := one.take()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := splitBatch(data); !ok {
			b.Fatal("not split")
		}
	}
}
