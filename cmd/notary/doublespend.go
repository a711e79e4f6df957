package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// doubleSpendView is what became of two transactions that spend one coin.
type doubleSpendView struct {
	Pairs int `json:"pairs"`
	// OneFinal counts the pairs of which exactly one became final, the same at every node. Both and
	// None count the others: they must be 0.
	OneFinal int `json:"one_final"`
	Both     int `json:"both_final"`
	None     int `json:"undecided"`
	Differ   int `json:"nodes_differ"`
	// P50MS and MaxMS are from the first submission to the decision, in milliseconds.
	P50MS float64 `json:"p50_ms"`
	P99MS float64 `json:"p99_ms"`
	MaxMS float64 `json:"max_ms"`

	last *duel
}

// duel is one double spend.
type duel struct {
	sides [2]*client.Transaction
	// states[i] are those of side i at each node.
	states [2][]notaryv1.TransactionState
	took   time.Duration
	err    error
}

func (a *app) doubleSpendCommand() *cobra.Command {
	pairs, peers := 1, "split"
	c := &cobra.Command{
		Use: "double-spend", Short: "Spend one coin twice, each side at another half of the devnet, at once",
		Long: "Draws coins from the devnet's faucet and spends each twice: one transaction goes to the first half\n" +
			"of the nodes, its rival to the second half, at the same moment. The network must make exactly one of\n" +
			"each pair final, the same one everywhere. Exit code 0 when it did, 1 when not.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if pairs < 1 || pairs > 100_000 {
				return usage("--pairs must lie in 1..100000")
			}
			if peers != "split" && peers != "same" {
				return usage("--peers must be split or same")
			}
			v, err := a.doubleSpend(c.Context(), pairs, peers == "split")
			if err != nil {
				return err
			}
			if err := a.print(v, v.write); err != nil {
				return err
			}
			if v.OneFinal != v.Pairs || v.Differ > 0 {
				return &verdictFailed{exitFailed}
			}
			return nil
		},
	}
	c.Flags().IntVar(&pairs, "pairs", pairs, "number of coins to spend twice")
	c.Flags().StringVar(&peers, "peers", peers, "split: each side to another half of the nodes; same: both to the first node")
	return c
}

// duelsAtOnce bounds the double spends under way.
const duelsAtOnce = 64

func (a *app) doubleSpend(ctx context.Context, pairs int, split bool) (*doubleSpendView, error) {
	nodes, err := a.everyNode(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, n := range nodes {
			n.Close() // nothing is under way any more
		}
	}()
	duels, err := a.challenge(ctx, nodes[0], pairs)
	if err != nil {
		return nil, err
	}
	slots := make(chan struct{}, duelsAtOnce)
	var running sync.WaitGroup
	for _, d := range duels {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			d.fight(ctx, nodes, split)
		})
	}
	running.Wait()
	return judgeDuels(duels), nil
}

// everyNode dials all nodes of the local devnet.
func (a *app) everyNode(ctx context.Context) ([]*client.Client, error) {
	local, err := a.runtime()
	if err != nil {
		return nil, fmt.Errorf("double spends are shown on a devnet on this machine: %w", err)
	}
	network, err := domain.ParseHash(local.NetworkID)
	if err != nil {
		return nil, err
	}
	var nodes []*client.Client
	for _, n := range local.Nodes {
		c, err := client.Dial(ctx, n.API, append([]client.Option{client.WithRetry(patience), client.WithNetwork(network)}, a.dial...)...)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", n.Name, err)
		}
		nodes = append(nodes, c)
	}
	return nodes, nil
}

// coinsPerSplit is how many coins one transaction makes for the duels.
const coinsPerSplit = 200

