package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/snapshot"
	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// history is n transactions, of which most spend what earlier ones made: coins, long documents, a product described.
func history(t testing.TB, rng *rand.Rand, n int) []*utxo.Tx {
	var free []utxo.Outpoint
	for i := range 30 {
		free = append(free, genesisOutpoint(i))
	}
	var txs []*utxo.Tx
	for i := range n {
		at := rng.IntN(len(free))
		spends := []utxo.Outpoint{free[at]}
		free = slices.Delete(free, at, at+1)
		if rng.IntN(3) == 0 && len(free) > 1 {
			spends = append(spends, free[0])
			free = free[1:]
		}
		outputs := []utxo.Output{payment(owners[rng.IntN(3)], 1+uint64(rng.IntN(9)))}
		switch rng.IntN(4) {
		case 0:
			outputs = append(outputs, document(owners[rng.IntN(3)], 400+rng.IntN(500)))
		case 1:
			outputs = append(outputs, utxo.Output{
				Kind: notaryv1.OutputKind_OUTPUT_KIND_DATA, Address: owners[0], Product: utxo.ProductID(spends[0]), Amount: 1,
				Data: &utxo.Data{Kind: notaryv1.DataKind_DATA_KIND_PRODUCT_INFO, Payload: []byte("\x0a\x04coin\x10\x02")},
			})
		}
		tx := makeTx(t, uint64(i), spends, outputs...)
		for j := range tx.Outputs {
			free = append(free, utxo.Outpoint{Tx: tx.ID, Index: uint32(j)})
		}
		txs = append(txs, tx)
	}
	return txs
}

