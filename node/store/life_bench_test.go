package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// lives makes payments of one input, drawn from all live outputs, and two outputs, as node/batcher.go and
// node/committer.go write them: each observation votes PENDING on one cohort and ACCEPTED on the one before, which then
// becomes final.
type lives struct {
	b    *testing.B
	s    *Store
	rng  *rand.Rand
	live []utxo.Outpoint
	made [2][]utxo.Outpoint // by the last two cohorts: not final yet when the next is made
	salt uint64
}

// cohort makes n transactions.
func (l *lives) cohort(n int) (finals []Final) {
	var made []utxo.Outpoint
	for range n {
		i := l.rng.IntN(len(l.live))
		to := func(k uint64) utxo.Address {
			return domain.Sum(domain.TagLock, binary.BigEndian.AppendUint64(nil, l.salt<<1|k))
		}
		l.salt++
		f := finalOf(makeTx(l.b, l.salt, []utxo.Outpoint{l.live[i]}, payment(to(0), 7), payment(to(1), 13)), now+l.salt)
		l.live[i] = l.live[len(l.live)-1]
		l.live = l.live[:len(l.live)-1]
		made = append(made, utxo.Outpoint{Tx: f.Tx.ID}, utxo.Outpoint{Tx: f.Tx.ID, Index: 1})
		finals = append(finals, f)
	}
	l.live = append(l.live, l.made[0]...)
	l.made[0], l.made[1] = l.made[1], made
	return finals
}

// observe seals what every node says of two cohorts.
func observe(key domain.PrivateKey, head observation.Head, pending, accepted []Final) *observation.Observation {
	var leaves []observation.Leaf
	for i := range pending {
		leaves = append(leaves, voteLeaf(pending[i].Tx.ID, observation.Pending, 0))
	}
	for i := range accepted {
		leaves = append(leaves, voteLeaf(accepted[i].Tx.ID, observation.Accepted, 0))
	}
	return seal(key, head, now, leaves...)
}

// calm waits for flushes and compactions.
func (l *lives) calm() {
	for m := l.s.db.Metrics(); m.Flush.NumInProgress+m.Compact.NumInProgress > 0; m = l.s.db.Metrics() {
		time.Sleep(time.Millisecond)
	}
}

// BenchmarkLife: the whole life of a payment among 100,000 live outputs, in batches of 250: two votes, look-ups of its input
// as a node makes them, finality, with what flushes and compactions do of it and without making and signing. One operation
// is one transaction. B/op-disk is all that is written to files, of which log, flushed and compacted are the parts.
func BenchmarkLife(b *testing.B) {
	const live, batch, chunk = 100_000, 250, 20_000
	for _, others := range []int{0, len(peers)} {
		b.Run(fmt.Sprintf("peers=%d", others), func(b *testing.B) {
			l := &lives{b: b, s: benchStore(b, live, func(o *Options) { o.MemBytes, o.CacheBytes = 64<<20, 64<<20 }), rng: newRand(1)}
			for i := range live {
				l.live = append(l.live, genesisOutpoint(i))
			}
			b.ResetTimer()
			b.StopTimer()
			var spent float64
			var last []Final
			heads := make([]observation.Head, len(peers)+1)
			for done := 0; done < b.N; done += chunk {
				var steps []func()
				for made := done; made < min(done+chunk, b.N); made += batch {
					next, before := l.cohort(min(batch, b.N-made)), last
					last = next
					var list []*observation.Observation
					for i, key := range append(peers[:others:others], own) {
						o := observe(key, heads[i], next, before)
						heads[i] = o.Head()
						list = append(list, o)
					}
					steps = append(steps, func() { l.step(next, before, list) })
				}
				b.StartTimer()
				stop := cpuOf(b)
				for _, step := range steps {
					step()
				}
				l.calm()
				spent += stop()
				b.StopTimer()
			}
			m := l.s.db.Metrics()
			log := float64(m.WAL.BytesWritten)
			flushed, compacted := 0., 0.
			for _, level := range m.Levels {
				flushed += float64(level.TableBytesFlushed + level.BlobBytesFlushed)
				compacted += float64(level.TableBytesCompacted + level.BlobBytesCompacted)
			}
			n := float64(b.N)
			b.ReportMetric(spent/n, "cpu-ns/op")
			b.ReportMetric(log/n, "log-B/op")
			b.ReportMetric(flushed/n, "flushed-B/op")
			b.ReportMetric(compacted/n, "compacted-B/op")
			b.ReportMetric((log+flushed+compacted)/n, "disk-B/op")
			b.ReportMetric(float64(m.DiskSpaceUsage())/n, "kept-B/op")
		})
	}
}

// step writes one observation of each node, this one's last, and makes the older cohort final.
func (l *lives) step(next, before []Final, list []*observation.Observation) {
	for i := range next {
		for range 2 { // when it is checked and when it is voted on
			if _, ok, err := l.s.Lookup(next[i].Delta.Spent[0].Outpoint); !ok || err != nil {
				l.b.Fatal(ok, err)
			}
		}
	}
	batch := VoteBatch{Observation: list[len(list)-1]}
	for i := range next {
		batch.Transactions = append(batch.Transactions, next[i].Tx)
		batch.Records = append(batch.Records, recordsOf(next[i].Tx, observation.Pending, 0)...)
	}
	for i := range before {
		batch.Transactions = append(batch.Transactions, before[i].Tx)
		batch.Records = append(batch.Records, recordsOf(before[i].Tx, observation.Accepted, 0)...)
	}
	if err := l.s.SaveVotes(batch); err != nil {
		l.b.Fatal(err)
	}
	for _, o := range list[:len(list)-1] {
		if err := l.s.SaveObservations([]*observation.Observation{o}); err != nil {
			l.b.Fatal(err)
		}
	}
	if err := l.s.CommitFinal(before); err != nil {
		l.b.Fatal(err)
	}
}
