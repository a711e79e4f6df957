package main

import (
	"math"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// Money that its owner cannot spend, now or alone, is not shown as if it were like any other.
func TestLockedMoneyIsSaidToBe(t *testing.T) {
	w := newWorld(t).withWallet()
	c, err := client.Dial(t.Context(), clienttest.Target, append(w.around.dial, client.WithClock(w.around.now))...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	faucet := client.NewAccount(domain.NewPrivateKey([32]byte{0xfa}))
	shop := address(t, bobWords)
	coins, err := c.Coins(t.Context(), faucet.Address)
	if err != nil {
		t.Fatal(err)
	}
	pay := utxo.Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Address: shop, Amount: 5 * utxo.UnitsPerCoin}
	late, old, shared := pay, pay, pay
	late.NotBeforeMS, old.MinAgeMS, shared.Counterparty = math.MaxUint64, 86_400_000, faucet.Address
	tx, err := c.Spend(faucet, client.Terms{}, coins, []utxo.Output{late, old, shared})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SubmitFinal(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	w.want(exitOK, "proof", "get", tx.ID.String(), "-o", "payment.notary")
	for _, out := range []string{
		w.want(exitOK, "utxos", w.bob()), w.want(exitOK, "tx", "get", tx.ID.String()), w.want(exitOK, "proof", "verify", "payment.notary"),
	} {
		for _, said := range []string{"not before 292278994-08-17", "not within 24h0m0s of its becoming final", "not without the counterparty ntest1"} {
			if !strings.Contains(out, said) {
				t.Errorf("%q is not said in\n%s", said, out)
			}
		}
	}
}
