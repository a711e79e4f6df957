package client

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// DefaultValidity is how long notaries may begin to vote for a transaction. A transaction that got no
// vote by then never will; that none did is what no single node can show.
const DefaultValidity = 10 * time.Minute

// Terms are what all transactions may state besides their outputs. The zero value suits most.
type Terms struct {
	// Memo is for the receiver; at most 256 bytes, readable by everyone.
	Memo []byte
	// Fee goes to the common pool, in base units of the native coin.
	Fee uint64
	// Validity is how long votes may begin, by this machine's clock; 0 is DefaultValidity.
	Validity time.Duration
}

// Payment is an amount of one product to one address.
type Payment struct {
	To utxo.Address
	// Product is zero for the native coin.
	Product utxo.Product
	// Amount is in base units.
	Amount uint64
	// NotBeforeMS keeps the receiver from spending before an instant, Unix milliseconds; 0 is no lock.
	NotBeforeMS uint64
}

// Issue is a new product with its whole supply, which goes to the issuer.
type Issue struct {
	// Supply is in base units.
	Supply uint64
	// Name is at most 64 bytes of UTF-8.
	Name string
	// Decimals are the digits after the point when amounts are shown; at most 18.
	Decimals uint32
}

// Stamp is the fingerprint of a file.
type Stamp struct {
	SHA256 domain.Hash
	// Size is in bytes.
	Size uint64
	// MediaType is as in RFC 6838 and may be empty, like Name.
	MediaType, Name string
}

// Transaction is signed and ready to be submitted, as often as need be.
type Transaction struct {
	*utxo.Tx
	// Change are the outputs that go back to the account, to be spent once the transaction is final.
	Change []Coin
}

// BuildPayments makes a transaction that pays all of these, in their order, and returns the change.
func (c *Client) BuildPayments(ctx context.Context, from *Account, terms Terms, payments ...Payment) (*Transaction, error) {
	outputs := make([]utxo.Output, len(payments))
	for i, p := range payments {
		outputs[i] = utxo.Output{
			Kind:        notaryv1.OutputKind_OUTPUT_KIND_PAYMENT,
			Address:     p.To,
			Product:     p.Product,
			Amount:      p.Amount,
			NotBeforeMS: p.NotBeforeMS,
		}
	}
	return c.build(ctx, from, terms, outputs)
}

// BuildIssue makes a transaction that creates a product; its id is the transaction's Issues.
func (c *Client) BuildIssue(ctx context.Context, from *Account, terms Terms, issue Issue) (*Transaction, error) {
	info, err := proto.MarshalOptions{Deterministic: true}.Marshal(&notaryv1.ProductInfo{Name: issue.Name, Decimals: issue.Decimals})
	if err != nil {
		return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "name", "not UTF-8")
	}
	return c.build(ctx, from, terms, []utxo.Output{{
		Kind:    notaryv1.OutputKind_OUTPUT_KIND_PAYMENT,
		Address: from.Address,
		Product: issued,
		Amount:  issue.Supply,
		Data:    &utxo.Data{Kind: notaryv1.DataKind_DATA_KIND_PRODUCT_INFO, Payload: info},
	}})
}

// BuildStamps makes a transaction that states the fingerprints of files, each in an output of its own,
// in their order.
func (c *Client) BuildStamps(ctx context.Context, from *Account, terms Terms, stamps ...Stamp) (*Transaction, error) {
	outputs := make([]utxo.Output, len(stamps))
	for i, s := range stamps {
		outputs[i] = utxo.Output{
			Kind:    notaryv1.OutputKind_OUTPUT_KIND_DATA,
			Address: from.Address,
			Data: &utxo.Data{
				Kind:      notaryv1.DataKind_DATA_KIND_REFERENCE,
				Hash:      s.SHA256,
				Size:      s.Size,
				MediaType: s.MediaType,
				Location:  s.Name,
			},
		}
	}
	return c.build(ctx, from, terms, outputs)
}

// Spend makes a transaction of chosen coins, for callers that select themselves. What the outputs
// leave over of any product goes back to the account. The coins must be the account's own.
func (c *Client) Spend(from *Account, terms Terms, coins []Coin, outputs []utxo.Output) (*Transaction, error) {
	return c.assemble(from, terms, coins, outputs, c.now())
}

