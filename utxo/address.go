package utxo

import (
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Address is the hash of the lock that may spend an output. Zero is no address; on a FEE output it
// is the common pool.
type Address = domain.Hash

// FormatAddress is the text form of an address: bech32m (BIP-350) under the prefix of the network.
func FormatAddress(prefix string, a Address) string {
	return bech32mEncode(prefix, toGroups(a[:]))
}

// ParseAddress reads the text form of an address on the network with that prefix. Lower or upper
// case, never mixed.
func ParseAddress(prefix, s string) (Address, error) {
	got, groups, err := bech32mDecode(s)
	if err != nil {
		return Address{}, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "address", "not a bech32m address, or mistyped")
	}
	if got != prefix {
		return Address{}, refusal.New(notaryv1.Reason_REASON_WRONG_NETWORK, "address", "prefix %q, this network has %q", got, prefix)
	}
	b, err := fromGroups(groups)
	if err != nil || len(b) != domain.Size {
		return Address{}, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "address", "not %d bytes", domain.Size)
	}
	a := Address(b)
	if a.IsZero() {
		return Address{}, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "address", "nobody's address")
	}
	return a, nil
}
