package growth

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"

	"github.com/notarynet/notaryd/node/store"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// LivePlan is what a live set is measured with, at a node that is alone in its group.
type LivePlan struct {
	// Outputs is how many there are from the start, Payments how many are made then, each of an output drawn at random.
	Outputs, Payments int
	// PerFlush is how many payments are voted on, and committed, together.
	PerFlush int
	// Lookups is how many are looked up when all is over, one kind after the other.
	Lookups int
	// Dir is a directory on the disk that is meant. The store that is made in it stays there where Keep is set, and
	// one that was loaded before is taken up.
	Dir  string
	Keep bool
}

// Live is what a transaction costs beside a number of live outputs. Times are microseconds of processor unless they
// say otherwise.
type Live struct {
	Kind     string             `json:"kind"` // "live"
	Outputs  int                `json:"outputs"`
	Payments int                `json:"payments"`
	PerFlush int                `json:"tx_per_flush"`
	CPU      float64            `json:"cpu_us"`
	Parts    map[string]float64 `json:"parts_us"`
	Allocs   float64            `json:"allocs"`
	// CommitP50 and CommitP99 are milliseconds of a synced write of PerFlush finals.
	CommitP50 float64 `json:"commit_p50_ms"`
	CommitP99 float64 `json:"commit_p99_ms"`
	// Lookup is of a live output, Unknown of one that was never made, each among all. Blocks are those of tables that
	// were looked at, Misses those of them that were not in the cache and came from files.
	Lookup        float64 `json:"lookup_us"`
	LookupBlocks  float64 `json:"lookup_blocks"`
	LookupMisses  float64 `json:"lookup_misses"`
	Unknown       float64 `json:"unknown_us"`
	UnknownBlocks float64 `json:"unknown_blocks"`
	// Disk is bytes in the end for each live output, of its own records, and Total all of the directory; Written is what
	// each payment had written, compactions that it made due included.
	Disk    float64 `json:"disk_bytes_per_output"`
	Total   uint64  `json:"disk_total"`
	Written float64 `json:"written_per_tx"`
	// LoadUS is what it cost to load an output, LoadWritten what was written for it; 0 where the store was there.
	LoadUS      float64 `json:"load_us,omitempty"`
	LoadWritten float64 `json:"load_written,omitempty"`
}

// loadFan is how many outputs a transaction makes that is loaded, besides the change that the next one spends.
const loadFan = 4

// liveOwners bounds how many keys share the outputs.
const liveOwners = 1 << 16

// MeasureLive loads a store and lets payments through.
func MeasureLive(ctx context.Context, p LivePlan) (l *Live, err error) {
	l = &Live{Kind: "live", Outputs: p.Outputs, Payments: p.Payments, PerFlush: p.PerFlush}
	net, who := kit.New("growth", kit.Equal(1)...), newOwners(min(liveOwners, p.Outputs))
	dir := filepath.Join(p.Dir, fmt.Sprintf("live-%d", p.Outputs))
	if !p.Keep {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
	}
	o := store.Options{GenesisMS: kit.StartMS, Genesis: utxo.Delta{Tx: net.Genesis.ID, Created: []utxo.Created{
		{Outpoint: utxo.Outpoint{Tx: net.Genesis.ID}, Output: who.output(0)},
	}}}
	if p.Lookups >= p.Outputs/2 {
		return nil, fmt.Errorf("growth: %d look-ups leave too little of %d outputs to pay with", p.Lookups, p.Outputs)
	}
	if err := l.load(ctx, net, dir, o, who); err != nil || p.Payments == 0 {
		return l, err
	}
	m, err := newMember(net, dir, o, (&Plan{Peers: 1}).together())
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := m.store.Close(); err == nil {
			err = e
		}
	}()
	if _, err := settled(m.store); err != nil {
		return nil, err
	}
	d := dealer{who: who, network: net.Genesis.ID, store: m.store, loaded: p.Outputs / loadFan, leave: p.Lookups, order: rand.New(rand.NewPCG(1, uint64(p.Outputs)))}
	txs, err := d.deal(p.Payments, p.PerFlush)
	if err != nil {
		return nil, err
	}
	if err := l.pay(m, txs); err != nil {
		return nil, err
	}
	return l, l.lookUp(m.store, &d, p.Lookups)
}

