package client

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// Coin is a live output with its place.
type Coin struct {
	Outpoint utxo.Outpoint
	Output   utxo.Output
	// FinalMS is when its transaction became final at the node, Unix milliseconds.
	FinalMS uint64
}

// Spendable reports whether the owner alone can spend the coin at an instant (Unix milliseconds): no
// time lock is closed, nobody else has to sign, and it is money rather than a record.
func (c *Coin) Spendable(nowMS uint64) bool {
	o := &c.Output
	open := nowMS >= o.NotBeforeMS && nowMS >= c.FinalMS && nowMS-c.FinalMS >= o.MinAgeMS
	money := o.Kind == notaryv1.OutputKind_OUTPUT_KIND_PAYMENT || o.Kind == notaryv1.OutputKind_OUTPUT_KIND_FEE
	return open && money && o.Amount > 0 && o.Counterparty.IsZero()
}

// Coins are all live outputs of an address, in the node's order.
func (c *Client) Coins(ctx context.Context, address utxo.Address) ([]Coin, error) {
	var coins []Coin
	token := ""
	for {
		page, err := call(ctx, c, c.api.ListUnspent, &notaryv1.ListUnspentRequest{
			Address:   c.FormatAddress(address),
			PageSize:  1000,
			PageToken: token,
		})
		if err != nil {
			return nil, err
		}
		for i, u := range page.GetOutputs() {
			coin, err := coinFrom(u)
			if err != nil {
				return nil, refusal.Under(fmt.Sprintf("outputs[%d]", i), err)
			}
			coins = append(coins, coin)
		}
		if token = page.GetNextPageToken(); token == "" {
			return coins, nil
		}
	}
}

// FormatAddress is the text form of an address on this network.
func (c *Client) FormatAddress(a utxo.Address) string {
	return utxo.FormatAddress(c.genesis.Doc.GetAddressPrefix(), a)
}

// ParseAddress reads an address of this network.
func (c *Client) ParseAddress(text string) (utxo.Address, error) {
	return utxo.ParseAddress(c.genesis.Doc.GetAddressPrefix(), text)
}

// Balance are the sums of the live outputs of an address by product, the native coin first.
func (c *Client) Balance(ctx context.Context, address utxo.Address) ([]*notaryv1.ProductBalance, error) {
	answer, err := call(ctx, c, c.api.GetBalance, &notaryv1.GetBalanceRequest{Address: c.FormatAddress(address)})
	return answer.GetBalances(), err
}

func coinFrom(u *notaryv1.UnspentOutput) (Coin, error) {
	id, err := domain.HashFrom(u.GetOutpoint().GetTransaction())
	if err != nil {
		return Coin{}, refusal.New(notaryv1.Reason_REASON_MALFORMED, "outpoint", "%v", err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(u.GetOutput())
	if err != nil {
		return Coin{}, refusal.New(notaryv1.Reason_REASON_MALFORMED, "output", "%v", err)
	}
	output, err := utxo.DecodeOutput(b)
	if err != nil {
		return Coin{}, refusal.Under("output", err)
	}
	return Coin{Outpoint: utxo.Outpoint{Tx: id, Index: u.GetOutpoint().GetIndex()}, Output: output, FinalMS: u.GetFinalMs()}, nil
}

// FundsError says that an account cannot pay. Amounts are base units.
type FundsError struct {
	Product utxo.Product
	// Need is what the transaction takes, Have what can be spent now in one transaction.
	Need, Have uint64
	// Tied is in transactions under way, Locked behind time locks or a counterparty, Scattered in more
	// coins than one transaction may spend.
	Tied, Locked, Scattered uint64
}

// Error implements error.
func (e *FundsError) Error() string {
	s := fmt.Sprintf("not enough funds: %d base units needed, %d to spend", e.Need, e.Have)
	for _, part := range []struct {
		amount uint64
		where  string
	}{
		{e.Tied, "in transactions under way"},
		{e.Locked, "not to be spent now"},
		{e.Scattered, "in too many small coins"},
	} {
		if part.amount > 0 {
			s += fmt.Sprintf(", %d %s", part.amount, part.where)
		}
	}
	return s
}

// maxSelected leaves room for inputs of other products in one transaction.
const maxSelected = utxo.MaxInputs / 2

// pick chooses coins of one product that together hold at least amount: the smallest single coin that
// does, else the largest ones, so that transactions stay small. Equal amounts are taken in the order of
// their outpoints. Where the most that it may take is not enough, it picks nothing and says how much
// that is.
func pick(coins []Coin, amount uint64) (picked []Coin, most uint64) {
	sorted := slices.Clone(coins)
	slices.SortFunc(sorted, func(a, b Coin) int {
		return cmp.Or(cmp.Compare(a.Output.Amount, b.Output.Amount), a.Outpoint.Compare(b.Outpoint))
	})
	for _, c := range sorted {
		if c.Output.Amount >= amount {
			return []Coin{c}, c.Output.Amount
		}
	}
	slices.Reverse(sorted)
	for _, c := range sorted[:min(len(sorted), maxSelected)] {
		picked = append(picked, c)
		most = saturate(most, c.Output.Amount)
		if most >= amount {
			return picked, most
		}
	}
	return nil, most
}

// saturate adds and stays at the greatest number instead of wrapping.
func saturate(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return ^uint64(0)
	}
	return sum
}
