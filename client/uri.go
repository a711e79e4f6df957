package client

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// scheme of payment URIs.
const scheme = "notary"

// maxMemo is the greatest length of a transaction's memo in bytes.
const maxMemo = 256

// ErrURI says that a text is not a payment URI.
var ErrURI = errors.New("invalid payment URI")

// URI is a request for payment: notary:ADDRESS?amount=BASEUNITS&product=HEX&memo=TEXT, in the manner of
// BIP-21. Amounts are base units, so that no reader has to know a product's decimals.
type URI struct {
	// Address is bech32m text; it is not checked here, since its prefix belongs to a network.
	Address string
	// Amount is in base units; 0 leaves it to the payer.
	Amount uint64
	// Product is zero for the native coin.
	Product utxo.Product
	// Memo is UTF-8 text for the receiver, at most 256 bytes.
	Memo string
}

// IsURI reports whether a text names the scheme of payment URIs.
func IsURI(text string) bool {
	head, _, found := strings.Cut(text, ":")
	return found && strings.EqualFold(head, scheme)
}

// ParseURI reads a payment URI. Parameters that it does not know are ignored unless their name begins
// with "req-", which marks one that the payer must understand (BIP-21); each may come once.
func ParseURI(text string) (URI, error) {
	if !IsURI(text) {
		return URI{}, fmt.Errorf("%w: its scheme is not %s", ErrURI, scheme)
	}
	address, query, _ := strings.Cut(text[len(scheme)+1:], "?")
	if address == "" || strings.ContainsAny(address, "/#%& ") {
		return URI{}, fmt.Errorf("%w: no address", ErrURI)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return URI{}, fmt.Errorf("%w: %w", ErrURI, err)
	}
	u := URI{Address: address}
	for name, values := range params {
		if len(values) != 1 {
			return URI{}, fmt.Errorf("%w: %s is stated %d times", ErrURI, name, len(values))
		}
		if err := u.set(name, values[0]); err != nil {
			return URI{}, err
		}
	}
	return u, nil
}

func (u *URI) set(name, value string) error {
	switch {
	case name == "amount":
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || !digits(value) {
			return fmt.Errorf("%w: amount %q is not a number of base units", ErrURI, value)
		}
		u.Amount = n
	case name == "product":
		h, err := domain.ParseHash(value)
		if err != nil {
			return fmt.Errorf("%w: product %q is not 64 hexadecimal digits", ErrURI, value)
		}
		u.Product = h
	case name == "memo":
		if len(value) > maxMemo || !utf8.ValidString(value) {
			return fmt.Errorf("%w: the memo is not at most %d bytes of UTF-8", ErrURI, maxMemo)
		}
		u.Memo = value
	case strings.HasPrefix(name, "req-"):
		return fmt.Errorf("%w: %s is required and not known here", ErrURI, name)
	}
	return nil
}

// String is the one text form that ParseURI reads back.
func (u URI) String() string {
	var params []string
	if u.Amount != 0 {
		params = append(params, "amount="+strconv.FormatUint(u.Amount, 10))
	}
	if !u.Product.IsZero() {
		params = append(params, "product="+u.Product.String())
	}
	if u.Memo != "" {
		params = append(params, "memo="+strings.ReplaceAll(url.QueryEscape(u.Memo), "+", "%20"))
	}
	s := scheme + ":" + u.Address
	if len(params) > 0 {
		s += "?" + strings.Join(params, "&")
	}
	return s
}