// load makes the outputs final, unless they are. It writes them as a node does that had no votes on them.
func (l *Live) load(ctx context.Context, net *kit.Network, dir string, o store.Options, who *owners) (err error) {
	m, err := newMember(net, dir, o, Together{})
	if err != nil {
		return err
	}
	s := m.store
	defer func() {
		if e := s.Close(); err == nil {
			err = e
		}
	}()
	const batch = 1000
	want, have := l.Outputs/loadFan, int(s.LastSeq())
	if have >= want {
		return nil
	}
	last := utxo.Outpoint{Tx: net.Genesis.ID}
	if have > 0 {
		log, err := s.FinalLog(uint64(have), 1)
		if err != nil {
			return err
		}
		last = utxo.Outpoint{Tx: log[0].Tx, Index: loadFan}
	}
	cpu := processCPU()
	written, err := writtenBytes()
	if err != nil {
		return err
	}
	for i := have; i < want; {
		var finals []store.Final
		for ; i < want && len(finals) < batch; i++ {
			tx, err := loaded(net.Genesis.ID, last, i, who)
			if err != nil {
				return err
			}
			last = utxo.Outpoint{Tx: tx.ID, Index: loadFan}
			finals = append(finals, finalOf(tx, net.Group.Link()))
		}
		if err := s.CommitFinal(finals); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if _, err := settled(s); err != nil {
		return err
	}
	after, err := writtenBytes()
	if err != nil {
		return err
	}
	n := float64((want - have) * loadFan)
	l.LoadUS, l.LoadWritten = microseconds(processCPU()-cpu)/n, float64(after-written)/n
	return nil
}

// loaded is the i-th transaction of a load: outputs of loadFan owners, and change. Its signature is one in length only.
func loaded(network domain.Hash, spends utxo.Outpoint, i int, who *owners) (*utxo.Tx, error) {
	b := utxo.NewBuilder(network).Spend(spends)
	for j := range loadFan {
		b.Output(who.output(i*loadFan + j))
	}
	d, err := b.Output(who.output(0)).Build()
	if err != nil {
		return nil, err
	}
	d.AddWitness(utxo.Witness{Lock: utxo.KeyLock(who.keys[0].Public()), Signatures: []utxo.LockSignature{{Signature: domain.Signature{1}}}})
	return utxo.Decode(d.Raw(), utxo.Rules{Network: network})
}

// finalOf is a transaction that became final, by votes that nobody will ask for.
func finalOf(tx *utxo.Tx, link domain.Hash) store.Final {
	return store.Final{Tx: tx, FinalMS: kit.StartMS, Link: link}
}

// dealer signs payments of outputs that were loaded, in a random order, and when only some are left of those that
// payments made.
type dealer struct {
	who     *owners
	network domain.Hash
	store   *store.Store
	loaded  int // transactions
	order   *rand.Rand
	left    []int32 // outputs that are still there, those next to be spent at the end
	leave   int     // how many of them are not to be spent
	made    []coin
}

// coin is where the i-th output is.
type coin struct {
	i  int
	at utxo.Outpoint
}

// deal signs n payments, some to a flush.
func (d *dealer) deal(n, perFlush int) (flushes [][][]byte, err error) {
	d.left = make([]int32, d.loaded*loadFan)
	for i := range d.left {
		d.left[i] = int32(i)
	}
	d.order.Shuffle(len(d.left), func(a, b int) { d.left[a], d.left[b] = d.left[b], d.left[a] })
	for n > 0 {
		k := min(n, perFlush, len(d.left)-d.leave+len(d.made))
		raws, made := make([][]byte, k), make([]coin, k)
		for j := range k {
			c, err := d.next()
			if err != nil {
				return nil, err
			}
			made[j].i = c.i + 1
			if raws[j], made[j].at, err = d.who.pay(d.network, c.i, c.at); err != nil {
				return nil, err
			}
		}
		flushes = append(flushes, raws)
		d.made = append(d.made, made...)
		n -= k
	}
	return flushes, nil
}

// next is the next coin to spend.
func (d *dealer) next() (coin, error) {
	n := len(d.left)
	if n <= d.leave {
		c := d.made[0]
		d.made = d.made[1:]
		return c, nil
	}
	i := int(d.left[n-1])
	d.left = d.left[:n-1]
	at, err := d.outpoint(i)
	return coin{i, at}, err
}

// outpoint is where the i-th output that was loaded is.
func (d *dealer) outpoint(i int) (utxo.Outpoint, error) {
	log, err := d.store.FinalLog(uint64(i/loadFan)+1, 1)
	if err != nil {
		return utxo.Outpoint{}, err
	}
	return utxo.Outpoint{Tx: log[0].Tx, Index: uint32(i % loadFan)}, nil
}

// pay lets payments through and measures from the tenth part on.
func (l *Live) pay(m *member, flushes [][][]byte) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()
	warm, measured := len(flushes)/10, 0
	var written uint64
	for round := range len(flushes) + 1 { // in the last the votes of the one before become final
		if round == warm {
			var err error
			if written, err = writtenBytes(); err != nil {
				return err
			}
			m.meter.reset()
			m.commits, measured = m.commits[:0], 0
		}
		m.nowMS += 50
		if round < len(flushes) {
			if err := m.take(flushes[round]); err != nil {
				return err
			}
		}
		if err := m.flush(); err != nil {
			return err
		}
		measured += len(m.finals)
		if err := m.commit(); err != nil {
			return err
		}
	}
	m.meter.to(Idle)
	l.Allocs = float64(mallocs()-m.meter.allocs) / float64(measured)
	l.CommitP50, l.CommitP99 = percentiles(m.commits)
	u, err := settled(m.store)
	if err != nil {
		return err
	}
	after, err := writtenBytes()
	if err != nil {
		return err
	}
	l.Parts, l.CPU = m.meter.split(measured)
	l.Written = float64(after-written) / float64(measured)
	l.Total = u.Total
	l.Disk = float64(u.Classes["live"]+u.Classes["addresses"]) / float64(l.Outputs)
	return nil
}

