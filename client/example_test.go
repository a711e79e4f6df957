package client_test

import (
	"context"
	"fmt"
	"log"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/observation"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// A payment, and what the payer keeps of it.
func ExampleClient_Send() {
	ctx := context.Background()
	payer, shop := client.NewAccount(key(1)), client.NewAccount(key(2))
	network, err := clienttest.New("example", clienttest.Grant{To: payer.Address, Units: 10 * utxo.UnitsPerCoin})
	if err != nil {
		log.Fatal(err)
	}
	defer network.Close()

	c, err := client.Dial(ctx, clienttest.Target, client.WithGenesis(network.Genesis), client.WithDialOptions(network.Dialer()))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	receipt, err := c.Send(ctx, payer, client.Terms{Memo: []byte("order 17")}, client.Payment{To: shop.Address, Amount: 3 * utxo.UnitsPerCoin})
	if err != nil {
		log.Fatal(err)
	}
	file := receipt.Proof.EncodeFile() // what a .notary file holds

	// Later, elsewhere, without any node:
	proof, err := observation.DecodeFile(file, observation.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	verdict, err := proof.Verify(client.Root(network.Genesis))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verdict.Conclusion, verdict.Transactions[0].ID == receipt.ID)
	// Output: valid true
}

// A shop hears of every payment once and in order, and takes up where it stopped.
func ExampleClient_WatchAddress() {
	ctx := context.Background()
	payer, shop := client.NewAccount(key(1)), client.NewAccount(key(2))
	network, err := clienttest.New("example", clienttest.Grant{To: payer.Address, Units: 10 * utxo.UnitsPerCoin})
	if err != nil {
		log.Fatal(err)
	}
	defer network.Close()
	c, err := client.Dial(ctx, clienttest.Target, client.WithDialOptions(network.Dialer()))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for _, order := range []string{"order 17", "order 18"} {
		if _, err := c.Send(ctx, payer, client.Terms{Memo: []byte(order)}, client.Payment{To: shop.Address, Amount: utxo.UnitsPerCoin}); err != nil {
			log.Fatal(err)
		}
	}

	saved := "0" // the cursor that the shop stored with the last payment it booked; "0" is the beginning
	for event, err := range c.WatchAddress(ctx, shop.Address, saved) {
		if err != nil {
			log.Fatal(err)
		}
		if event.GetSpent() || event.GetOutput().GetOutput().GetKind() != notaryv1.OutputKind_OUTPUT_KIND_PAYMENT {
			continue
		}
		outpoint := event.GetOutput().GetOutpoint()
		id, err := client.TransactionID(outpoint)
		if err != nil {
			log.Fatal(err)
		}
		// The node says so; the proof shows it.
		proof, _, err := c.Proof(ctx, id)
		if err != nil {
			log.Fatal(err)
		}
		tx, err := client.Proven(proof, id)
		if err != nil {
			log.Fatal(err)
		}
		paid, err := client.ProvenOutput(proof, utxo.Outpoint{Tx: id, Index: outpoint.GetIndex()})
		if err != nil {
			log.Fatal(err)
		}
		// Money is what is ours, in coins, and nobody and nothing keeps us from spending it.
		money := paid.Kind == notaryv1.OutputKind_OUTPUT_KIND_PAYMENT && paid.Address == shop.Address && paid.Product.IsZero() &&
			paid.NotBeforeMS == 0 && paid.MinAgeMS == 0 && paid.Counterparty.IsZero()
		fmt.Printf("%s: %d units, to us %t\n", tx.Memo, paid.Amount, money)
		saved = event.GetCursor() // stored together with the booking
		if string(tx.Memo) == "order 18" {
			break
		}
	}
	// Output:
	// order 17: 1000000000 units, to us true
	// order 18: 1000000000 units, to us true
}
