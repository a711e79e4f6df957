package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

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

	watched bool
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

// calm waits for the index, flushes and compactions.
func (l *lives) calm() {
	for x := &l.s.index; x.written() < x.old.end()-1; {
		time.Sleep(time.Millisecond)
	}
	for m := l.s.db.Metrics(); m.Flush.NumInProgress+m.Compact.NumInProgress > 0; m = l.s.db.Metrics() {
		time.Sleep(time.Millisecond)
	}
}

// BenchmarkLife: the whole life of a payment among 100,000 live outputs, in batches of 250: two votes, look-ups of its input
// as a node makes them, finality, with what flushes and compactions do of it and without making and signing. One operation
// is one transaction. B/op-disk is all that is written to files, of which log, flushed, tables (of the index) and compacted are the parts.
func BenchmarkLife(b *testing.B) {
	const live, batch, chunk = 100_000, 250, 20_000
	for _, c := range []struct {
		others  int
		watched bool // somebody asks for the index after each batch
	}{{0, false}, {len(peers), false}, {0, true}} {
		others := c.others
		b.Run(fmt.Sprintf("peers=%d/watched=%v", others, c.watched), func(b *testing.B) {
			l := &lives{b: b, watched: c.watched, s: benchStore(b, live, func(o *Options) { o.MemBytes, o.CacheBytes = 64<<20, 64<<20 }), rng: newRand(1)}
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
			flushed, compacted, ingested := 0., 0., 0.
			for _, level := range m.Levels {
				flushed += float64(level.TableBytesFlushed + level.BlobBytesFlushed)
				ingested += float64(level.TableBytesIngested)
				compacted += float64(level.TableBytesCompacted + level.BlobBytesCompacted)
			}
			n := float64(b.N)
			b.ReportMetric(spent/n, "cpu-ns/op")
			b.ReportMetric(log/n, "log-B/op")
			b.ReportMetric(flushed/n, "flushed-B/op")
			b.ReportMetric(ingested/n, "tables-B/op")
			b.ReportMetric(compacted/n, "compacted-B/op")
			b.ReportMetric((log+flushed+ingested+compacted)/n, "disk-B/op")
			b.ReportMetric(float64(m.DiskSpaceUsage())/n, "kept-B/op")
		})
	}
}

// step writes one observation of each node, this one's last, and makes the older cohort final.
func (l *lives) step(next, before []Final, list []*observation.Observation) {
	for i := range next {
		for range 2 { // when it is checked and when it is voted on
			if _, ok, err := l.s.Lookup(next[i].Tx.Spends()[0]); !ok || err != nil {
				l.b.Fatal(ok, err)
			}
		}
	}
	batch := VoteBatch{Observations: []*observation.Observation{list[len(list)-1]}}
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
	if l.watched {
		if err := l.s.WriteIndex(); err != nil {
			l.b.Fatal(err)
		}
	}
}

// BenchmarkRound: coins that go round, each spent when 100,000 others were made: in each table of the index half is taken out that an earlier
// one brought. Batches of 500, without votes. first-page-us is how long an address waits for its first hundred outputs of tens of
// thousands.
func BenchmarkRound(b *testing.B) {
	const live, batch, part = 100_000, 500, maxChanges
	l := &lives{b: b, s: benchStore(b, live)}
	for i := range live {
		l.live = append(l.live, genesisOutpoint(i))
	}
	b.ResetTimer()
	b.StopTimer()
	var spent float64
	var list []Final
	for n := range b.N {
		f := finalOf(makeTx(b, uint64(n), l.live[:1], payment(owners[n%len(owners)], 7)), now)
		l.live = append(l.live[1:], utxo.Outpoint{Tx: f.Tx.ID})
		if list = append(list, f); len(list) < batch && n+1 < b.N {
			continue
		}
		b.StartTimer()
		stop := cpuOf(b)
		if err := l.s.CommitFinal(list); err != nil {
			b.Fatal(err)
		}
		if n/part != (n-len(list))/part {
			l.calm()
		}
		spent += stop()
		b.StopTimer()
		list = list[:0]
	}
	b.ReportMetric(spent/float64(b.N), "cpu-ns/op")
	compacted := 0.
	for _, level := range l.s.db.Metrics().Levels {
		compacted += float64(level.TableBytesCompacted)
	}
	b.ReportMetric(compacted/float64(b.N), "compacted-B/op")
	if err := l.s.WriteIndex(); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	if _, _, err := l.s.Unspent(owners[0], nil, 100); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(start).Microseconds()), "first-page-us")
}

// BenchmarkRestart: opening a store with 100,000 finals after a crash, with the index written, as Close leaves it, and with none of it.
func BenchmarkRestart(b *testing.B) {
	const finals = 100_000
	for _, indexed := range []bool{true, false} {
		b.Run(fmt.Sprintf("indexed=%v", indexed), func(b *testing.B) {
			mem := vfs.NewCrashableMem()
			s := benchStore(b, finals, func(o *Options) { o.FS, o.indexBytes = mem, 1<<30 })
			for n := 0; n < finals; n += 1000 {
				var list []Final
				for i := n; i < n+1000; i++ {
					tx := makeTx(b, uint64(i), []utxo.Outpoint{genesisOutpoint(i)}, payment(owners[0], 7), payment(owners[1], 3))
					list = append(list, finalOf(tx, now))
				}
				if err := s.CommitFinal(list); err != nil {
					b.Fatal(err)
				}
			}
			o, dir := s.options, s.dir
			o.indexBytes = 0
			if indexed {
				if err := s.bringUp(); err != nil {
					b.Fatal(err)
				}
			}
			crashed := mem.CrashClone(vfs.CrashCloneCfg{})
			b.ResetTimer()
			for range b.N {
				o.FS = crashed.CrashClone(vfs.CrashCloneCfg{})
				b.StartTimer()
				again, err := Open(dir, o)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				b.ReportMetric(float64(again.index.last()-again.index.written()), "replayed")
				mustClose(b, again)
			}
		})
	}
}
