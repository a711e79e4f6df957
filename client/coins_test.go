package client

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

func coin(i uint32, amount uint64) Coin {
	return Coin{
		Outpoint: utxo.Outpoint{Tx: domain.Hash{1}, Index: i},
		Output:   utxo.Output{Address: utxo.Address{7}, Amount: amount, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT},
	}
}

func coins(amounts ...uint64) []Coin {
	var out []Coin
	for i, a := range amounts {
		out = append(out, coin(uint32(i), a))
	}
	return out
}

func TestPick(t *testing.T) {
	many := make([]uint64, maxSelected+10)
	for i := range many {
		many[i] = 1
	}
	for name, tt := range map[string]struct {
		have   []uint64
		amount uint64
		want   []uint32 // indexes
		most   uint64
	}{
		"nothing there":          {nil, 1, nil, 0},
		"exact":                  {[]uint64{3, 5, 9}, 5, []uint32{1}, 5},
		"smallest that suffices": {[]uint64{9, 3, 7}, 5, []uint32{2}, 7},
		"equal: lowest outpoint": {[]uint64{7, 7, 7}, 5, []uint32{0}, 7},
		"several, largest first": {[]uint64{1, 5, 3, 4}, 8, []uint32{1, 3}, 9},
		"all":                    {[]uint64{1, 2, 3}, 6, []uint32{2, 1, 0}, 6},
		"too little":             {[]uint64{1, 2, 3}, 7, nil, 6},
		"too many":               {many, maxSelected + 1, nil, maxSelected},
		"sum beyond 64 bits":     {[]uint64{1 << 63, 1 << 63}, ^uint64(0), []uint32{1, 0}, ^uint64(0)},
	} {
		picked, most := pick(coins(tt.have...), tt.amount)
		var got []uint32
		for _, c := range picked {
			got = append(got, c.Outpoint.Index)
		}
		if len(got) != len(tt.want) || most != tt.most {
			t.Errorf("%s: picked %v, most %d; want %v, %d", name, got, most, tt.want, tt.most)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s: picked %v, want %v", name, got, tt.want)
			}
		}
	}
}

// Whatever there is: picked coins are some of those there, none twice, enough, and no coin among them
// could be left out.
func TestPickProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amounts := rapid.SliceOfN(rapid.Uint64Range(1, 1000), 0, 40).Draw(t, "amounts")
		amount := rapid.Uint64Range(1, 5000).Draw(t, "amount")
		var total uint64
		for _, a := range amounts {
			total += a
		}
		picked, most := pick(coins(amounts...), amount)
		if (picked != nil) != (total >= amount) {
			t.Fatalf("%d of %d wanted: picked %v", amount, total, picked)
		}
		if picked == nil {
			if most != total {
				t.Fatalf("most %d of %d", most, total)
			}
			return
		}
		seen := map[uint32]bool{}
		var sum, least uint64
		least = ^uint64(0)
		for _, c := range picked {
			i := c.Outpoint.Index
			if seen[i] || c.Output.Amount != amounts[i] {
				t.Fatalf("coin %d is picked twice or not there", i)
			}
			seen[i] = true
			sum += c.Output.Amount
			least = min(least, c.Output.Amount)
		}
		if sum != most || sum < amount || sum-least >= amount {
			t.Fatalf("%d wanted, %d picked, the least of it %d", amount, sum, least)
		}
	})
}

