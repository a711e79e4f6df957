package client

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestParseAmount(t *testing.T) {
	for _, tt := range []struct {
		text     string
		decimals uint32
		want     uint64
	}{
		{"0", 9, 0},
		{"1", 9, 1_000_000_000},
		{"1.5", 9, 1_500_000_000},
		{"0.000000001", 9, 1},
		{"000.10", 9, 100_000_000},
		{"12.000000001", 9, 12_000_000_001},
		{"1000000000", 9, 1_000_000_000_000_000_000},
		{"18446744073.709551615", 9, math.MaxUint64},
		{"18446744073709551615", 0, math.MaxUint64},
		{"18.446744073709551615", 18, math.MaxUint64},
		{"7", 0, 7},
	} {
		got, err := ParseAmount(tt.text, tt.decimals)
		if err != nil || got != tt.want {
			t.Errorf("%s with %d decimals: %d %v, want %d", tt.text, tt.decimals, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		text     string
		decimals uint32
	}{
		{"", 9}, {".", 9}, {".5", 9}, {"5.", 9}, {"-1", 9}, {"+1", 9}, {"1e3", 9}, {"1,5", 9}, {"1 000", 9}, {"0x10", 9},
		{"1_000", 9}, {"1.5.0", 9}, {"١", 9}, {"NaN", 9}, {"Inf", 9}, {"1.0", 0},
		{"0.0000000001", 9}, {"1.0000000000", 9},
		{"18446744073.709551616", 9}, {"99999999999999999999999999", 9}, {"1", 19},
	} {
		if got, err := ParseAmount(tt.text, tt.decimals); !errors.Is(err, ErrAmount) {
			t.Errorf("%q with %d decimals: %d %v, want ErrAmount", tt.text, tt.decimals, got, err)
		}
	}
}

func TestFormatAmount(t *testing.T) {
	for _, tt := range []struct {
		units    uint64
		decimals uint32
		want     string
	}{
		{0, 9, "0"}, {1, 9, "0.000000001"}, {1_500_000_000, 9, "1.5"}, {1_000_000_000, 9, "1"}, {10, 0, "10"},
		{math.MaxUint64, 9, "18446744073.709551615"}, {math.MaxUint64, 18, "18.446744073709551615"}, {100, 2, "1"},
	} {
		if got := FormatAmount(tt.units, tt.decimals); got != tt.want {
			t.Errorf("%d with %d decimals: %s, want %s", tt.units, tt.decimals, got, tt.want)
		}
	}
}

// Held against exact rational arithmetic.
func TestAmountRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.Uint64().Draw(t, "units")
		decimals := rapid.Uint32Range(0, MaxDecimals).Draw(t, "decimals")
		text := FormatAmount(units, decimals)
		back, err := ParseAmount(text, decimals)
		if err != nil || back != units {
			t.Fatalf("%d -> %s -> %d %v", units, text, back, err)
		}
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%s is no number", text)
		}
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)
		if exact.Mul(exact, new(big.Rat).SetInt(scale)).Cmp(new(big.Rat).SetInt(new(big.Int).SetUint64(units))) != 0 {
			t.Fatalf("%s is not %d units", text, units)
		}
	})
}

func FuzzParseAmount(f *testing.F) {
	for _, s := range []string{"1.5", "0", "18446744073.709551615", ".", "-1", "1e9"} {
		f.Add(s, uint32(9))
	}
	f.Fuzz(func(t *testing.T, text string, decimals uint32) {
		units, err := ParseAmount(text, decimals)
		if err != nil {
			if !errors.Is(err, ErrAmount) {
				t.Errorf("%q: %v is not ErrAmount", text, err)
			}
			return
		}
		if back, err := ParseAmount(FormatAmount(units, decimals), decimals); err != nil || back != units {
			t.Errorf("%q: %d, again %d %v", text, units, back, err)
		}
	})
}
