package node

import (
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// processor is what this process has used so far.
func processor(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPath takes transactions from their bytes to FINAL at a node that decides alone, 2000 at a time: what a
// transaction costs in processor time and allocations, store and signatures included and the API left out.
func BenchmarkPath(b *testing.B) {
	const txs, crowd = 40000, 2000
	for b.Loop() {
		b.StopTimer()
		v := newVillageFor(b, 1, txs, func(c *Config) { c.MaxInFlight, c.BusyAfter = 1<<18, time.Hour })
		v.dir, v.cache = b.TempDir(), 64<<20
		all := make([]*utxo.Tx, txs)
		for i := range all {
			all[i] = v.pay(uint32(i), "")
		}
		n := v.start(0)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		used := processor(b)
		b.StartTimer()
		var clients sync.WaitGroup
		for c := range crowd {
			clients.Go(func() {
				for i := c; i < txs; i += crowd {
					if _, err := n.Submit(b.Context(), "test", all[i].Raw, notaryv1.WaitLevel_WAIT_LEVEL_FINAL); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		clients.Wait()
		b.StopTimer()
		used = processor(b) - used
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(used.Microseconds())/txs, "us/tx")
		b.ReportMetric(float64(after.Mallocs-before.Mallocs)/txs, "allocs/tx")
		b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/txs, "B/tx")
		b.StartTimer()
	}
}
