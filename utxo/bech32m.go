package utxo

import (
	"errors"
	"strings"
)

// Bech32m as of BIP-350: a text form that survives being read aloud, with a checksum that finds up to
// four wrong characters.
const (
	bech32Charset  = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	bech32mConst   = 0x2bc830a3
	bech32Checksum = 6
	bech32MaxLen   = 90
)

var errBech32 = errors.New("not bech32m")

// bech32Polymod folds 5-bit groups into the BCH checksum.
func bech32Polymod(sum uint32, groups []byte) uint32 {
	generator := [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}
	for _, g := range groups {
		top := sum >> 25
		sum = (sum&0x1ffffff)<<5 ^ uint32(g)
		for i := range generator {
			if top>>i&1 == 1 {
				sum ^= generator[i]
			}
		}
	}
	return sum
}

// bech32Prefix is the checksum after the human-readable part.
func bech32Prefix(prefix string) uint32 {
	expanded := make([]byte, 0, 2*len(prefix)+1)
	for i := range len(prefix) {
		expanded = append(expanded, prefix[i]>>5)
	}
	expanded = append(expanded, 0)
	for i := range len(prefix) {
		expanded = append(expanded, prefix[i]&31)
	}
	return bech32Polymod(1, expanded)
}

// bech32mEncode writes 5-bit groups after a lower-case prefix.
func bech32mEncode(prefix string, groups []byte) string {
	sum := bech32Polymod(bech32Prefix(prefix), groups)
	sum = bech32Polymod(sum, make([]byte, bech32Checksum)) ^ bech32mConst
	var b strings.Builder
	b.WriteString(prefix)
	b.WriteByte('1')
	for _, g := range groups {
		b.WriteByte(bech32Charset[g])
	}
	for i := range bech32Checksum {
		b.WriteByte(bech32Charset[sum>>(5*(bech32Checksum-1-i))&31])
	}
	return b.String()
}

// bech32mDecode returns the lower-case prefix and the 5-bit groups, without the checksum.
func bech32mDecode(s string) (string, []byte, error) {
	if len(s) > bech32MaxLen || (strings.ToLower(s) != s && strings.ToUpper(s) != s) {
		return "", nil, errBech32
	}
	s = strings.ToLower(s)
	split := strings.LastIndexByte(s, '1')
	if split < 1 || split+1+bech32Checksum > len(s) {
		return "", nil, errBech32
	}
	prefix, data := s[:split], s[split+1:]
	for i := range len(prefix) {
		if prefix[i] < 33 || prefix[i] > 126 {
			return "", nil, errBech32
		}
	}
	groups := make([]byte, len(data))
	for i := range len(data) {
		g := strings.IndexByte(bech32Charset, data[i])
		if g < 0 {
			return "", nil, errBech32
		}
		groups[i] = byte(g)
	}
	if bech32Polymod(bech32Prefix(prefix), groups) != bech32mConst {
		return "", nil, errBech32
	}
	return prefix, groups[:len(groups)-bech32Checksum], nil
}

// toGroups splits bytes into 5-bit groups, the last padded with zero bits.
func toGroups(b []byte) []byte {
	out := make([]byte, 0, (len(b)*8+4)/5)
	var acc uint32
	bits := 0
	for _, x := range b {
		acc, bits = acc<<8|uint32(x), bits+8
		for bits >= 5 {
			bits -= 5
			out = append(out, byte(acc>>bits&31))
		}
	}
	if bits > 0 {
		out = append(out, byte(acc<<(5-bits)&31))
	}
	return out
}

// fromGroups undoes toGroups; it refuses padding that is too long or not zero.
func fromGroups(groups []byte) ([]byte, error) {
	out := make([]byte, 0, len(groups)*5/8)
	var acc uint32
	bits := 0
	for _, g := range groups {
		acc, bits = acc<<5|uint32(g), bits+5
		if bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
		}
	}
	if bits >= 5 || acc&(1<<bits-1) != 0 {
		return nil, errBech32
	}
	return out, nil
}