// shuffled is another order with parents before children.
func shuffled(rng *rand.Rand, txs []*utxo.Tx) []*utxo.Tx {
	left := slices.Clone(txs)
	var out []*utxo.Tx
	done := map[domain.Hash]bool{network: true}
	for len(left) > 0 {
		i := rng.IntN(len(left))
		if slices.ContainsFunc(left[i].Spends(), func(o utxo.Outpoint) bool { return !done[o.Tx] }) {
			continue
		}
		done[left[i].ID] = true
		out = append(out, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return out
}

func commitAll(t testing.TB, s *Store, txs []*utxo.Tx) {
	t.Helper()
	for i, tx := range txs {
		if err := s.CommitFinal([]Final{finalOf(tx, now+uint64(i))}); err != nil {
			t.Fatal(err)
		}
	}
}

// pieced is what a store packs of what was final but for some, in pieces of a size.
func pieced(t testing.TB, s *Store, out []domain.Hash, size int) (*snapshot.Manifest, [][]byte) {
	t.Helper()
	f, err := s.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	var pieces [][]byte
	p := snapshot.NewPacker(size, func(b []byte) error {
		pieces = append(pieces, bytes.Clone(b))
		return nil
	})
	if err := errors.Join(f.Records(out, p.Add), f.Close()); err != nil {
		t.Fatal(err)
	}
	m := &snapshot.Manifest{Network: network, Link: seeds.Link(), TimeMS: now}
	if m.Pieces, m.Counts, err = p.Done(); err != nil {
		t.Fatal(err)
	}
	return m, pieces
}

// begin takes a snapshot into a new store.
func begin(t testing.TB, s *Store, m *snapshot.Manifest, pieces [][]byte) {
	t.Helper()
	b, err := s.Begin(m)
	if err != nil {
		t.Fatal(err)
	}
	for i, piece := range pieces {
		if err := b.Piece(piece); err != nil {
			t.Fatal(err)
		}
		if i%4 == 3 { // in a store of some size this happens by itself
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := b.Finish(group.Total); err != nil {
		t.Fatal(err)
	}
}

// ids are those of the transactions of which a store is to know nothing.
func ids(txs []*utxo.Tx) (list []domain.Hash) {
	for _, tx := range txs {
		list = append(list, tx.ID)
	}
	return list
}

// TestRecordsDependOnWhatWasFinal: two stores that made the same final in different orders, and went on to different
// ones, have the same pieces of what both had at some point; so has a store that began from these pieces and went on.
func TestRecordsDependOnWhatWasFinal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rng := newRand(rapid.Uint64().Draw(rt, "seed"))
		txs := history(t, rng, 24)
		n := rapid.IntRange(0, len(txs)).Draw(rt, "final at the cut")
		size := rapid.SampledFrom([]int{2500, 4000, snapshot.MaxPiece}).Draw(rt, "size")
		want, other, joiner := mustOpen(t, testOptions(vfs.NewMem())), mustOpen(t, testOptions(vfs.NewMem())), mustOpen(t, testOptions(vfs.NewMem()))
		defer mustClose(t, want)
		defer mustClose(t, other)
		defer mustClose(t, joiner)
		commitAll(t, want, txs[:n])
		commitAll(t, other, shuffled(rng, txs))
		m, pieces := pieced(t, want, nil, size)
		if got, _ := pieced(t, other, ids(txs[n:]), size); got.Hash() != m.Hash() {
			rt.Fatalf("%+v, want %+v", got, m)
		}
		begin(t, joiner, m, pieces)
		sameLedger(t, joiner, want)
		commitAll(t, joiner, txs[n:])
		sameLedger(t, joiner, other)
		all, _ := pieced(t, other, nil, size)
		if got, _ := pieced(t, joiner, nil, size); got.Hash() != all.Hash() {
			rt.Fatalf("the joiner's %+v, want %+v", got, all)
		}
		if got, _ := pieced(t, joiner, ids(txs[n:]), size); got.Hash() != m.Hash() {
			rt.Fatalf("the joiner's %+v of then, want %+v", got, m)
		}
	})
}

// sameLedger holds what two stores say of finals, balances, products and outpoints against each other.
func sameLedger(t testing.TB, got, want *Store) {
	t.Helper()
	if g, w := got.Counts(), want.Counts(); g.Finals != w.Finals || g.LiveOutputs != w.LiveOutputs {
		t.Fatalf("%+v, want %+v", g, w)
	}
	fg, err := got.FinalSet().Fingerprint(setsync.Bounds{})
	fw, err2 := want.FinalSet().Fingerprint(setsync.Bounds{})
	if err = errors.Join(err, err2); err != nil || fg != fw {
		t.Fatalf("finals differ: %v", err)
	}
	for _, a := range owners {
		bg, err := got.Balance(a, unread)
		bw, err2 := want.Balance(a, unread)
		if err = errors.Join(err, err2); err != nil || !slices.Equal(bg, bw) {
			t.Fatalf("balances of %s: %v, want %v, %v", a, bg, bw, err)
		}
		if _, _, err := got.AddressLog(a, 0, 1000); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []Class{ClassSpent, ClassLive} {
		for o, err := range scanClass(want, c, func(key, _ []byte) (utxo.Outpoint, error) { return parseOutpointKey(c, key) }) {
			if err != nil {
				t.Fatal(err)
			}
			eg, ok, err := got.Lookup(o)
			ew, _, err2 := want.Lookup(o)
			if err = errors.Join(err, err2); err != nil || !ok || eg.SpentBy != ew.SpentBy {
				t.Fatalf("%s: %+v, %v, want %+v, %v", o, eg, ok, ew, err)
			}
			if c == ClassLive && !eg.Output.Equal(&ew.Output) {
				t.Fatalf("%s: %+v, want %+v", o, eg.Output, ew.Output)
			}
		}
	}
}

// TestSpentSinceBeginningIsKnown: what was live at the beginning and is spent later is still told, though the
// transaction that made it was never here; of what was spent before, by whom.
func TestSpentSinceBeginningIsKnown(t *testing.T) {
	a := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[1], 7), document(owners[1], 900))
	b := makeTx(t, 2, []utxo.Outpoint{{Tx: a.ID, Index: 1}}, payment(owners[2], 3))
	c := makeTx(t, 3, []utxo.Outpoint{{Tx: a.ID, Index: 0}}, payment(owners[2], 7))
	rival := makeTx(t, 4, []utxo.Outpoint{{Tx: a.ID, Index: 1}}, payment(owners[0], 3))
	from, s := openTest(t), openTest(t)
	commitAll(t, from, []*utxo.Tx{a, b})
	m, pieces := pieced(t, from, nil, snapshot.MaxPiece)
	begin(t, s, m, pieces)
	commitAll(t, s, []*utxo.Tx{c})

	e, ok, err := s.Lookup(utxo.Outpoint{Tx: a.ID, Index: 0})
	if err != nil || !ok || e.SpentBy != c.ID || !e.Output.Equal(&a.Outputs[0]) || e.FinalMS != m.TimeMS {
		t.Errorf("spent since: %+v, %v, %v", e, ok, err)
	}
	e, ok, err = s.Lookup(utxo.Outpoint{Tx: a.ID, Index: 1})
	if err != nil || !ok || e.SpentBy != b.ID {
		t.Errorf("spent before: %+v, %v, %v", e, ok, err)
	}
	var gone *NotLiveError
	if err := s.CommitFinal([]Final{finalOf(rival, now)}); !errors.As(err, &gone) || gone.SpentBy != b.ID {
		t.Errorf("a rival of what was final before: %v", err)
	}
	if got, ok, err := s.Transaction(a.ID); err != nil || !ok || got.Final == nil || got.Raw != nil || got.Final.FinalMS != m.TimeMS {
		t.Errorf("a transaction of before: %+v, %v", got, err)
	}
	log, _, err := s.AddressLog(owners[1], 0, 100)
	if err != nil || !slices.ContainsFunc(log, func(e AddressEvent) bool { return e.Spent && e.Output.Equal(&a.Outputs[0]) }) {
		t.Errorf("%+v, %v", log, err)
	}
	if s.Began() == nil || s.Began().Finals != 2 || s.Began().Manifest != m.Hash() {
		t.Errorf("began with %+v", s.Began())
	}
}

