package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/notarynet/notaryd/internal/bubble"
	"github.com/notarynet/notaryd/node/gossip"
	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// spend pays on what a transaction made.
func (v *village) spend(parent *utxo.Tx, salt string) *utxo.Tx {
	v.t.Helper()
	d, err := utxo.NewBuilder(v.genesis.ID).Spend(utxo.Outpoint{Tx: parent.ID}).
		Pay(utxo.KeyLock(kit.Key(101).Public()).Address(), utxo.Product{}, 1000).Salt([]byte(salt)).Build()
	if err != nil {
		v.t.Fatal(err)
	}
	tx, err := d.Sign(kit.Key(101)).Finish()
	if err != nil {
		v.t.Fatal(err)
	}
	return tx
}

// TestCatchUpByProofs: the observations that made transactions final are gone everywhere, and nothing but proofs is left.
// A node that comes late finds what it lacks by comparing, fetches it with the proofs, children after their parents,
// and can hand the proofs on.
func TestCatchUpByProofs(t *testing.T) {
	v := newVillage(t, func(c *Config) { c.Reconcile = time.Second })
	v.tick = 20 * time.Millisecond
	nodes := []*villager{v.start(0), v.start(1), v.start(2)}
	v.meet(nodes...)
	a, b := v.pay(0, "a"), v.pay(1, "b")
	txs := []*utxo.Tx{a, b}
	for i := range 20 {
		txs = append(txs, v.spend(txs[len(txs)-2], string(rune('a'+i))))
	}
	for _, tx := range txs {
		nodes[0].submitFinal(t, tx)
	}
	own := map[utxo.Address]bool{utxo.KeyLock(kit.Key(101).Public()).Address(): true}
	for _, n := range nodes {
		eventually(t, "everything to be final", func() bool { return n.final(t, txs[len(txs)-1]) && n.final(t, txs[len(txs)-2]) })
		n.cleared(t)
		if r, err := n.prune(t.Context(), nowMS()+1<<40, own); err != nil || r.ProofsKept < uint64(len(txs)-2) { // the votes on the last ones may lie in heads
			t.Fatalf("%v, %v", r, err)
		}
	}
	late := v.start(3)
	v.meet(late, nodes[0], nodes[1], nodes[2])
	for _, tx := range txs {
		eventually(t, "a final to come by its proof", func() bool { return late.final(t, tx) })
	}
	var c *notaryv1.CatchUp
	eventually(t, "more than a third to say how much is final", func() bool { // it may have had all from the first whom it asked
		c = late.sh.catchUp()
		return c.FinalElsewhere > 0
	})
	if c.FinalElsewhere != uint64(len(txs)) || c.Missing != 0 || c.Stalled != "" || !c.CanVerify {
		t.Errorf("caught up: %v", c)
	}
	raw, err := late.Proof(t.Context(), a.ID, true, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := observation.DecodeProof(raw, observation.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if verdict, err := p.Verify(observation.NewRoot(v.genesis.Group)); err != nil || verdict.Conclusion != observation.Valid {
		t.Errorf("the proof that is handed on: %v, %v", verdict.Conclusion, err)
	}
	if s, _, err := late.Transaction(t.Context(), a.ID); err != nil || s.State != notaryv1.TransactionState_TRANSACTION_STATE_FINAL || s.AcceptedWeight <= 666_666_666 {
		t.Errorf("%v, %v", s, err)
	}
	rival := v.pay(0, "rival of what came by a proof")
	if s, err := late.Submit(t.Context(), "test", rival.Raw, notaryv1.WaitLevel_WAIT_LEVEL_FINAL); err == nil && s.State != notaryv1.TransactionState_TRANSACTION_STATE_REJECTED {
		t.Errorf("a rival of what came by a proof: %v", s)
	}
}

// TestProofsForOthersTakeTurns: where as many proofs are being made as may be, a pull with proofs waits no longer than its
// time, and one without is answered.
func TestProofsForOthersTakeTurns(t *testing.T) {
	v := newVillage(t, nil)
	nodes := []*villager{v.start(0), v.start(1), v.start(2)}
	v.meet(nodes...)
	tx := v.pay(0, "")
	nodes[0].submitFinal(t, tx)
	sh := nodes[0].sh
	pull := func(withProofs bool) (found, proven bool, err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err = pulls{sh}.Transactions(ctx, []domain.Hash{tx.ID}, withProofs, func(_, proof []byte) bool {
			found, proven = true, len(proof) > 0
			return true
		})
		return found, proven, err
	}
	for range cap(sh.proving) {
		sh.proving <- struct{}{}
	}
	if found, _, err := pull(true); found || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside as many as may be: found %v, %v", found, err)
	}
	if found, _, err := pull(false); !found || err != nil {
		t.Errorf("without a proof: found %v, %v", found, err)
	}
	for range cap(sh.proving) {
		<-sh.proving
	}
	eventually(t, "the proof", func() bool { _, proven, err := pull(true); return proven && err == nil })
	if len(sh.proving) != 0 {
		t.Errorf("%d places not given back", len(sh.proving))
	}
}

// TestProofsThatProveNothing: what comes with a wrong proof is its sender's fault, and makes nothing final.
func TestProofsThatProveNothing(t *testing.T) {
	v := newVillage(t, nil)
	nodes := []*villager{v.start(0), v.start(1), v.start(2)}
	v.meet(nodes...)
	a, b := v.pay(0, "a"), v.pay(1, "b")
	nodes[0].submitFinal(t, a)
	sh := nodes[0].sh
	good, err := nodes[0].Proof(t.Context(), a.ID, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	if id, p, err := sh.proves(a.Raw, good); err != nil || id != a.ID || p == nil || len(p.edges) < 3 {
		t.Fatalf("a good proof: %v, %+v", err, p)
	}
	change := func(do func(*observation.Proof)) []byte {
		p, err := observation.DecodeProof(good, observation.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		do(p)
		return p.Encode()
	}
	short := change(func(p *observation.Proof) { p.Transactions[0].Edges = p.Transactions[0].Edges[1:] })
	forged := change(func(p *observation.Proof) { p.Observations[0].Signature[5] ^= 1 })
	for name, c := range map[string]struct{ raw, proof []byte }{
		"of another":     {b.Raw, good},
		"without quorum": {a.Raw, short},
		"forged":         {a.Raw, forged},
		"not a proof":    {a.Raw, []byte("proof")},
		"no transaction": {[]byte("tx"), good},
	} {
		if _, p, err := sh.proves(c.raw, c.proof); err == nil || p != nil {
			t.Errorf("%s: %v, %+v", name, err, p)
		}
	}
	elsewhere := change(func(p *observation.Proof) { p.Link = domain.Hash{1} })
	if _, got, err := sh.proves(a.Raw, elsewhere); err != nil || got != nil {
		t.Errorf("under a link that is not known: %v, %+v", err, got)
	}
	if _, got, err := sh.proves(a.Raw, nil); err != nil || got != nil {
		t.Errorf("without a proof: %v, %+v", err, got)
	}
}

// TestProofWithoutRoom: while there is no room on disk a transaction is not taken in by its proof, and the proof takes none.
func TestProofWithoutRoom(t *testing.T) {
	v := newVillage(t, nil)
	nodes := []*villager{v.start(0), v.start(1), v.start(2)}
	v.meet(nodes...)
	tx := v.pay(0, "")
	nodes[0].submitFinal(t, tx)
	raw, err := nodes[0].Proof(t.Context(), tx.ID, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	late := v.start(3) // it has met nobody
	_, p, err := late.sh.proves(tx.Raw, raw)
	if err != nil {
		t.Fatal(err)
	}
	full := &shell{space: new(space), store: late.sh.store} // a space of its own: the node looks at its own one every second
	full.space.full.Store(true)
	for _, sh := range []*shell{full, late.sh} {
		err := sh.takeProven(t.Context(), p)
		if _, kept, e := sh.store.Proof(tx.ID); e != nil || kept == (sh == full) || errors.Is(err, refusal.Because(notaryv1.Reason_REASON_STORE_FULL)) != (sh == full) {
			t.Errorf("full %v: %v, kept %v, %v", sh == full, err, kept, e)
		}
	}
}

// TestProgress: how far a node is behind is what members of more than a third say, and where nothing comes it says why.
func TestProgress(t *testing.T) {
	v := newVillage(t, nil)
	g, key := v.genesis.Group, func(i int) domain.PublicKey { return v.signers[i].Head.Key }
	p, now := newProgress(), time.Unix(1000, 0)
	p.here(100, now)
	p.says(key(0), 1<<60, now) // a liar alone
	if c := p.report(g, 100, now); c.FinalElsewhere != 0 || c.Missing != 0 {
		t.Errorf("one of four says: %v", c)
	}
	p.says(key(1), 20_100, now)
	p.says(key(2), 20_000, now)
	c := p.report(g, 100, now)
	if c.FinalElsewhere != 20_100 || c.Missing != 20_000 || c.EtaMs != 0 {
		t.Errorf("three say: %v", c)
	}
	if problem := p.problem(c); problem != "catching up: 100 of 20100 final transactions are here" {
		t.Error(problem)
	}
	for i := range 10 {
		now = now.Add(2 * time.Second)
		p.here(100+uint64(i+1)*1000, now)
	}
	if c = p.report(g, 10_100, now); c.PerSecond != 500 || c.EtaMs != 20_000 {
		t.Errorf("at 500 a second: %v", c)
	}
	if problem := p.problem(c); problem != "catching up: 10100 of 20100 final transactions are here, about 20s left" {
		t.Error(problem)
	}
	now = now.Add(progressStall + time.Second)
	p.here(10_100, now)
	p.failed("no member is connected")
	c = p.report(g, 10_100, now)
	if c.Stalled != "nothing has become final here for 31s: no member is connected" {
		t.Error(c.Stalled)
	}
	if p.problem(c) == "" || p.problem(&notaryv1.CatchUp{FinalElsewhere: 20_000, Missing: behindFew}) == "" || p.problem(&notaryv1.CatchUp{Missing: behindFew - 1}) != "" {
		t.Error("behind until few are missing")
	}
	if p.problem(&notaryv1.CatchUp{Missing: behindMany}) != "" {
		t.Error("not behind, and said to be")
	}
	p.says(key(3), 1, now.Add(saidFor+time.Hour)) // all others spoke long ago
	if c := p.report(g, 1, now); c.FinalElsewhere != 0 {
		t.Errorf("words of long ago: %v", c)
	}
}

// TestReconcilerBlames: a member that compares wrongly loses its standing and brings nothing; one that proves nothing is
// named as the cause.
func TestReconcilerBlames(t *testing.T) {
	l := startLive(t)
	l.chatter(nil)
	liar := l.keys[3].Public()
	r := *l.nodes[0].sh.reconciler
	if missing, err := r.compare(t.Context(), liar, true); err != nil || len(missing) > 0 {
		t.Errorf("one that has the same: %v, %v", missing, err)
	}
	r.pull = func(context.Context, domain.PublicKey, []setsync.Range) (setsync.Reply, error) {
		return setsync.Reply{Answered: 2}, nil
	}
	var blamed domain.PublicKey
	r.blame = func(key domain.PublicKey) { blamed = key }
	if _, err := r.compare(t.Context(), liar, true); !errors.Is(err, setsync.ErrCount) || blamed != liar {
		t.Errorf("one that compares wrongly: %v", err)
	}
	r.progress = newProgress()
	if r.repair(t.Context(), liar, []domain.Hash{{1}}) || !strings.Contains(r.cause, "proves none of 1") {
		t.Errorf("one that proves nothing: %q", r.cause)
	}
}

// nothing is a set of no ids.
type nothing struct{}

func (nothing) Fingerprint(setsync.Bounds) (f setsync.Fingerprint, err error) { return f, nil }
func (nothing) IDs(setsync.Bounds, int) ([]domain.Hash, error)                { return nil, nil }

// TestSlowComparisonEnds: a member that leads on and on, each answer in time, does not keep the node from asking another;
// what it listed until then is not lost.
func TestSlowComparisonEnds(t *testing.T) {
	for _, lists := range []bool{false, true} {
		bubble.Test(t, func(t *testing.T) {
			listed := domain.Hash{}
			r := &reconciler{set: nothing{}, limit: gossip.SetLimits, progress: newProgress(), fail: func(err error) { t.Error(err) }, blame: func(domain.PublicKey) {}}
			r.pull = func(ctx context.Context, _ domain.PublicKey, asked []setsync.Range) (setsync.Reply, error) {
				if !pause(ctx, 4*time.Second) {
					return setsync.Reply{}, ctx.Err()
				}
				reply := setsync.Reply{Answered: 1}
				for i, b := range asked[0].Split() {
					part := setsync.Range{Bounds: b, Digest: setsync.Digest{1}, Count: 1}
					if lists && i == 0 && b.From == listed {
						part = setsync.Range{Bounds: b, Listed: true, IDs: []domain.Hash{listed}}
					}
					reply.Ranges = append(reply.Ranges, part)
				}
				return reply, nil
			}
			start := time.Now()
			missing, err := r.compare(t.Context(), domain.PublicKey{1}, true)
			if took := time.Since(start); took > comparePatience {
				t.Errorf("took %v", took)
			}
			if lists && (err != nil || len(missing) != 1) || !lists && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%d missing, %v", len(missing), err)
			}
		})
	}
}
