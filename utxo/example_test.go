package utxo_test

import (
	"fmt"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// A payment: build, sign, decode as a node does, validate, apply.
func Example() {
	network := domain.Sum(domain.TagGenesis, []byte("an example"))
	alice := domain.NewPrivateKey([32]byte{1})
	bob := domain.NewPrivateKey([32]byte{2})
	mine, his := utxo.KeyLock(alice.Public()).Address(), utxo.KeyLock(bob.Public()).Address()

	// What is known: one output of five coins, as if from genesis.
	coins := utxo.Outpoint{Tx: network, Index: 0}
	var set utxo.Set
	_ = set.Apply(utxo.Delta{Tx: network, Created: []utxo.Created{{
		Outpoint: coins, Output: utxo.Output{Kind: 1, Address: mine, Amount: 5 * utxo.UnitsPerCoin},
	}}}, 0)

	draft, err := utxo.NewBuilder(network).
		Spend(coins).
		Pay(his, utxo.Product{}, 3*utxo.UnitsPerCoin).
		Pay(mine, utxo.Product{}, 2*utxo.UnitsPerCoin).
		Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	signed, err := draft.Sign(alice).Finish()
	if err != nil {
		fmt.Println(err)
		return
	}

	tx, err := utxo.Decode(signed.Raw, utxo.Rules{Network: network})
	if err != nil {
		fmt.Println(err)
		return
	}
	delta, err := utxo.ValidateSigned(tx, &set, utxo.Moment{NowMS: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Apply(delta, 1), len(set.Live()))
	// Again, it is a double spend.
	_, err = utxo.Validate(tx, &set, utxo.Moment{NowMS: 2})
	fmt.Println(err != nil)
	// Output:
	// <nil> 2
	// true
}