// TestCrashWhileBeginning: after a crash at any change of any file while a store begins from a snapshot, it is a new one,
// as if nothing had come, or has begun; and it can begin then.
func TestCrashWhileBeginning(t *testing.T) {
	from := openTest(t)
	commitAll(t, from, history(t, newRand(7), 90))
	m, pieces := pieced(t, from, nil, 2500)
	fresh := openTest(t)
	states := map[string]bool{dump(t, fresh): false}
	begin(t, fresh, m, pieces)
	states[dump(t, fresh)] = true

	begun, total := 0, 0
	for seed := range uint64(6) {
		mem := vfs.NewCrashableMem()
		c := &crashes{fs: mem, rng: newRand(seed), every: 1}
		o := testOptions(c.over(mem))
		o.MemBytes = 1 << 20
		s := mustOpen(t, o)
		c.start()
		begin(t, s, m, pieces)
		c.done(true)
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		for _, crash := range c.taken {
			after := mustOpen(t, testOptions(crash.fs))
			whole, known := states[dump(t, after)]
			switch {
			case !known:
				t.Fatalf("seed %d, crash at %s: something half", seed, crash.op)
			case !whole && crash.synced > 0:
				t.Errorf("seed %d, crash at %s: what was finished is lost", seed, crash.op)
			case whole:
				begun++
			case total%5 == 0:
				begin(t, after, m, pieces)
				if again := dump(t, after); !states[again] {
					t.Errorf("seed %d, crash at %s: another store when it begins again", seed, crash.op)
				}
			}
			total++
			mustClose(t, after)
		}
	}
	if total < 60 || begun < 4 || begun == total {
		t.Errorf("%d crashes, after %d of them it had begun: too few to show anything", total, begun)
	}
	t.Logf("%d crashes, after %d of them it had begun", total, begun)
}

// TestAbortLeavesANewStore: a beginning that ends in a bad piece leaves a store that can begin anew, or live without.
func TestAbortLeavesANewStore(t *testing.T) {
	from, s := openTest(t), openTest(t)
	txs := history(t, newRand(3), 20)
	commitAll(t, from, txs)
	m, pieces := pieced(t, from, nil, 2500)
	before := dump(t, s)
	b, err := s.Begin(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Piece(pieces[0]), b.Piece(pieces[1])); err != nil {
		t.Fatal(err)
	}
	if err := b.Piece(pieces[0]); !errors.Is(err, snapshot.ErrPiece) {
		t.Errorf("a piece again: %v", err)
	}
	if err := b.Finish(group.Total); !errors.Is(err, snapshot.ErrPiece) {
		t.Errorf("finished with half of it: %v", err)
	}
	if err := b.Abort(); err != nil {
		t.Fatal(err)
	}
	if after := dump(t, s); after != before || !s.Fresh() {
		t.Error("the store is not as before")
	}
	commitAll(t, s, txs)
	sameLedger(t, s, from)
}

