package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/internal/netlab"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// hosts is a network of four processes, each on a host of its own: in a network namespace, behind a switch that loses,
// delays and cuts what the test says. Clients reach all of them at any time.
type hosts struct {
	*processes
	lab    *netlab.Lab
	purse  purse
	probes int // coins of the purse that were probed with
}

const (
	hostPort = 7700
	hostAPI  = 7701
	// loadCoins are those that the load may use; the others are for probes.
	loadCoins = 96
)

func startHosts(t *testing.T) *hosts {
	t.Helper()
	if os.Getenv("NOTARY_NETLAB") == "" {
		t.Skip("make partitions")
	}
	h := &hosts{processes: startProcesses(t)}
	h.stop(t) // it has made the network's folder
	lab, err := netlab.New(4)
	if err != nil {
		t.Fatal(err)
	}
	h.lab = lab
	t.Cleanup(func() { // before the folder goes
		h.stop(t)
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	var everybody []string
	for i, n := range h.file.Nodes {
		key, err := domain.ParseHash(n.NodeKey)
		if err != nil {
			t.Fatal(err)
		}
		everybody = append(everybody, fmt.Sprintf("/ip4/%s/tcp/%d/p2p/%s", lab.Address(i), hostPort, gossip.PeerID(domain.PublicKey(key))))
		h.file.Nodes[i].API = netip.AddrPortFrom(lab.Address(i), hostAPI).String()
	}
	h.host = func(i int, line []string) []string {
		at := lab.Address(i).String()
		line = append(line, "--set", fmt.Sprintf("p2p.listen=/ip4/%s/tcp/%d", at, hostPort), "--set", "p2p.bootstrap="+strings.Join(everybody, ","),
			"--set", "api.public="+h.file.Nodes[i].API, "--set", "metrics.listen=127.0.0.1:7702", "--set", "vote.heartbeat=1s")
		return lab.Command(i, line[0], line[1:]...)
	}
	owner, err := runtimefile.LoadKey(h.file.FaucetKey)
	if err != nil {
		t.Fatal(err)
	}
	coins := h.genesis.Doc.Allocations
	h.purse = purse{h.genesis.ID, owner, loadCoins, coins[0].Amount}
	h.probes = loadCoins
	var starting sync.WaitGroup
	for i := range h.file.Nodes {
		starting.Go(func() { h.run(t, i) })
	}
	starting.Wait()
	h.connect(t)
	return h
}

// load is clients of all four, who turn to another one where a payment is not final within two seconds.
func (h *hosts) load(workers int) *load {
	return newLoadOf(h.purse, workers, []*client{h.client(0), h.client(1), h.client(2), h.client(3)}, 2*time.Second)
}

// saying is how many transactions a node has told clients are final.
func (l *load) saying(node int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.said[node])
}

// goesOn waits until nodes have told clients of so many more finals.
func (l *load) goesOn(t *testing.T, more int, nodes ...int) {
	t.Helper()
	for _, v := range nodes {
		before := l.saying(v)
		eventually(t, fmt.Sprintf("node %d to go on", v), func() bool { return l.saying(v) >= before+more })
	}
}

// probe is a payment, or two that spend the same, sent to one node each.
type probe struct {
	txs   []*utxo.Tx
	nodes []int
}

// send submits payments to each of the nodes, and rivals to pairs of them, and waits until each was taken.
func (h *hosts) send(t *testing.T, l *load, each int, nodes ...int) (probes []probe) {
	t.Helper()
	for range each {
		for i, v := range nodes {
			coin := func() utxo.Outpoint {
				h.probes++
				if h.probes > len(h.genesis.Doc.Allocations) {
					t.Fatal("the purse is empty")
				}
				return utxo.Outpoint{Tx: h.genesis.ID, Index: uint32(h.probes - 1)}
			}
			probes = append(probes, probe{[]*utxo.Tx{h.purse.pay(coin(), bob, 0)}, []int{v}})
			at := coin()
			rivals := []*utxo.Tx{h.purse.pay(at, bob, 0), h.purse.pay(at, carol, 1)}
			probes = append(probes, probe{rivals, []int{v, nodes[(i+1)%len(nodes)]}})
		}
	}
	for _, p := range probes {
		for i, tx := range p.txs {
			l.history.offer(tx)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_, err := h.client(p.nodes[i]).SubmitTransaction(ctx, &notaryv1.SubmitTransactionRequest{Transaction: tx.Raw, WaitFor: waitNone})
			cancel()
			if r := reasonOf(err); err != nil && r != notaryv1.Reason_REASON_DOUBLE_SPEND && r != notaryv1.Reason_REASON_OUTPOINT_SPENT {
				t.Fatal(err)
			}
		}
	}
	return probes
}

// decided reports whether a node has one of the probe's transactions final.
func (h *hosts) decided(t *testing.T, l *load, node int, p probe) bool {
	for _, tx := range p.txs {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		since := l.history.now()
		r, err := h.client(node).GetTransaction(ctx, &notaryv1.GetTransactionRequest{TransactionId: tx.ID[:]})
		cancel()
		if err == nil && r.GetStatus().GetState() == stateFinal {
			l.history.told(tx, true, since)
			return true
		}
	}
	return false
}

// decide waits until all nodes have decided all probes, and returns how long each took from now on at the last of them.
func (h *hosts) decide(t *testing.T, l *load, probes []probe) (took []time.Duration) {
	t.Helper()
	start := time.Now()
	open := make(map[[2]int]bool)
	for i := range probes {
		for v := range h.file.Nodes {
			open[[2]int{i, v}] = true
		}
	}
	last := make([]time.Duration, len(probes))
	eventually(t, "everything to be decided", func() bool {
		for at := range open {
			if h.decided(t, l, at[1], probes[at[0]]) {
				last[at[0]] = max(last[at[0]], time.Since(start))
				delete(open, at)
			}
		}
		return len(open) == 0
	})
	return last
}

// final is how many of the probes a node has decided.
func (h *hosts) final(t *testing.T, l *load, node int, probes []probe) (n int) {
	for _, p := range probes {
		if h.decided(t, l, node, p) {
			n++
		}
	}
	return n
}

// percentile of durations, in milliseconds.
func percentile(all []time.Duration, p int) int64 {
	slices.Sort(all)
	return all[max((len(all)*p+99)/100, 1)-1].Milliseconds()
}
