package utxo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/notarynet/notaryd/proto/domain"
)

// OutpointSize is the length in bytes of Outpoint.Bytes.
const OutpointSize = domain.Size + 4

// Outpoint names one output of one transaction; it is consumed at most once, ever. For an output of
// the genesis document Tx is the network id.
type Outpoint struct {
	Tx    domain.Hash
	Index uint32
}

// Bytes is the transaction id and the index, big-endian: the form that is hashed and that orders keys.
func (o Outpoint) Bytes() [OutpointSize]byte {
	var b [OutpointSize]byte
	copy(b[:], o.Tx[:])
	binary.BigEndian.PutUint32(b[domain.Size:], o.Index)
	return b
}

// OutpointFrom reads the form of Bytes.
func OutpointFrom(b []byte) (Outpoint, error) {
	if len(b) != OutpointSize {
		return Outpoint{}, errOutpoint
	}
	return Outpoint{Tx: domain.Hash(b[:domain.Size]), Index: binary.BigEndian.Uint32(b[domain.Size:])}, nil
}

// Compare orders outpoints as Bytes: -1, 0 or 1.
func (o Outpoint) Compare(p Outpoint) int {
	switch c := o.Tx.Compare(p.Tx); {
	case c != 0:
		return c
	case o.Index < p.Index:
		return -1
	case o.Index > p.Index:
		return 1
	}
	return 0
}

// String is the transaction id in hexadecimal, a colon and the index.
func (o Outpoint) String() string {
	return o.Tx.String() + ":" + strconv.FormatUint(uint64(o.Index), 10)
}

var errOutpoint = errors.New("not an outpoint")

// ParseOutpoint reads the form of String.
func ParseOutpoint(s string) (Outpoint, error) {
	id, index, found := strings.Cut(s, ":")
	if !found {
		return Outpoint{}, fmt.Errorf("%w: want ID:INDEX", errOutpoint)
	}
	tx, err := domain.ParseHash(id)
	if err != nil {
		return Outpoint{}, fmt.Errorf("%w: %w", errOutpoint, err)
	}
	n, err := strconv.ParseUint(index, 10, 32)
	if err != nil {
		return Outpoint{}, fmt.Errorf("%w: %w", errOutpoint, err)
	}
	return Outpoint{Tx: tx, Index: uint32(n)}, nil
}

// Product is the id of an asset; zero is the native coin.
type Product = domain.Hash

// UnitsPerCoin is the number of base units of one native coin.
const UnitsPerCoin = 1_000_000_000

// ProductID is the product that a transaction may issue, where first is the first outpoint that it
// spends. It is unique because an outpoint is spent once.
func ProductID(first Outpoint) Product {
	b := first.Bytes()
	return domain.Sum(domain.TagProduct, b[:])
}
