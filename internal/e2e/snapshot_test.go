package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/node"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// snapshotsEvery is a rhythm that a test can wait for. On a busy machine a statement may come later than it allows for: then
// nodes differ about that time.
func snapshotsEvery(every time.Duration) func(*node.Config) {
	return func(c *node.Config) { c.SnapshotEvery, c.SnapshotSettle = every, every/2 }
}

// joins has a node begin from a snapshot, where there is one.
func joins(c *node.Config) { c.JoinPatience = 10 * time.Second }

// snapshots is what a node says of snapshots.
func (v *notary) snapshots(t testing.TB) *notaryv1.SnapshotStatus {
	t.Helper()
	info, err := v.running.GetNetwork(t.Context(), &notaryv1.GetNetworkRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return info.Snapshots
}

// agreements watches what some nodes offer of times after one until there are snapshots of so many times, of each of which
// all offer the same; and says of how many times some differ.
func (n *network) agreements(t *testing.T, afterMS uint64, want int, nodes ...*notary) (agreed, differ int) {
	t.Helper()
	offers := make(map[uint64]map[int]string)
	eventually(t, "common snapshots", func() bool {
		for _, v := range nodes {
			s := v.snapshots(t)
			if s.GetOfferedMs() <= afterMS {
				continue
			}
			if offers[s.OfferedMs] == nil {
				offers[s.OfferedMs] = make(map[int]string)
			}
			offers[s.OfferedMs][v.index] = string(s.OfferedManifest)
		}
		agreed, differ = 0, 0
		for _, of := range offers {
			hashes := make(map[string]bool)
			for _, h := range of {
				hashes[h] = true
			}
			switch {
			case len(hashes) > 1:
				differ++
			case len(of) == len(nodes):
				agreed++
			}
		}
		return agreed >= want
	})
	return agreed, differ
}

// TestJoinBySnapshot: four nodes under load agree on snapshots; a fifth, a voter that never ran, begins from one, holds the
// same ledger, votes, and goes on after a crash.
func TestJoinBySnapshot(t *testing.T) {
	n := start(t, 5, setup{coins: 4000, node: snapshotsEvery(4 * time.Second), down: []int{4}})
	c := n.customers(t, 0, 3000, 0, 1, 2)
	agreed, differ := n.agreements(t, 0, 2, n.nodes[:4]...)

	v := n.nodes[4]
	v.tune = joins
	v.start(t)
	n.meet(t)
	began := v.snapshots(t)
	if began.GetBeganMs() == 0 || began.BeganFinals == 0 {
		t.Fatalf("no beginning from a snapshot: %+v", began)
	}
	c.end()
	n.allFinal(t, c.paid...)
	n.equalLedgers(t)
	t.Logf("nodes agree about %d times and differ about %d; the fifth began with %d of %d transactions", agreed, differ, began.BeganFinals, len(c.paid))

	// Of what was final before it proves nothing and knows that it is final; of what came later it proves all.
	old, young := 0, 0
	for i, tx := range c.paid {
		s := v.status(t, tx.ID)
		if s.State != notaryv1.TransactionState_TRANSACTION_STATE_FINAL || s.Held || s.AcceptedWeight < s.QuorumWeight {
			t.Fatalf("transaction %d: %v", i, s)
		}
		if s.FinalMs == began.BeganMs {
			if old++; old == 1 {
				_, err := v.running.GetAcceptanceProof(t.Context(), &notaryv1.GetAcceptanceProofRequest{TransactionId: tx.ID[:]})
				wantReason(t, err, notaryv1.Reason_REASON_NOT_FOUND)
				if s, err := v.submit(t, tx.Raw, waitFinal); err != nil || s.State != notaryv1.TransactionState_TRANSACTION_STATE_FINAL {
					t.Errorf("submitted once more: %v, %v", s, err)
				}
				if _, err := v.running.node.Explain(t.Context(), tx.ID, unpaid); err != nil {
					t.Errorf("explained: %v", err)
				}
				if list, _, err := v.running.node.Finals(t.Context(), "", 100, func(int) bool { return true }); err != nil || len(list) == 0 {
					t.Errorf("%d finals listed, %v", len(list), err)
				}
			}
			continue
		}
		if young++; young%20 == 1 {
			n.verify(t, v.proof(t, tx.ID), tx.ID)
		}
	}
	if old == 0 || young == 0 {
		t.Errorf("%d of before and %d of after", old, young)
	}
	// A rival of what was final before is refused, by its name.
	rival := n.pay(carol, 7, 0)
	_, err := v.submit(t, rival.Raw, waitFinal)
	wantReason(t, err, notaryv1.Reason_REASON_OUTPOINT_SPENT)
	// Somebody spends what was live at the beginning, and without one of the four the fifth is needed.
	n.nodes[0].kill(t)
	spends := n.sign(n.spend(utxo.Outpoint{Tx: c.paid[0].ID}).Pay(addressOf(carol), utxo.Product{}, coinValue), bob)
	v.mustSubmit(t, spends, waitFinal)
	n.verify(t, v.proof(t, spends.ID), spends.ID)
	n.nodes[0].start(t)

	v.kill(t)
	v.start(t)
	n.meet(t)
	later := n.pay(bob, 1, 3500)
	v.mustSubmit(t, later, waitFinal)
	n.allFinal(t, spends, later)
	n.equalLedgers(t)
	if after := v.snapshots(t); after.BeganMs != began.BeganMs || after.BeganFinals != began.BeganFinals {
		t.Errorf("after a crash it began with %+v", after)
	}
	n.honest(t)
	// Now there are five that agree, and nothing that comes late.
	if agreed, differ := n.agreements(t, nowMS(), 2, n.nodes...); differ >= agreed {
		t.Errorf("nodes agree about %d times and differ about %d", agreed, differ)
	}
}

// TestKillNineNewcomer: a newcomer to four processes under load, rivals among it, is killed with signal 9 while it begins from
// a snapshot, and again once it runs. In the end everything that anybody said was final is so there too, and no two rivals.
func TestKillNineNewcomer(t *testing.T) {
	p := startProcesses(t, "snapshot.every=2s", "snapshot.settle=500ms")
	owner, err := runtimefile.LoadKey(p.file.FaucetKey)
	if err != nil {
		t.Fatal(err)
	}
	coins := p.genesis.Doc.Allocations
	l := newLoad(purse{p.genesis.ID, owner, len(coins), coins[0].Amount}, 8, []*client{p.client(0), p.client(1), p.client(2), p.client(3)})
	eventually(t, "two snapshots", func() bool {
		s := p.snapshots(t, 0)
		return s.GetOfferedMs() > 0 && s.OfferedMs+2000 < nowMS()
	})

	name := "newcomer"
	dir, i := filepath.Join(p.dir, name), len(p.file.Nodes)
	c := p.command("devnet", "join", dir, "--snapshot")
	c.Env = append(os.Environ(), runtimefile.EnvPath+"="+p.runtime)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(out))
	after := func(word string) string { return words[slices.Index(words, word)+1] }
	p.file.Nodes = append(p.file.Nodes, runtimefile.Node{Name: name, NodeKey: after("key"), API: after("API")})
	conn, err := grpc.NewClient(after("API"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	p.conns, p.again = append(p.conns, conn), append(p.again, nil)
	log := filepath.Join(dir, "node.log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.launch(t, i)
	eventually(t, "the newcomer to begin", func() bool {
		b, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(b), "beginning from a snapshot")
	})
	p.kill(t, i)
	p.run(t, i)
	began := p.snapshots(t, i)
	if began.GetBeganMs() == 0 || began.BeganFinals == 0 {
		t.Errorf("no beginning from a snapshot: %+v", began)
	}
	p.kill(t, i)
	p.run(t, i)
	if again := p.snapshots(t, i); again.GetBeganMs() != began.GetBeganMs() {
		t.Errorf("after a crash it began with %+v, before with %+v", again, began)
	}
	l.stop(t)
	if lost, contradictory := p.judge(t, l); lost > 0 || contradictory > 0 {
		t.Errorf("%d accepted transactions lost, %d contradictory votes", lost, contradictory)
	}
	t.Logf("%d accepted, %d contests; the newcomer began with %d", len(l.final), len(l.rivals), began.GetBeganFinals())
}

// snapshots is what the process of a node says of snapshots.
func (p *processes) snapshots(t *testing.T, i int) *notaryv1.SnapshotStatus {
	t.Helper()
	info, err := p.client(i).GetNetwork(t.Context(), &notaryv1.GetNetworkRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return info.Snapshots
}

// TestJoinAfterHandOvers: links, and the metadata that they read, come with their proofs; the node follows hand-overs from
// there on.
func TestJoinAfterHandOvers(t *testing.T) {
	n := start(t, 4, setup{coins: 3000, speak: true, node: snapshotsEvery(time.Second)})
	c := n.customers(t, 0, 2000, 0, 1)
	four := slices.Clone(n.nodes)
	for _, v := range four {
		for _, other := range four {
			if other != v {
				v.label(t, other, 900)
			}
		}
	}
	share := func() uint64 {
		info, err := four[0].running.GetNetwork(t.Context(), &notaryv1.GetNetworkRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return info.GroupEpoch
	}
	eventually(t, "two hand-overs", func() bool { return share() >= 2 })
	n.agreements(t, 0, 3, four...) // the last of them of a later epoch than the first
	v := n.join(t, joins)
	n.meet(t)
	if s := v.snapshots(t); s.GetBeganFinals() == 0 {
		t.Fatalf("no beginning from a snapshot: %+v", s)
	}
	c.end()
	n.allFinal(t, c.paid...)
	n.equalLedgers(t)
	reached := share()
	four[0].label(t, four[1], 300)
	n.each(t, "a hand-over after it", func(v *notary) bool { return v.epoch(t) > reached })
	tx := n.pay(bob, 0, 2500)
	v.mustSubmit(t, tx, waitFinal)
	n.allFinal(t, tx)
	n.verify(t, v.proof(t, tx.ID), tx.ID)

	// A member by labels like any other: it votes with what it inherited, after a crash too.
	for _, w := range four {
		w.label(t, v, 900)
	}
	eventually(t, "the newcomer to have weight", func() bool {
		info, err := v.running.GetNetwork(t.Context(), &notaryv1.GetNetworkRequest{})
		return err == nil && info.NodeWeight > 0
	})
	v.kill(t)
	v.start(t)
	n.meet(t)
	tx = n.pay(bob, 0, 2501)
	v.mustSubmit(t, tx, waitFinal)
	n.allFinal(t, tx)
	n.verify(t, v.proof(t, tx.ID), tx.ID)
	n.equalLedgers(t)
	n.honest(t)
}
