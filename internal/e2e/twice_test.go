package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/notarynet/notaryd/internal/freeport"
	"github.com/notarynet/notaryd/node"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// twin is another machine with a node's key, and with a copy of a data directory.
func (v *notary) twin(t *testing.T, dir string) *notary {
	t.Helper()
	w := *v
	w.dir, w.p2p, w.running, w.breaks = dir, freeport.Port(t), nil, true
	t.Cleanup(func() { w.kill(t) })
	return &w
}

// contradict runs an old copy of a node that does not listen first, again and again, until what it signs has convicted it: one
// that hears of its other self before it has signed anything just ends.
func (n *network) contradict(t *testing.T, guilty *notary, old string, coin int) {
	t.Helper()
	tx := n.pay(bob, 0, coin)
	for try := range 12 {
		dir := filepath.Join(t.TempDir(), "again")
		if err := os.CopyFS(dir, os.DirFS(old)); err != nil {
			t.Fatal(err)
		}
		w := guilty.twin(t, dir)
		w.tune = func(c *node.Config) { c.Listen = 0 }
		w.start(t)
		_, err := w.submit(t, tx.Raw, waitPending) // it may end on the way, or its other self's votes are known
		t.Logf("the twin, %d: %v", try, err)
		over, tick := time.After(3*time.Second), time.NewTicker(10*time.Millisecond)
		for waits := true; waits; {
			select {
			case <-tick.C:
				if n.nodes[0].weight(t, guilty) == 0 {
					tick.Stop()
					w.kill(t)
					return
				}
			case <-over:
				waits = false
			}
		}
		tick.Stop()
		w.kill(t)
	}
	t.Fatal("the twin never contradicts itself")
}

// copyOf is a copy of a data directory that no node has open.
func (v *notary) copyOf(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(v.dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ended waits until a node has ended by itself, and returns how.
func (v *notary) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-v.running.done:
		v.running.done <- nil // for kill
		return err
	case <-time.After(patience):
		t.Fatalf("node %d goes on", v.index)
		return nil
	}
}

// pays submits a payment to a node and waits until it is final there.
func (v *notary) pays(t *testing.T, to domain.PrivateKey, salt, coin int) *utxo.Tx {
	t.Helper()
	tx := v.net.pay(to, salt, coin)
	v.mustSubmit(t, tx, waitFinal)
	return tx
}

// chain is the own chain of a node, as another one holds it.
func (v *notary) chain(of *notary, epoch uint32) observation.Head {
	return v.running.store.Head(observation.ChainID{Key: of.key.Public(), SigningEpoch: epoch})
}

// signed is the last that a node which does not run has signed in signing epoch 0. It may be on its way to others still, or
// have reached nobody.
func (v *notary) signed(t *testing.T) observation.Head {
	t.Helper()
	st, err := store.Open(v.dir, v.storeOptions(utxo.Delta{}))
	if err != nil {
		t.Fatal(err)
	}
	head := st.Head(observation.ChainID{Key: v.key.Public()})
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return head
}

// TestSameKeyTwice: a machine that starts with an old copy of a data directory, while the node runs elsewhere
// or after it has run on, hears of its own signatures before it votes, and ends. Nobody sees it contradict
// itself.
func TestSameKeyTwice(t *testing.T) {
	n := start(t, 4, setup{coins: 12, node: func(c *node.Config) { c.Listen = time.Minute }})
	v := n.nodes[3]
	n.submitAll(t, 3)
	v.kill(t)
	old := v.copyOf(t)
	v.start(t)
	n.meet(t)
	n.allFinal(t, n.nodes[0].pays(t, bob, 0, 3), v.pays(t, bob, 0, 4))

	for _, running := range []bool{true, false} {
		if !running {
			v.kill(t)
		}
		w := v.twin(t, old)
		w.start(t)
		if err := w.ended(t); !errors.Is(err, node.ErrSignedElsewhere) {
			t.Fatalf("with the node running %v, the copy ended with %v", running, err)
		}
		w.kill(t)
	}
	for _, other := range n.up() {
		c := other.chain(v, 0)
		for h := uint64(1); h <= c.Height; h++ {
			for range other.running.store.Forks(observation.ChainID{Key: c.Key}, h) {
				t.Errorf("node %d saw two observations at height %d", other.index, h)
			}
		}
	}
	// The genuine one comes back and goes on.
	v.start(t)
	n.meet(t)
	n.allFinal(t, v.pays(t, bob, 0, 5))
	n.equalLedgers(t)
}

