package client

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/utxo"
)

func TestParseURI(t *testing.T) {
	product := strings.Repeat("0a", 32)
	for text, want := range map[string]URI{
		"notary:ndev1qqq":                               {Address: "ndev1qqq"},
		"NOTARY:NDEV1QQQ":                               {Address: "NDEV1QQQ"},
		"notary:a?amount=1500000000":                    {Address: "a", Amount: 1_500_000_000},
		"notary:a?memo=for%20tea%20%26%20cake&amount=1": {Address: "a", Amount: 1, Memo: "for tea & cake"},
		"notary:a?memo=a+b":                             {Address: "a", Memo: "a b"},
		"notary:a?product=" + product:                   {Address: "a", Product: utxo.Product([]byte(strings.Repeat("\n", 32)))},
		"notary:a?label=ignored":                        {Address: "a"},
	} {
		got, err := ParseURI(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "ndev1qqq", "bitcoin:a", "notary:", "notary:?amount=1", "notary://host/a", "notary:a b",
		"notary:a?amount=1.5", "notary:a?amount=-1", "notary:a?amount=+1", "notary:a?amount=", "notary:a?amount=18446744073709551616",
		"notary:a?amount=1&amount=2", "notary:a?product=00", "notary:a?req-new=1", "notary:a?memo=%zz", "notary:a?memo=%ff",
		"notary:a?memo=" + strings.Repeat("x", 257),
	} {
		if got, err := ParseURI(text); !errors.Is(err, ErrURI) {
			t.Errorf("%q: %+v %v, want ErrURI", text, got, err)
		}
	}
}

func TestURIRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := URI{
			Address: rapid.StringMatching(`[a-z]{1,8}1[a-z0-9]{6,60}`).Draw(t, "address"),
			Amount:  rapid.Uint64().Draw(t, "amount"),
			Memo:    rapid.StringN(0, 60, 256).Draw(t, "memo"),
		}
		if rapid.Bool().Draw(t, "has product") {
			want.Product = utxo.Product(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "product"))
		}
		got, err := ParseURI(want.String())
		if err != nil || got != want {
			t.Fatalf("%s: %+v %v, want %+v", want, got, err, want)
		}
	})
}

func FuzzParseURI(f *testing.F) {
	f.Add("notary:ndev1qqq?amount=5&memo=a%20b")
	f.Add("notary:a?product=" + strings.Repeat("0a", 32))
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURI(text)
		if err != nil {
			return
		}
		if again, err := ParseURI(u.String()); err != nil || again != u {
			t.Errorf("%q: %+v, again %+v %v", text, u, again, err)
		}
	})
}
