package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/notarynet/notaryd/client"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// fan is how many outputs one preparing transaction makes: one less than a transaction may have.
const fan = utxo.MaxOutputs - 1

// benchUnits is what one prepared coin holds, in base units.
const benchUnits = 1000

// What a closed loop is given: so many signed transfers for each second, more than a node settles that shares two cores
// with the load, and so many coins for each place in the window, so that no transfer waits for the one that makes its coin.
const (
	signedPerSecond = 50_000
	coinsPerPlace   = 4
)

// prepare splits a part of the largest coin into count coins, level by level, and signs n transfers of them.
func (a *app) prepare(ctx context.Context, c *client.Client, account *client.Account, count, n int) ([][]byte, error) {
	root, err := largest(ctx, c, account, uint64(a.now().UnixMilli()))
	if err != nil {
		return nil, err
	}
	need := benchUnits * uint64(count)
	if root.Output.Amount < need {
		return nil, &client.FundsError{Need: need, Have: root.Output.Amount}
	}
	// The rest of the largest coin stays whole.
	coins, err := a.spendFinal(ctx, c, account, root, []utxo.Output{payTo(account, need)})
	for err == nil && len(coins) < count {
		coins, err = a.split(ctx, c, account, coins, count)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare coins: %w", err)
	}
	return a.sign(ctx, c, account, coins, n)
}

// sign makes n transfers, each of which spends the coin that has rested longest: transfer i what transfer i - len(coins) makes.
func (a *app) sign(ctx context.Context, c *client.Client, account *client.Account, coins []client.Coin, n int) ([][]byte, error) {
	bar := a.countBar("%d of %d signed", n)
	defer bar.close()
	var (
		all     sync.WaitGroup
		txs     = make([][]byte, n)
		workers = min(runtime.GOMAXPROCS(0), len(coins))
		failed  = make([]error, workers)
	)
	for w := range workers {
		all.Go(func() {
			for k := w; k < len(coins) && failed[w] == nil; k += workers {
				failed[w] = signRound(ctx, c, account, coins[k], txs[k:], len(coins))
				bar.add((n - k + len(coins) - 1) / len(coins))
			}
		})
	}
	all.Wait()
	return txs, errors.Join(failed...)
}

// signRound makes every step-th transfer, the first of a coin and each of the others of what the one before makes.
func signRound(ctx context.Context, c *client.Client, account *client.Account, coin client.Coin, txs [][]byte, step int) error {
	for i := 0; i < len(txs); i += step {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		tx, err := c.Spend(account, client.Terms{Validity: time.Hour}, []client.Coin{coin}, []utxo.Output{payTo(account, coin.Output.Amount)})
		if err != nil {
			return err
		}
		txs[i] = tx.Raw
		coin = client.Coin{Outpoint: utxo.Outpoint{Tx: tx.ID}, Output: tx.Outputs[0]}
	}
	return nil
}

// split turns coins into more coins, no more than n in all, taking the first ones apart as far as one
// transaction each can.
func (a *app) split(ctx context.Context, c *client.Client, account *client.Account, coins []client.Coin, n int) ([]client.Coin, error) {
	var next []client.Coin
	for i, coin := range coins {
		count := min(fan, n-len(next)-(len(coins)-i-1))
		if count <= 1 {
			next = append(next, coin)
			continue
		}
		outputs := make([]utxo.Output, count)
		for j := range outputs {
			outputs[j] = payTo(account, coin.Output.Amount/uint64(count))
		}
		outputs[0].Amount += coin.Output.Amount % uint64(count)
		made, err := a.spendFinal(ctx, c, account, coin, outputs)
		if err != nil {
			return nil, err
		}
		next = append(next, made...)
	}
	return next, nil
}

// spendFinal spends one coin and returns the coins made of it, change aside, once they are final.
func (a *app) spendFinal(ctx context.Context, c *client.Client, account *client.Account, coin client.Coin, outputs []utxo.Output) ([]client.Coin, error) {
	tx, err := c.Spend(account, client.Terms{}, []client.Coin{coin}, outputs)
	if err != nil {
		return nil, err
	}
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	if _, err := c.Submit(ctx, tx.Raw, client.WaitFinal); err != nil {
		return nil, err
	}
	made := make([]client.Coin, len(outputs))
	for j := range made {
		made[j] = client.Coin{Outpoint: utxo.Outpoint{Tx: tx.ID, Index: uint32(j)}, Output: tx.Outputs[j]}
	}
	return made, nil
}

func payTo(account *client.Account, amount uint64) utxo.Output {
	return utxo.Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Address: account.Address, Amount: amount}
}
