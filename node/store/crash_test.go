package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/utxo"
)

// step is one call of a fixed script, and whether what it wrote is on disk once it returned.
type step struct {
	name   string
	synced bool
	do     func(testing.TB, *Store) error
}

// script uses every writing call: votes, a final with a chained one, observations of peers with a gap
// that closes, a rejection.
func script(t testing.TB, rounds int) []step {
	var steps []step
	heads := map[int]observation.Head{}
	for i := range rounds {
		a := makeTx(t, uint64(2*i), []utxo.Outpoint{genesisOutpoint(i)}, payment(owners[0], 5), document(owners[1], 900))
		b := makeTx(t, uint64(2*i+1), []utxo.Outpoint{{Tx: a.ID, Index: 0}}, payment(owners[2], 5))
		rival := makeTx(t, uint64(1000+i), []utxo.Outpoint{genesisOutpoint(i)}, payment(owners[2], 10))
		steps = append(steps, step{"votes", true, func(t testing.TB, s *Store) error {
			return s.SaveVotes(VoteBatch{
				Records:      recordsOf(a, observation.Pending, 0),
				Transactions: []*utxo.Tx{a, rival},
				Observations: sealRow(own, s.Head(ownChain(0)), now, 3, voteLeaf(a.ID, observation.Pending, 0)),
			})
		}})
		for j, p := range peers {
			first := seal(p, heads[j], now, voteLeaf(a.ID, observation.Pending, 0))
			second := seal(p, first.Head(), now+1, voteLeaf(a.ID, observation.Accepted, 0))
			heads[j] = second.Head()
			for _, o := range []*observation.Observation{second, first} {
				steps = append(steps, step{"observations", false, func(_ testing.TB, s *Store) error {
					return s.SaveObservations([]*observation.Observation{o})
				}})
			}
		}
		steps = append(steps, step{"final", true, func(_ testing.TB, s *Store) error {
			return s.CommitFinal([]Final{finalOf(a, now+uint64(i)), finalOf(b, now+uint64(i))})
		}})
		steps = append(steps, step{"reject", false, func(_ testing.TB, s *Store) error {
			return s.Reject([]Rejected{{Rejection: Rejection{Tx: rival.ID, Rival: a.ID, TimeMS: now}}})
		}})
	}
	return steps
}

// crashes takes what the disk would hold after a crash, at every k-th change of a file, together with
// what had returned and what had been started by then.
type crashes struct {
	mu    sync.Mutex
	fs    *vfs.MemFS
	rng   *rand.Rand
	every int
	whole bool // all that was not synced is lost, or none of it
	n     int
	// started and returned count the steps; synced is how many had returned when the last synced one did.
	started, synced int
	taken           []crash
}

type crash struct {
	fs              *vfs.MemFS
	started, synced int
	op              string
}

// MaybeError implements errorfs.Injector. It injects nothing.
func (c *crashes) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n++; c.started > 0 && c.n%c.every == 0 {
		percent := c.rng.IntN(3) * 50
		if c.whole {
			percent = c.rng.IntN(2) * 100
		}
		c.taken = append(c.taken, crash{
			fs:      c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng}),
			started: c.started, synced: c.synced, op: fmt.Sprintf("%d %s", op.Kind, op.Path),
		})
	}
	return nil
}

// over is a file system that is crashed all the time.
func (c *crashes) over(fs vfs.FS) vfs.FS { return noLinks{errorfs.Wrap(fs, c)} }

// noLinks makes pebble copy where it would link: vfs.MemFS.Link takes a lock twice, and never comes back where CrashClone waits for it in
// between.
type noLinks struct{ vfs.FS }

// Link implements vfs.FS.
func (noLinks) Link(_, _ string) error { return errors.ErrUnsupported }

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func (c *crashes) String() string { return "crashes" }

func (c *crashes) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started++
}

func (c *crashes) done(synced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if synced {
		c.synced = c.started
	}
}

// statesOf are what a store that nothing happens to holds after each number of steps.
func statesOf(t *testing.T, o Options, steps []step) map[string][]int {
	s := mustOpen(t, o)
	defer mustClose(t, s)
	states := map[string][]int{dump(t, s): {0}}
	for i, st := range steps {
		if err := st.do(t, s); err != nil {
			t.Fatalf("%s: %v", st.name, err)
		}
		d := dump(t, s)
		states[d] = append(states[d], i+1)
	}
	return states
}

