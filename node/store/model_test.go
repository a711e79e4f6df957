package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// machine drives a store and its twin with the same random calls.
type machine struct {
	t       testing.TB // for helpers that stop the test
	options Options
	s       *Store
	w       *twin
	salt    uint64
	txs     []*utxo.Tx // every transaction ever made
	half    int        // of the outputs kept in memory
	fs      *vfs.MemFS
	found   map[utxo.Outpoint]Coin // where outputs were found the last time, in this store or the one before
}

// forget makes the memory of outputs small, so that they come and go.
func (m *machine) forget() { m.s.recent.half = m.half }

func newMachine(t testing.TB, o Options) *machine {
	return &machine{t: t, options: o, s: mustOpen(t, o), w: newTwin(o), found: map[utxo.Outpoint]Coin{}}
}

// pick and pickSome draw places, so that a failure prints numbers and not what is there.
func pick[T any](t *rapid.T, from []T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(t, "which")]
}

func pickSome[T any](t *rapid.T, from []T, most int) (some []T) {
	at := rapid.IntRange(0, len(from)-1)
	for _, i := range rapid.SliceOfNDistinct(at, 1, min(most, len(from)), rapid.ID[int]).Draw(t, "which") {
		some = append(some, from[i])
	}
	return some
}

// make draws a transaction that spends some of these outpoints.
func (m *machine) make(t *rapid.T, from []utxo.Outpoint) *utxo.Tx {
	spends := pickSome(t, from, 3)
	var outputs []utxo.Output
	for range rapid.IntRange(1, 3).Draw(t, "outputs") {
		to := pick(t, owners)
		o := payment(to, 3)
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			o = document(to, 1)
		case 1:
			o = document(to, 3000)
		case 2:
			o.Product = gold
		}
		outputs = append(outputs, o)
	}
	m.salt++
	tx := makeTx(m.t, m.salt, spends, outputs...)
	m.txs = append(m.txs, tx)
	return tx
}

// commit makes up to three transactions final, new ones or some that were voted on; a later one may
// spend what an earlier one creates, and rivals go in the same batch.
func (m *machine) commit(t *rapid.T) {
	var finals []Final
	live := m.w.set.Live()
	gone := map[utxo.Outpoint]bool{}
	for range rapid.IntRange(1, 3).Draw(t, "finals") {
		free := slices.DeleteFunc(slices.Clone(live), func(o utxo.Outpoint) bool { return gone[o] })
		if len(free) == 0 {
			break
		}
		tx := m.voted(t, gone)
		if tx == nil {
			tx = m.make(t, free)
		}
		f := finalOf(tx, now+uint64(len(m.w.finals)))
		f.Round, f.GroupEpoch = uint32(len(finals)), rapid.Uint64().Draw(t, "epoch")
		for _, o := range tx.Spends() {
			gone[o] = true
		}
		for _, rival := range m.rivals(tx) {
			f.Rivals = append(f.Rivals, m.rejection(t, rival, tx.ID))
		}
		for i := range tx.Outputs {
			live = append(live, utxo.Outpoint{Tx: tx.ID, Index: uint32(i)})
		}
		f.Coins = m.coins(t, tx)
		finals = append(finals, f)
	}
	if err := m.s.CommitFinal(finals); err != nil {
		t.Fatal(err)
	}
	for _, f := range finals {
		m.w.commit(f)
	}
}

// find looks for an output, or asks again what became of one.
func (m *machine) find(t *rapid.T) {
	o := genesisOutpoint(rapid.IntRange(0, 3).Draw(t, "genesis"))
	if len(m.txs) > 0 && rapid.Bool().Draw(t, "made") {
		o = utxo.Outpoint{Tx: pick(t, m.txs).ID}
	}
	want, known := m.w.set.Lookup(o)
	if rapid.Bool().Draw(t, "again") {
		if by, ok, err := m.s.SpentBy(o, m.coin(t, o)); err != nil || ok != known || by != want.SpentBy {
			t.Fatalf("%v is spent by %v, %v, %v, want %v, %v", o, by, ok, err, want.SpentBy, known)
		}
		return
	}
	e, c, ok, err := m.s.Find(o)
	if err != nil || ok != known || e.SpentBy != want.SpentBy {
		t.Fatalf("%v is %+v, %v, %v, want %+v, %v", o, e, ok, err, want, known)
	}
	if ok {
		m.found[o] = c
	}
}