// issued stands for the product that the transaction under construction issues: its id depends on the
// inputs that are still to be chosen. No hash is all ones but by a miracle.
var issued = func() (p utxo.Product) {
	for i := range p {
		p[i] = 0xff
	}
	return p
}()

// build chooses coins for the outputs and signs.
func (c *Client) build(ctx context.Context, from *Account, terms Terms, outputs []utxo.Output) (*Transaction, error) {
	list, begun := needs(outputs, terms.Fee), uint64(c.now().UnixMilli())
	coins, err := c.funds(ctx, from.Address, list, begun, func(coins []Coin) bool {
		from.mu.Lock()
		defer from.mu.Unlock()
		_, err := from.choose(coins, list, begun)
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	now := c.now()
	from.mu.Lock()
	defer from.mu.Unlock()
	chosen, err := from.choose(coins, list, uint64(now.UnixMilli()))
	if err != nil {
		return nil, err
	}
	tx, err := c.assemble(from, terms, chosen, outputs, now)
	if err != nil {
		return nil, err
	}
	for _, o := range tx.Spends() {
		from.tied[o] = struct{}{}
	}
	return tx, nil
}

// need is what one product requires, in base units.
type need struct {
	product utxo.Product
	amount  uint64
}

// needs sums outputs and fee by product, ascending. The native coin is always among them: every
// transaction has to spend something.
func needs(outputs []utxo.Output, fee uint64) []need {
	list := []need{{amount: fee}}
	for _, o := range outputs {
		if o.Product == issued {
			continue
		}
		i := slices.IndexFunc(list, func(n need) bool { return n.product == o.Product })
		if i < 0 {
			i = len(list)
			list = append(list, need{product: o.Product})
		}
		list[i].amount = saturate(list[i].amount, o.Amount)
	}
	slices.SortFunc(list, func(a, b need) int { return a.product.Compare(b.product) })
	return list
}

// assemble builds and signs a transaction that spends coins for outputs and returns the rest.
func (c *Client) assemble(from *Account, terms Terms, coins []Coin, outputs []utxo.Output, now time.Time) (*Transaction, error) {
	b := utxo.NewBuilder(c.genesis.ID)
	left := map[utxo.Product]uint64{}
	var products []utxo.Product // in the order of their coins, so that nothing hangs on the map's
	for _, coin := range coins {
		b.Spend(coin.Outpoint)
		p := coin.Output.Product
		if _, seen := left[p]; !seen {
			products = append(products, p)
		}
		left[p] = saturate(left[p], coin.Output.Amount)
	}
	if terms.Fee > 0 {
		outputs = append(slices.Clone(outputs), utxo.Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_FEE, Amount: terms.Fee})
	}
	for _, o := range outputs {
		switch {
		case o.Product == issued:
			o.Product = b.Issues()
		case left[o.Product] < o.Amount:
			return nil, &FundsError{Product: o.Product, Need: o.Amount, Have: left[o.Product]}
		default:
			left[o.Product] -= o.Amount
		}
		b.Output(o)
	}
	for _, p := range products {
		if left[p] > 0 {
			b.Pay(from.Address, p, left[p])
		}
	}
	validity := cmp.Or(terms.Validity, DefaultValidity)
	draft, err := b.Memo(terms.Memo).Window(0, uint64(now.Add(validity).UnixMilli())).Build()
	if err != nil {
		return nil, err
	}
	tx, err := draft.Sign(from.key).Finish()
	if err != nil {
		return nil, err
	}
	// What the network narrows is found here, before anybody has seen the transaction.
	if _, err := utxo.Decode(tx.Raw, utxo.RulesOf(c.genesis)); err != nil {
		return nil, err
	}
	return &Transaction{Tx: tx, Change: coinsFrom(tx, len(outputs))}, nil
}

// coinsFrom are the outputs of a transaction from a position on, as the coins that they will be.
func coinsFrom(tx *utxo.Tx, first int) []Coin {
	var coins []Coin
	for i := first; i < len(tx.Outputs); i++ {
		coins = append(coins, Coin{Outpoint: utxo.Outpoint{Tx: tx.ID, Index: uint32(i)}, Output: tx.Outputs[i]})
	}
	return coins
}