// lookUp looks up outputs at random.
func (l *Live) lookUp(s *store.Store, d *dealer, n int) error {
	live, unknown := make([]utxo.Outpoint, n), make([]utxo.Outpoint, n)
	for i := range n {
		var err error
		if live[i], err = d.outpoint(int(d.left[i])); err != nil {
			return err
		}
		unknown[i] = utxo.Outpoint{Tx: domain.Sum(domain.TagTx, live[i].Tx[:])}
	}
	var err error
	if l.Lookup, l.LookupBlocks, l.LookupMisses, err = lookups(s, live, true); err != nil {
		return err
	}
	l.Unknown, l.UnknownBlocks, _, err = lookups(s, unknown, false)
	return err
}

// lookups is what each takes: microseconds, blocks of tables, and those of them that were not in the cache.
func lookups(s *store.Store, list []utxo.Outpoint, there bool) (us, blocks, misses float64, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := s.Usage()
	if err != nil {
		return 0, 0, 0, err
	}
	start := threadCPU()
	for _, o := range list {
		_, found, err := s.Lookup(o)
		if err == nil && found != there {
			err = fmt.Errorf("growth: %v is found: %v", o, found)
		}
		if err != nil {
			return 0, 0, 0, err
		}
	}
	took := threadCPU() - start
	after, err := s.Usage()
	if err != nil {
		return 0, 0, 0, err
	}
	n := float64(len(list))
	missed := after.CacheMisses - before.CacheMisses
	return microseconds(took) / n, float64(after.CacheHits-before.CacheHits+missed) / n, float64(missed) / n, nil
}
