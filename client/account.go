package client

import (
	"sync"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Account is a key and the address that it alone opens. It remembers which coins its transactions under
// way have claimed, so that the next transaction does not spend them again: a node lists an output as
// live until its spending is final. It is safe for concurrent use.
type Account struct {
	// Address receives, and takes the change.
	Address utxo.Address
	key     domain.PrivateKey

	mu   sync.Mutex
	tied map[utxo.Outpoint]struct{}
}

// NewAccount is the account of a key.
func NewAccount(key domain.PrivateKey) *Account {
	return &Account{
		Address: utxo.KeyLock(key.Public()).Address(),
		key:     key,
		tied:    map[utxo.Outpoint]struct{}{},
	}
}

// Tie keeps outpoints from being chosen; building a transaction ties what it spends.
func (a *Account) Tie(outpoints ...utxo.Outpoint) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range outpoints {
		a.tied[o] = struct{}{}
	}
}

// Release lets outpoints be chosen again. Release the inputs of a transaction that is Dead; of any other that
// would be an attempt to spend twice.
func (a *Account) Release(outpoints ...utxo.Outpoint) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range outpoints {
		delete(a.tied, o)
	}
}

// choose picks coins for every need. The lock of the account is held.
func (a *Account) choose(coins []Coin, list []need, nowMS uint64) ([]Coin, error) {
	var chosen []Coin
	for _, n := range list {
		if n.amount == 0 && len(list) > 1 {
			continue // the other products bring inputs
		}
		n.amount = max(n.amount, 1)
		picked, err := a.chooseFor(coins, n, nowMS)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, picked...)
	}
	return chosen, nil
}

func (a *Account) chooseFor(coins []Coin, n need, nowMS uint64) ([]Coin, error) {
	short := FundsError{Product: n.product, Need: n.amount}
	var free []Coin
	var sum uint64
	for _, c := range coins {
		if c.Output.Product != n.product {
			continue
		}
		switch _, tied := a.tied[c.Outpoint]; {
		case tied:
			short.Tied = saturate(short.Tied, c.Output.Amount)
		case !c.Spendable(nowMS):
			short.Locked = saturate(short.Locked, c.Output.Amount)
		default:
			free = append(free, c)
			sum = saturate(sum, c.Output.Amount)
		}
	}
	picked, most := pick(free, n.amount)
	if picked == nil {
		short.Have, short.Scattered = most, sum-most
		return nil, &short
	}
	return picked, nil
}