// run plays the script on a file system that is crashed all the time, and returns the crashes with
// what the store holds after each number of steps. The index is written in between, as a batch or as a table, or not.
func run(t *testing.T, seed uint64, every int, rounds int) (*crashes, map[string][]int) {
	mem := vfs.NewCrashableMem()
	c := &crashes{fs: mem, rng: newRand(seed), every: every}
	o := testOptions(vfs.NewMem())
	o.maxSheaves = 2 // and votes leave their sheaf
	steps := script(t, rounds)
	states := statesOf(t, o, steps)
	o.FS = c.over(mem)
	o.MemBytes = 1 << 20 // flushes happen too
	o.indexBytes = []int64{1, 2000, 0}[seed%3]
	o.tablesFrom = []uint64{1, 3, 0}[seed/3%3]
	s := mustOpen(t, o)
	rng := newRand(seed + 1000)
	for i, st := range steps {
		c.start()
		if err := st.do(t, s); err != nil {
			t.Fatalf("%s: %v", st.name, err)
		}
		c.done(st.synced)
		if rng.IntN(4) == 0 {
			if err := s.bringUp(); err != nil {
				t.Fatal(err)
			}
		}
		if i%7 == 0 {
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustClose(t, s)
	return c, states
}

// After a crash at any change of any file, with any part of what was not synced lost, every record is
// exactly what it was after some step: no batch is half there, none is out of order, and none that was
// synced is missing.
func TestCrashAtAnyPoint(t *testing.T) {
	total, within, behind := 0, 0, 0
	for seed := range uint64(9) {
		c, states := run(t, seed, 1, 6)
		for _, crash := range c.taken {
			s := mustOpen(t, testOptions(crash.fs))
			if s.index.written() < s.counts.Finals {
				behind++
			}
			after, known := states[dump(t, s)]
			if !known || !slices.ContainsFunc(after, func(n int) bool { return n >= crash.synced && n <= crash.started }) {
				t.Errorf("seed %d, crash at %s: the store is as after step %v; %d were synced and %d started",
					seed, crash.op, after, crash.synced, crash.started)
			}
			mustClose(t, s)
			total++
			if crash.started > crash.synced {
				within++
			}
		}
	}
	if total < 400 || within < total/4 || behind < total/8 {
		t.Errorf("%d crashes, %d with something not synced, %d with an index behind the ledger: too few to show anything", total, within, behind)
	}
	t.Logf("%d crashes, %d with something not synced, %d with an index behind the ledger", total, within, behind)
}

// The control: the same calls, but nothing waits for the disk. It must lose something that a call
// reported as done, or the test above shows nothing.
func TestCrashControlWithoutSyncLoses(t *testing.T) {
	mem := vfs.NewCrashableMem()
	o := testOptions(mem)
	o.neverSync = true
	s := mustOpen(t, o)
	defer mustClose(t, s)
	for _, st := range script(t, 3) {
		if err := st.do(t, s); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Counts().Finals; n != 6 {
		t.Fatalf("%d finals before the crash", n)
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	after, err := Open("node/store", testOptions(crashed))
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, after)
	if n := after.Counts().Finals; n == 6 {
		t.Fatal("nothing was lost without syncing: the crash test cannot fail")
	}
	if h := after.Head(ownChain(0)); h.Height == 3 {
		t.Fatal("no vote was lost without syncing: the crash test cannot fail")
	}
}

// An observation that a final refers to is on disk when the final is, though nobody waited for it.
func TestEdgesSurviveWithTheirFinal(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, testOptions(mem))
	defer mustClose(t, s)
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 10))
	f := finalOf(tx, now)
	f.Edges = nil
	for _, p := range peers {
		o := seal(p, observation.Head{}, now, voteLeaf(gold, observation.Accepted, 0), voteLeaf(tx.ID, observation.Accepted, 0))
		if err := s.SaveObservations([]*observation.Observation{o}); err != nil {
			t.Fatal(err)
		}
		f.Edges = append(f.Edges, EdgeRef{Key: p.Public(), Height: 1, Leaf: 1})
	}
	if err := s.CommitFinal([]Final{f}); err != nil {
		t.Fatal(err)
	}
	after := mustOpen(t, testOptions(mem.CrashClone(vfs.CrashCloneCfg{})))
	defer mustClose(t, after)
	got, ok, err := after.Transaction(tx.ID)
	if err != nil || !ok || got.Final == nil || len(got.Final.Edges) != 3 {
		t.Fatalf("after the crash: %+v, %v", got, err)
	}
	for _, e := range got.Final.Edges {
		o, ok, err := after.EdgeObservation(e, tx.ID, got.Final.Link, 0)
		if err != nil || !ok {
			t.Fatalf("edge %+v: %v, %v", e, ok, err)
		}
		check := o.Check()
		edge := o.Edge(int(e.Leaf))
		if !check.Verify() || !edge.Included() {
			t.Errorf("edge %+v proves nothing", e)
		}
	}
}
