package client

import (
	"cmp"
	"context"
	"fmt"
	"iter"
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
	return open && c.money() && o.Counterparty.IsZero()
}

// money reports whether a coin is worth something, rather than a record.
func (c *Coin) money() bool {
	o := &c.Output
	kind := o.Kind == notaryv1.OutputKind_OUTPUT_KIND_PAYMENT || o.Kind == notaryv1.OutputKind_OUTPUT_KIND_FEE
	return kind && o.Amount > 0
}

// Bounds on what is kept of a list of outputs, which a node may make as long as it likes, and others do with
// small payments.
const (
	// maxCoins is among how many coins a payment chooses at the most.
	maxCoins = 1 << 18
	// maxSeen is after how many outputs a payment looks no further.
	maxSeen = 1 << 24
	// maxListed bounds a whole list in bytes, each output counting its data and coinBytes.
	maxListed = 64 << 20
	coinBytes = 256
)

// Coins are all live outputs of an address, in the node's order. A list of more than 262,144 outputs, or
// of 64 MiB of data in fewer, is refused with LIMIT_EXCEEDED.
func (c *Client) Coins(ctx context.Context, address utxo.Address) ([]Coin, error) {
	var coins []Coin
	size := 0
	for coin, err := range c.listed(ctx, address) {
		if err != nil {
			return nil, err
		}
		size += coinBytes
		if coin.Output.Data != nil {
			size += len(coin.Output.Data.Payload)
		}
		if size > maxListed {
			return nil, refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "outputs", "the node lists more than %d MiB of them", maxListed>>20)
		}
		coins = append(coins, coin)
	}
	return coins, nil
}

// funds are the outputs of an address that may pay what is needed, without their data. Of records, and of products
// that are not needed, there may be any number between them. Where they are maxCoins, and enough says that these do
// not do, the half goes that is worth least: coins that cannot be spent now, and small ones.
func (c *Client) funds(ctx context.Context, address utxo.Address, list []need, nowMS uint64, enough func([]Coin) bool) ([]Coin, error) {
	var coins []Coin
	seen := 0
	for coin, err := range c.listed(ctx, address) {
		if err != nil {
			return nil, err
		}
		if seen++; seen > maxSeen {
			break
		}
		o := &coin.Output
		if !coin.money() || !slices.ContainsFunc(list, func(n need) bool { return n.product == o.Product }) {
			continue
		}
		o.Data = nil
		if coins = append(coins, coin); len(coins) < c.maxCoins {
			continue
		}
		if enough(coins) {
			break
		}
		coins = worthMost(coins, list, nowMS, c.maxCoins/2)
	}
	return coins, nil
}

// worthMost are so many of some coins that are worth most, shared between the products that are needed.
func worthMost(coins []Coin, list []need, nowMS uint64, most int) []Coin {
	slices.SortFunc(coins, func(a, b Coin) int {
		switch x, y := a.Spendable(nowMS), b.Spendable(nowMS); {
		case x && !y:
			return -1
		case y && !x:
			return 1
		}
		return cmp.Or(cmp.Compare(b.Output.Amount, a.Output.Amount), a.Outpoint.Compare(b.Outpoint))
	})
	left := make(map[utxo.Product]int)
	for _, n := range list {
		left[n.product] = most / len(list)
	}
	return slices.DeleteFunc(coins, func(c Coin) bool {
		left[c.Output.Product]--
		return left[c.Output.Product] < 0
	})
}

// listed yields the live outputs of an address page by page; an error is the last.
func (c *Client) listed(ctx context.Context, address utxo.Address) iter.Seq2[Coin, error] {
	return func(yield func(Coin, error) bool) {
		for token := ""; ; {
			page, err := call(ctx, c, c.api.ListUnspent, &notaryv1.ListUnspentRequest{
				Address:   c.FormatAddress(address),
				PageSize:  1000,
				PageToken: token,
			})
			if err == nil {
				err = goesOn(len(page.GetOutputs()), page.GetNextPageToken())
			}
			if err != nil {
				yield(Coin{}, err)
				return
			}
			for i, u := range page.GetOutputs() {
				coin, err := coinFrom(u)
				if err != nil {
					err = refusal.Under(fmt.Sprintf("outputs[%d]", i), err)
				}
				if !yield(coin, err) || err != nil {
					return
				}
			}
			if token = page.GetNextPageToken(); token == "" {
				return
			}
		}
	}
}

// goesOn refuses a page that holds nothing and is not the last: a list of such pages need never end.
func goesOn(held int, next string) error {
	if held == 0 && next != "" {
		return refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "next_page_token", "the node's list goes on with nothing in it")
	}
	return nil
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