// challenge makes the coins, and two transactions for each that spend it, different in their amounts.
func (a *app) challenge(ctx context.Context, c *client.Client, pairs int) ([]*duel, error) {
	from, _, err := a.faucet(c)
	if err != nil {
		return nil, err
	}
	var duels []*duel
	for len(duels) < pairs {
		n := min(coinsPerSplit, pairs-len(duels))
		payments := make([]client.Payment, n)
		for i := range payments {
			payments[i] = client.Payment{To: from.Address, Amount: 1_000_000}
		}
		tx, err := c.BuildPayments(ctx, from, client.Terms{}, payments...)
		if err != nil {
			return nil, err
		}
		if _, err := c.SubmitFinal(ctx, tx); err != nil {
			return nil, err
		}
		from.Release(tx.Spends()...)
		for i := range n {
			coin := client.Coin{Outpoint: utxo.Outpoint{Tx: tx.ID, Index: uint32(i)}, Output: tx.Outputs[i]}
			d := &duel{}
			for side := range d.sides {
				d.sides[side], err = c.Spend(from, client.Terms{}, []client.Coin{coin}, []utxo.Output{{
					Address: from.Address, Amount: uint64(1000 + side), Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT,
				}})
				if err != nil {
					return nil, err
				}
				from.Release(coin.Outpoint)
			}
			duels = append(duels, d)
		}
	}
	return duels, nil
}

// fight submits both sides at once and waits until every node has decided on both.
func (d *duel) fight(ctx context.Context, nodes []*client.Client, split bool) {
	start := time.Now()
	var sending sync.WaitGroup
	for i, n := range nodes {
		side := 0
		if split && i >= len(nodes)/2 {
			side = 1
		}
		if !split && i > 0 {
			continue
		}
		sending.Go(func() {
			n.Submit(ctx, d.sides[side].Raw, client.WaitFinal) // how it ends is asked for below
		})
		if !split {
			sending.Go(func() { n.Submit(ctx, d.sides[1].Raw, client.WaitFinal) })
		}
	}
	sending.Wait()
	d.took = time.Since(start)
	for side := range d.sides {
		d.states[side] = make([]notaryv1.TransactionState, len(nodes))
		for i, n := range nodes {
			// A node that never met a side knows nothing of it; asking it to take the side in makes it decide.
			status, err := n.Submit(ctx, d.sides[side].Raw, client.WaitFinal)
			switch {
			case err == nil:
				d.states[side][i] = status.GetState()
			case client.Refused(err):
				d.states[side][i] = notaryv1.TransactionState_TRANSACTION_STATE_REJECTED
			default:
				d.err = errors.Join(d.err, err)
			}
		}
	}
}

func judgeDuels(duels []*duel) *doubleSpendView {
	v := &doubleSpendView{Pairs: len(duels), last: duels[len(duels)-1]}
	took := make([]time.Duration, len(duels))
	for i, d := range duels {
		took[i] = d.took
		winners := 0
		for _, states := range d.states {
			finals := 0
			for _, s := range states {
				if s == notaryv1.TransactionState_TRANSACTION_STATE_FINAL {
					finals++
				}
			}
			if finals != 0 && finals != len(states) {
				v.Differ++
			}
			if finals > 0 {
				winners++
			}
		}
		switch winners {
		case 0:
			v.None++
		case 1:
			v.OneFinal++
		default:
			v.Both++
		}
	}
	t := summarize(took)
	v.P50MS, v.P99MS, v.MaxMS = t.P50, t.P99, t.Max
	return v
}

func (v *doubleSpendView) write(w io.Writer) {
	if v.Pairs == 1 {
		for side, name := range []string{"first half's", "second half's"} {
			fmt.Fprintf(w, "%-14s %s  %s\n", name, v.last.sides[side].ID, outcomeOf(v.last.states[side]))
		}
	}
	fmt.Fprintf(w, "%d double spends: %d with exactly one side final, %d with both, %d undecided; nodes differ on %d\n",
		v.Pairs, v.OneFinal, v.Both, v.None, v.Differ)
	fmt.Fprintf(w, "decided after %.0f ms at the median, %.0f ms at most\n", v.P50MS, v.MaxMS)
}

// outcomeOf is the state that all nodes agree on.
func outcomeOf(states []notaryv1.TransactionState) string {
	for _, s := range states {
		if s != states[0] {
			return "NODES DIFFER"
		}
	}
	switch states[0] {
	case notaryv1.TransactionState_TRANSACTION_STATE_FINAL:
		return "final at every node"
	case notaryv1.TransactionState_TRANSACTION_STATE_REJECTED:
		return "rejected at every node"
	default:
		return "undecided"
	}
}