// TestBeginWantsANewStore: what is in use cannot begin from a snapshot, whatever it holds.
func TestBeginWantsANewStore(t *testing.T) {
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 10))
	for name, use := range map[string]func(*Store){
		"final": func(s *Store) { commitAll(t, s, []*utxo.Tx{tx}) },
		"vote":  func(s *Store) { vote(t, s, observation.Pending, 0, tx) },
		"observation": func(s *Store) {
			o := seal(peers[0], observation.Head{}, now, voteLeaf(tx.ID, observation.Pending, 0))
			if err := s.SaveObservations([]*observation.Observation{o}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		s := openTest(t)
		use(s)
		if _, err := s.Begin(&snapshot.Manifest{Network: network}); !errors.Is(err, ErrNotFresh) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMakeSnapshot: the newest two are kept on disk, found again by whoever opens the store, and what a crash left of a
// third is removed. A piece that the disk has spoilt is not handed out.
func TestMakeSnapshot(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, testOptions(mem))
	txs := history(t, newRand(5), 20)
	var hashes []domain.Hash
	for i := range 3 {
		commitAll(t, s, txs[i*5:i*5+5])
		f, err := s.Freeze()
		if err != nil {
			t.Fatal(err)
		}
		rests := 0
		p, err := s.MakeSnapshot(f, ids(txs[i*5+3:i*5+5]), &snapshot.Manifest{Network: network, Link: seeds.Link(), TimeMS: now + uint64(i)}, func() error { rests++; return nil })
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if rests != len(p.Manifest.Pieces) || p.Manifest.Counts.Finals != uint64(i*5+3) {
			t.Errorf("%d rests, %+v", rests, p.Manifest)
		}
		hashes = append(hashes, p.Hash)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := mem.MkdirAll("node/store/snapshots/17.part", 0o700); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, testOptions(mem))
	defer mustClose(t, s)
	list, err := s.Snapshots()
	if err != nil || len(list) != 2 || list[0].Hash != hashes[2] || list[1].Hash != hashes[1] {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	if names, _ := mem.List("node/store/snapshots"); len(names) != 2 {
		t.Errorf("left on disk: %v", names)
	}
	piece, err := list[0].Piece(0)
	if err != nil || snapshot.HashPiece(piece) != list[0].Manifest.Pieces[0] {
		t.Errorf("piece 0: %v", err)
	}
	list[0].at[0]++
	if _, err := list[0].Piece(0); err == nil {
		t.Error("a damaged piece is handed out")
	}
	if err := errors.Join(s.DropSnapshot(list[0]), list[1].Close()); err != nil {
		t.Fatal(err)
	}
	if names, _ := mem.List("node/store/snapshots"); !slices.Equal(names, []string{fmt.Sprint(now + 1)}) {
		t.Errorf("left on disk: %v", names)
	}
}

// TestBeginKeepsWhatTheNetworkKnowsOfItself: transactions of the snapshot whose bytes were fetched are kept, others are
// refused; an epoch that is not the first is entered.
func TestBeginKeepsWhatTheNetworkKnowsOfItself(t *testing.T) {
	a := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[1], 7))
	other := makeTx(t, 2, []utxo.Outpoint{genesisOutpoint(1)}, payment(owners[1], 7))
	from, s := openTest(t), openTest(t)
	commitAll(t, from, []*utxo.Tx{a})
	m, pieces := pieced(t, from, nil, snapshot.MaxPiece)
	m.Epoch = 3
	b, err := s.Begin(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range pieces {
		if err := b.Piece(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Keep(other, nil, nil); !errors.Is(err, ErrInconsistent) {
		t.Errorf("a transaction of no snapshot: %v", err)
	}
	info := FinalInfo{Round: 1, GroupEpoch: 2, Link: seeds.Link(), Edges: []EdgeRef{{Key: own.Public(), Height: 4}}}
	if err := errors.Join(b.Keep(a, &info, []byte("proof")), b.Finish(group.Total)); err != nil {
		t.Fatal(err)
	}
	got, ok, err := s.Transaction(a.ID)
	if err != nil || !ok || !bytes.Equal(got.Raw, a.Raw) || got.Final.Round != 1 || len(got.Final.Edges) != 1 || got.Final.Seq != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if proof, ok, err := s.Proof(a.ID); err != nil || !ok || string(proof) != "proof" {
		t.Errorf("proof %q, %v", proof, err)
	}
	if e, ok, err := s.Entered(); err != nil || !ok || e.Epoch != 3 || e.Link != m.Link {
		t.Errorf("entered %+v, %v", e, err)
	}
	if err := s.EnterEpoch(Entered{Epoch: 4, Link: gold}, []conflict.Record{}); err != nil {
		t.Errorf("the next epoch: %v", err)
	}
}
