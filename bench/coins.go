package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Coins is a set of outputs that go round: each transaction spends the oldest and makes it anew at the address of
// another key.
type Coins struct {
	network domain.Hash
	keys    []domain.PrivateKey
	addrs   []utxo.Address
	queue   []coin
	made    int
}

// coin is an output and whose it is.
type coin struct {
	at     utxo.Outpoint
	owner  int
	amount uint64
}

// owners is how many keys share the coins: signatures of one key alone would be cheaper to verify than real ones.
const owners = 1024

// coinAmount is what a coin holds, in base units.
const coinAmount = 1000

// fan is how many outputs one preparing transaction makes.
const fan = utxo.MaxOutputs - 1

// Mint makes coins out of the faucet's, each final at one node at least.
func (n *Network) Mint(ctx context.Context, count int) (*Coins, error) {
	c := &Coins{network: n.Nodes[0].Genesis().ID}
	for i := range owners {
		seed := domain.Sum(domain.TagLock, binary.BigEndian.AppendUint64([]byte("bench"), uint64(i)))
		c.keys = append(c.keys, domain.NewPrivateKey(seed))
		c.addrs = append(c.addrs, utxo.KeyLock(c.keys[i].Public()).Address())
	}
	sources, err := n.sources(ctx, (count+fan-1)/fan)
	if err != nil {
		return nil, fmt.Errorf("bench: coins of the faucet: %w", err)
	}
	address := utxo.KeyLock(n.Faucet.Public()).Address()
	var txs []*utxo.Tx
	for _, source := range sources {
		b := utxo.NewBuilder(c.network).Spend(source.Outpoint)
		k := min(fan, count-len(c.queue))
		first := len(c.queue)
		for range k {
			owner := len(c.queue) % owners
			b.Pay(c.addrs[owner], domain.Hash{}, coinAmount)
			c.queue = append(c.queue, coin{owner: owner, amount: coinAmount})
		}
		b.Pay(address, domain.Hash{}, source.Output.Amount-coinAmount*uint64(k))
		tx, err := finish(b, n.Faucet)
		if err != nil {
			return nil, err
		}
		for i := range k {
			c.queue[first+i].at = utxo.Outpoint{Tx: tx.ID, Index: uint32(i)}
		}
		txs = append(txs, tx)
	}
	return c, n.submitAll(ctx, txs)
}

// sources are at least count coins of the faucet, the largest split where it has too few.
func (n *Network) sources(ctx context.Context, count int) ([]client.Coin, error) {
	account := client.NewAccount(n.Faucet)
	coins, err := n.Nodes[0].Coins(ctx, account.Address)
	if err != nil || len(coins) >= count {
		return coins[:min(count, len(coins))], err
	}
	var txs []*utxo.Tx
	for have := len(coins); have < count; {
		if len(txs) == len(coins) {
			return nil, errors.New("too many coins asked for")
		}
		from := coins[len(txs)]
		b := utxo.NewBuilder(n.Nodes[0].Genesis().ID).Spend(from.Outpoint)
		share := from.Output.Amount / fan
		for range fan - 1 {
			b.Pay(account.Address, domain.Hash{}, share)
		}
		b.Pay(account.Address, domain.Hash{}, from.Output.Amount-share*(fan-1))
		tx, err := finish(b, n.Faucet)
		if err != nil {
			return nil, err
		}
		txs = append(txs, tx)
		have += fan - 1
	}
	if err := n.submitAll(ctx, txs); err != nil {
		return nil, err
	}
	for range 100 { // final where they were handed in, and here a moment later
		if coins, err = n.Nodes[0].Coins(ctx, account.Address); err != nil || len(coins) >= count {
			return coins[:min(count, len(coins))], err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil, fmt.Errorf("only %d coins", len(coins))
}

// submitAll has transactions made final, each by one of the nodes, some at a time.
func (n *Network) submitAll(ctx context.Context, txs []*utxo.Tx) error {
	var group sync.WaitGroup
	failed := make([]error, len(txs))
	slots := make(chan struct{}, 32)
	for i, tx := range txs {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			_, failed[i] = n.Nodes[i%len(n.Nodes)].Submit(ctx, tx.Raw, client.WaitFinal)
		})
	}
	group.Wait()
	return errors.Join(failed...)
}

// Sign makes n transactions, each of which spends the coin that has rested longest. One that spends what another of
// them makes comes at least as many transactions later as there are coins.
func (c *Coins) Sign(n int) ([]*utxo.Tx, error) {
	txs := make([]*utxo.Tx, n)
	drafts := make([]*utxo.Draft, n)
	for done := 0; done < n; {
		step := min(len(c.queue), n-done) // ids of later ones depend on those of earlier ones
		for i := range step {
			from := &c.queue[i]
			to := (from.owner + 1 + c.made%(owners-1)) % owners
			c.made++
			d, err := utxo.NewBuilder(c.network).Spend(from.at).Pay(c.addrs[to], domain.Hash{}, from.amount).Build()
			if err != nil {
				return nil, err
			}
			drafts[done+i] = d.Sign(c.keys[from.owner])
			from.at, from.owner = utxo.Outpoint{Tx: d.ID()}, to
		}
		c.queue = append(c.queue[step:], c.queue[:step]...)
		done += step
	}
	for i, d := range drafts {
		var err error
		if txs[i], err = utxo.Decode(d.Raw(), utxo.Rules{Network: c.network}); err != nil {
			return nil, err
		}
	}
	return txs, nil
}

func finish(b *utxo.Builder, keys ...domain.PrivateKey) (*utxo.Tx, error) {
	d, err := b.Build()
	if err != nil {
		return nil, err
	}
	return d.Sign(keys...).Finish()
}