// TestOldBackup: a node is backed up while it works, runs on, and is lost. The backup, started as it is or restored,
// follows the network, counts what its former self signed, and signs nothing, in the old signing epoch or the new.
func TestOldBackup(t *testing.T) {
	const listed = 0 // the signing epoch that the group counts
	n := start(t, 4, setup{coins: 20})
	v := n.nodes[3]
	before := n.submitAll(t, 6)
	backup := filepath.Join(t.TempDir(), "backup")
	if _, err := v.running.store.Backup(backup); err != nil {
		t.Fatal(err)
	}
	var after []*utxo.Tx
	for i := 6; i < 12; i++ {
		after = append(after, v.pays(t, bob, 0, i))
	}
	n.allFinal(t, after...)
	v.kill(t)
	signed := v.signed(t)

	v.dir = backup
	for i, why := range []string{"a backup that was not restored", "names signing epoch 1000"} {
		if i == 1 {
			v.kill(t)
			o := store.Options{Network: n.genesis.ID, Key: v.key.Public(), MemBytes: 4 << 20}
			if err := store.Restore(backup, o, 1000, nowMS()); err != nil {
				t.Fatal(err)
			}
		}
		v.start(t)
		eventually(t, "the backup to say why it does not vote", func() bool {
			problems, _ := v.running.node.Ready()
			return len(problems) == 1 && strings.Contains(problems[0], why)
		})
		more := n.nodes[0].pays(t, bob, 0, 12+2*i)
		more2 := v.pays(t, bob, 0, 13+2*i)
		n.allFinal(t, more, more2)
		n.allFinal(t, before...)
		n.allFinal(t, after...)
		n.each(t, "the backup to know what others do of its former self's votes", func(other *notary) bool {
			return v.chain(v, listed) == other.chain(v, listed)
		})
		n.equalLedgers(t)
		for _, other := range n.up() {
			if got := other.chain(v, listed); got.Height > signed.Height || got.Height == signed.Height && got != signed {
				t.Errorf("node %d: the old epoch went on to %+v, it had ended at %+v", other.index, got, signed)
			}
			if got := other.chain(v, 1000); got.Height != 0 {
				t.Errorf("node %d: the new epoch has begun before a link names it: %+v", other.index, got)
			}
		}
	}
}

// TestVotesAgainAfterRestore: a node is lost, and restored from a backup in a new signing epoch. Its peer's master key
// lists that epoch, a link takes it in, and from then on the node votes and is counted; the network stands still without
// it then, and nobody is convicted.
func TestVotesAgainAfterRestore(t *testing.T) {
	n := start(t, 4, setup{coins: 20, speak: true})
	v := n.nodes[3]
	n.submitAll(t, 4)
	backup := filepath.Join(t.TempDir(), "backup")
	if _, err := v.running.store.Backup(backup); err != nil {
		t.Fatal(err)
	}
	paid := []*utxo.Tx{v.pays(t, bob, 0, 4), v.pays(t, bob, 0, 5)}
	n.allFinal(t, paid...)
	v.kill(t)
	old := v.signed(t)
	o := store.Options{Network: n.genesis.ID, Key: v.key.Public(), MemBytes: 4 << 20}
	if err := store.Restore(backup, o, 1000, nowMS()); err != nil {
		t.Fatal(err)
	}
	v.dir = backup
	v.tune = func(c *node.Config) { c.Announce = true }
	v.start(t)
	n.meet(t)
	eventually(t, "the restored node to vote in its new signing epoch", func() bool {
		problems, _ := v.running.node.Ready()
		return len(problems) == 0 && n.nodes[0].chain(v, 1000).Height > 0
	})
	n.nodes[2].kill(t) // nothing is final without the restored one now
	paid = append(paid, n.nodes[0].pays(t, bob, 0, 6), v.pays(t, bob, 0, 7))
	n.allFinal(t, paid...)
	for _, tx := range paid {
		n.verify(t, v.proof(t, tx.ID), tx.ID)
	}
	if got := n.nodes[0].chain(v, 0); got.Height > old.Height {
		t.Errorf("the old signing epoch went on to %+v, it had ended at %+v", got, old)
	}
	if got := n.nodes[0].weight(t, v); got == 0 {
		t.Error("the restored node carries no weight")
	}
	n.equalLedgers(t)
	if contradictions := n.contradictions(t); contradictions > 0 {
		t.Errorf("%d contradictory votes", contradictions)
	}
}