func TestSpendable(t *testing.T) {
	const now = 1_000
	for name, tt := range map[string]struct {
		change func(*Coin)
		want   bool
	}{
		"payment":         {func(*Coin) {}, true},
		"fee":             {func(c *Coin) { c.Output.Kind = notaryv1.OutputKind_OUTPUT_KIND_FEE }, true},
		"lock open":       {func(c *Coin) { c.Output.NotBeforeMS = now }, true},
		"lock closed":     {func(c *Coin) { c.Output.NotBeforeMS = now + 1 }, false},
		"old enough":      {func(c *Coin) { c.FinalMS, c.Output.MinAgeMS = now-5, 5 }, true},
		"too young":       {func(c *Coin) { c.FinalMS, c.Output.MinAgeMS = now-5, 6 }, false},
		"from the future": {func(c *Coin) { c.FinalMS = now + 1 }, false},
		"counterparty":    {func(c *Coin) { c.Output.Counterparty = utxo.Address{1} }, false},
		"record":          {func(c *Coin) { c.Output.Kind = notaryv1.OutputKind_OUTPUT_KIND_DATA }, false},
		"reward":          {func(c *Coin) { c.Output.Kind = notaryv1.OutputKind_OUTPUT_KIND_REWARD }, false},
		"nothing":         {func(c *Coin) { c.Output.Amount = 0 }, false},
	} {
		c := coin(0, 5)
		tt.change(&c)
		if got := c.Spendable(now); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestChooseSaysWhatIsMissing(t *testing.T) {
	a := NewAccount(domain.NewPrivateKey([32]byte{1}))
	have := coins(5, 7, 11)
	have[1].Output.NotBeforeMS = 2000
	a.Tie(have[2].Outpoint)
	_, err := a.choose(have, []need{{amount: 6}}, 1000)
	var short *FundsError
	if !errors.As(err, &short) || *short != (FundsError{Need: 6, Have: 5, Tied: 11, Locked: 7}) {
		t.Errorf("got %+v", err)
	}
	a.Release(have[2].Outpoint)
	if got, err := a.choose(have, []need{{amount: 6}}, 1000); err != nil || len(got) != 1 || got[0].Outpoint.Index != 2 {
		t.Errorf("released: %v %v", got, err)
	}
	var dust []uint64
	for range maxSelected + 2 {
		dust = append(dust, 1)
	}
	_, err = a.choose(coins(dust...), []need{{amount: maxSelected + 1}}, 1000)
	if !errors.As(err, &short) || *short != (FundsError{Need: maxSelected + 1, Have: maxSelected, Scattered: 2}) {
		t.Errorf("dust: %+v", err)
	}
}

// pages is a node that lists outputs page by page.
type pages struct {
	notaryv1.NotaryServiceClient
	list [][]*notaryv1.UnspentOutput
}

func (p pages) ListUnspent(_ context.Context, req *notaryv1.ListUnspentRequest, _ ...grpc.CallOption) (*notaryv1.ListUnspentResponse, error) {
	at := len(req.GetPageToken())
	r := &notaryv1.ListUnspentResponse{Outputs: p.list[at]}
	if at+1 < len(p.list) {
		r.NextPageToken = strings.Repeat("x", at+1)
	}
	return r, nil
}

// The money of an address is found behind whatever lies there beside it: whoever stamps has a record for each stamp, and anybody may
// send small coins.
func TestMoneyBehindManyOutputs(t *testing.T) {
	const most = 400
	account := NewAccount(domain.NewPrivateKey([32]byte{1}))
	output := func(tx byte) *notaryv1.UnspentOutput {
		return &notaryv1.UnspentOutput{
			Outpoint: &notaryv1.Outpoint{Transaction: bytes.Repeat([]byte{tx}, 32)},
			Output:   &notaryv1.Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Address: account.Address[:], Amount: 1000},
		}
	}
	records, others, dust, locked := output(1), output(2), output(3), output(4)
	records.Output.Kind, records.Output.Amount = notaryv1.OutputKind_OUTPUT_KIND_DATA, 0
	others.Output.Product = bytes.Repeat([]byte{1}, 32)
	dust.Output.Amount = 1
	locked.Output.NotBeforeMs = 1 << 62
	for name, beside := range map[string][]*notaryv1.UnspentOutput{"of no use": {records, others}, "of little use": {dust, locked}} {
		list := pages{list: [][]*notaryv1.UnspentOutput{slices.Repeat(beside, 5*most), {output(9)}}}
		c := &Client{api: list, retry: DefaultRetry, now: time.Now, genesis: &group.Genesis{ID: domain.Hash{5}}, maxCoins: most}
		tx, err := c.BuildPayments(t.Context(), account, Terms{}, Payment{To: account.Address, Amount: 900})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if tx.Spends()[0].Tx != domain.Hash(bytes.Repeat([]byte{9}, 32)) {
			t.Errorf("%s: spends %s", name, tx.Spends()[0])
		}
		account.Release(tx.Spends()...)
	}
}