// coin is where an output was found, or, which costs no more than a search, where another was.
func (m *machine) coin(t *rapid.T, o utxo.Outpoint) Coin {
	if len(m.found) > 0 && rapid.IntRange(0, 3).Draw(t, "another") == 0 {
		o = pick(t, slices.SortedFunc(maps.Keys(m.found), utxo.Outpoint.Compare))
	}
	return m.found[o]
}

func (m *machine) coins(t *rapid.T, tx *utxo.Tx) (coins []Coin) {
	for _, o := range tx.Spends() {
		coins = append(coins, m.coin(t, o))
	}
	return coins[:rapid.IntRange(0, len(coins)).Draw(t, "known")]
}

// voted is a pending or rejected transaction that could become final, or nil.
func (m *machine) voted(t *rapid.T, gone map[utxo.Outpoint]bool) *utxo.Tx {
	var list []*utxo.Tx
	for _, tx := range m.txs {
		_, pending := m.w.pending[tx.ID]
		free := !slices.ContainsFunc(tx.Spends(), func(o utxo.Outpoint) bool {
			e, ok := m.w.set.Lookup(o)
			return gone[o] || !ok || !e.SpentBy.IsZero()
		})
		if free && (pending || m.w.rejection(tx.ID) >= 0) {
			list = append(list, tx)
		}
	}
	if len(list) == 0 || rapid.Bool().Draw(t, "a new one") {
		return nil
	}
	return pick(t, list)
}

// rivals are the pending transactions that share an outpoint with tx.
func (m *machine) rivals(tx *utxo.Tx) (list []*utxo.Tx) {
	for _, r := range m.txs {
		_, pending := m.w.pending[r.ID]
		if pending && r.ID != tx.ID && slices.ContainsFunc(r.Spends(), func(o utxo.Outpoint) bool {
			return slices.Contains(tx.Spends(), o)
		}) {
			list = append(list, r)
		}
	}
	return list
}

func (m *machine) rejection(t *rapid.T, tx *utxo.Tx, rival domain.Hash) Rejected {
	r := Rejected{Rejection: Rejection{
		Tx: tx.ID, Rival: rival, Reason: notaryv1.Reason_REASON_DOUBLE_SPEND,
		Field: rapid.SampledFrom([]string{"", "inputs[1]"}).Draw(t, "field"), TimeMS: rapid.Uint64().Draw(t, "time"),
	}}
	for _, rec := range recordsOf(tx, observation.Accepted, 0) {
		if old, known := m.w.records[slot(rec)]; known && old.Tx == tx.ID {
			old.Released = true
			r.Released = append(r.Released, old)
		}
	}
	return r
}

// refuse tries what must not be written, in a batch behind something that could be.
func (m *machine) refuse(t *rapid.T) {
	live := m.w.set.Live()
	if len(live) == 0 {
		return
	}
	good := finalOf(m.make(t, live), now)
	var bad Final
	want := ErrNotLive
	switch kind := rapid.IntRange(0, 2).Draw(t, "kind"); {
	case kind == 0:
		bad = finalOf(m.make(t, good.Tx.Spends()), now)
	case kind == 1 && len(m.w.finals) > 0:
		bad = pick(t, m.w.finals)
		want = ErrAlreadyFinal
	default:
		bad = finalOf(m.make(t, []utxo.Outpoint{{Tx: good.Tx.ID, Index: 200}}), now)
	}
	good.Coins, bad.Coins = m.coins(t, good.Tx), m.coins(t, bad.Tx)
	before := dump(m.t, m.s)
	if err := m.s.CommitFinal([]Final{good, bad}); !errors.Is(err, want) || errors.Is(err, ErrStoreFailed) {
		t.Fatalf("got %v, want %v", err, want)
	}
	if dump(m.t, m.s) != before {
		t.Fatal("a refused batch left something behind")
	}
}

// vote saves a vote on new transactions, or again on old ones.
func (m *machine) vote(t *rapid.T) {
	b := VoteBatch{}
	state := rapid.SampledFrom([]observation.State{observation.Pending, observation.Accepted}).Draw(t, "state")
	for range rapid.IntRange(0, 3).Draw(t, "votes") {
		var tx *utxo.Tx
		if live := m.w.set.Live(); len(live) > 0 && (len(m.txs) == 0 || rapid.Bool().Draw(t, "new")) {
			tx = m.make(t, live)
		} else {
			tx = pick(t, m.txs)
		}
		b.Transactions, b.Coins = append(b.Transactions, tx), append(b.Coins, m.coins(t, tx))
		b.Records = append(b.Records, recordsOf(tx, state, 0)...)
	}
	time := rapid.SampledFrom([]uint64{0, now, now + 3, now + 5}).Draw(t, "time")
	b.Observations = sealRow(own, m.s.Head(ownChain(0)), time, rapid.IntRange(1, 3).Draw(t, "observations"))
	if err := m.s.SaveVotes(b); err != nil {
		t.Fatal(err)
	}
	m.w.vote(b)
}

