package node

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/notarynet/notaryd/internal/bubble"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// pendingMost is what a pending transaction may take in memory, with its goroutine, in bytes.
const pendingMost = 6 << 10

// crowded is a node with a quarter of the weight, which votes and decides nothing, and transactions for it.
func crowded(t testing.TB, txs int, cache int64) (n *villager, all []*utxo.Tx) {
	t.Helper()
	v := newVillageOf(t, txs, func(c *Config) { c.MaxInFlight = 1 << 18 })
	v.dir, v.cache = t.TempDir(), cache
	for i := range txs {
		all = append(all, v.pay(uint32(i), ""))
	}
	return v.start(0), all
}

// book brings transactions and waits until the node's own vote on each of them is on disk.
func (n *villager) book(t testing.TB, txs []*utxo.Tx) {
	t.Helper()
	for i, tx := range txs {
		if _, err := n.sh.intake(t.Context(), tx, Origin{kind: fromGossip, name: fmt.Sprint(i % 64)}, false); err != nil {
			t.Fatal(err)
		}
	}
	for _, tx := range txs {
		f := n.sh.flights.get(tx.ID)
		for {
			state, changed, err := f.snapshot()
			if err != nil {
				t.Fatal(err)
			}
			if reached(state, notaryv1.WaitLevel_WAIT_LEVEL_PENDING) {
				break
			}
			<-changed
		}
	}
}

// settle waits until the goroutine of each of them is one with a small stack, and those that had others have gone.
func (n *villager) settle(t testing.TB, txs []*utxo.Tx) {
	t.Helper()
	for _, tx := range txs {
		f := n.sh.flights.get(tx.ID)
		eventually(t, "a small stack for what waits", func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.slim
		})
	}
	eventually(t, "goroutines that nobody needs to end", func() bool { return n.sh.hands.waiting() < 64 })
}

// inUse is what lies in the heap and on the stacks, in bytes.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one has finalised
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// taken is how much more that is for each of so many transactions.
func taken(before uint64, txs int) float64 {
	return float64(int64(inUse())-int64(before)) / float64(txs)
}

// TestPendingIsSmall: what a transaction costs while it waits for long, its goroutine and its bytes included.
func TestPendingIsSmall(t *testing.T) {
	if bubble.Raced {
		t.Skip("the race detector takes its own")
	}
	const count = 10000
	n, all := crowded(t, 2*count, 1<<20) // blocks that are cached are no transaction's
	some := func(txs []*utxo.Tx) {       // not all at once: what is kept of large batches, to be used again, is no transaction's
		for few := range slices.Chunk(txs, 500) {
			n.book(t, few)
		}
		n.settle(t, txs)
	}
	some(all[:count]) // the pools and maps have grown
	before := inUse()
	some(all[count:])
	var each float64
	eventually(t, fmt.Sprintf("%d bytes at most for each pending transaction", pendingMost), func() bool { // the store may be compacting
		each = taken(before, count)
		return each <= pendingMost
	})
	t.Logf("%.0f bytes for each pending transaction", each)
	runtime.KeepAlive(all)
}

// BenchmarkBooking takes transactions from their bytes to this node's vote on disk, while others are pending: the rate
// must not fall with their number.
func BenchmarkBooking(b *testing.B) {
	for _, pending := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprintf("pending=%d", pending), func(b *testing.B) {
			const batch = 1000
			n, all := crowded(b, pending+batch, 64<<20)
			before := inUse()
			n.book(b, all[:pending])
			each := taken(before, pending)
			b.ResetTimer()
			start := time.Now()
			n.book(b, all[pending:])
			b.ReportMetric(each, "B/pending")
			b.ReportMetric(batch/time.Since(start).Seconds(), "tx/s")
		})
	}
}
