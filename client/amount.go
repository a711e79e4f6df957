package client

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// CoinDecimals is the number of decimals of the native coin: 1 coin has 1e9 base units.
const CoinDecimals = 9

// MaxDecimals is the greatest number of decimals of a product.
const MaxDecimals = 18

// ErrAmount says that a text is not an amount.
var ErrAmount = errors.New("invalid amount")

// ParseAmount reads a decimal number with at most the given number of decimals into base units,
// exactly: digits with one optional point ("12", "0.5", "12.000000001"). Signs, exponents, separators and a
// point without digits on both sides are refused with ErrAmount, and so is more than fits 64 bits.
func ParseAmount(text string, decimals uint32) (uint64, error) {
	if decimals > MaxDecimals {
		return 0, fmt.Errorf("%w: %d decimals, at most %d", ErrAmount, decimals, MaxDecimals)
	}
	whole, part, point := strings.Cut(text, ".")
	if !digits(whole) || point && !digits(part) {
		return 0, fmt.Errorf("%w: %q is not a plain decimal number", ErrAmount, text)
	}
	if len(part) > int(decimals) {
		return 0, fmt.Errorf("%w: %q has more than %d decimals", ErrAmount, text, decimals)
	}
	units := strings.TrimLeft(whole+part+strings.Repeat("0", int(decimals)-len(part)), "0")
	if units == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(units, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is more than %s", ErrAmount, text, FormatAmount(math.MaxUint64, decimals))
	}
	return n, nil
}

func digits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

// FormatAmount writes base units as a decimal number without trailing zeros: ParseAmount gives the
// same units back.
func FormatAmount(units uint64, decimals uint32) string {
	s := strconv.FormatUint(units, 10)
	n := int(decimals)
	if n == 0 {
		return s
	}
	if len(s) <= n {
		s = strings.Repeat("0", n-len(s)+1) + s
	}
	whole, part := s[:len(s)-n], strings.TrimRight(s[len(s)-n:], "0")
	if part == "" {
		return whole
	}
	return whole + "." + part
}