func (m *machine) reject(t *rapid.T) {
	var list []Rejected
	for range rapid.IntRange(1, 3).Draw(t, "rejections") {
		if len(m.txs) == 0 {
			return
		}
		tx := pick(t, m.txs)
		if m.w.final(tx.ID) == nil {
			list = append(list, m.rejection(t, tx, domain.Hash{}))
		}
	}
	if err := m.s.Reject(list); err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		m.w.reject(r)
	}
}

// observe brings observations of others at any height, in any order, forks and repetitions included.
func (m *machine) observe(t *rapid.T) {
	var list []*observation.Observation
	for range rapid.IntRange(1, 4).Draw(t, "observations") {
		head := observation.Head{
			SigningEpoch: rapid.Uint32Range(0, 1).Draw(t, "epoch"),
			Height:       rapid.Uint64Range(0, 9).Draw(t, "height"),
		}
		if head.Height > 0 {
			head.Hash = domain.Hash{1}
		}
		list = append(list, seal(pick(t, peers), head, now+rapid.Uint64Range(0, 5).Draw(t, "time")))
	}
	if err := m.s.SaveObservations(list); err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		m.w.see(o)
	}
}

func (m *machine) reopen(t *rapid.T) {
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.options.Create = rapid.Bool().Draw(t, "create")
	s, err := Open("node/store", m.options)
	if err != nil {
		t.Fatal(err)
	}
	m.s = s
	m.forget()
}

// crash ends the store without closing it, once its log is on disk.
func (m *machine) crash(t *rapid.T) {
	if err := m.s.db.LogData(nil, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	fs := m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: newRand(m.salt)})
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.fs, m.options.FS = fs, fs
	m.s = mustOpen(m.t, m.options)
	m.forget()
}

func (m *machine) flush(t *rapid.T) {
	if err := m.s.db.Flush(); err != nil {
		t.Fatal(err)
	}
}

// compact makes deletions meet what they delete.
func (m *machine) compact(t *rapid.T) {
	if err := m.s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) check(t *rapid.T) {
	var ids []domain.Hash
	for _, tx := range m.txs {
		ids = append(ids, tx.ID)
	}
	ids = append(ids, domain.Hash{})
	if d := m.w.differ(m.s, ids, m.w.fromMemory()); d != "" {
		t.Fatal(d)
	}
	if rapid.Bool().Draw(t, "by address") { // which writes the index
		if d := m.w.differ(m.s, ids, m.w.fromIndex()); d != "" {
			t.Fatal(d)
		}
	}
	records, slots := 0, 0
	for r, err := range m.s.GuardRecords() {
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(m.s.votes.of(r.Outpoint), func(s voteSlot) bool { return s.holds(&r) && s.Tx == r.Tx }) {
			t.Fatalf("record %+v is not in the index", r)
		}
		records++
	}
	for _, at := range m.s.votes.at {
		slots += len(at.list)
	}
	if slots != records {
		t.Fatalf("%d records, %d in the index", records, slots)
	}
}

// Whatever is called in whatever order, closing and opening included, the store answers as its twin.
func TestStoreAgainstTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fs := vfs.NewCrashableMem()
		o := testOptions(fs)
		o.Genesis = genesis(8)
		o.MaxRejected, o.maxSheaves = 3, 3
		o.indexBytes = rapid.SampledFrom([]int64{1, 3000, 20_000, 0}).Draw(rt, "generation")
		o.tablesFrom = rapid.SampledFrom([]uint64{1, 3, 0}).Draw(rt, "tables from")
		m := newMachine(t, o)
		m.fs = fs
		m.half = rapid.SampledFrom([]int{1, 3, 16}).Draw(rt, "kept")
		m.forget()
		defer func() { mustClose(t, m.s) }()
		rt.Repeat(map[string]func(*rapid.T){
			"commit": m.commit, "find": m.find, "refuse": m.refuse, "vote": m.vote, "reject": m.reject,
			"observe": m.observe, "reopen": m.reopen, "crash": m.crash, "flush": m.flush, "compact": m.compact, "": m.check,
		})
	})
}
