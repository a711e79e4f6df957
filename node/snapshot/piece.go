package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// MaxPiece bounds a piece, in bytes. Any record fits into one.
const MaxPiece = 1 << 20

// Kind is what a record tells. Records come in the order of their kinds.
type Kind byte

const (
	// Final: a transaction was final. The key is its id, there is no value.
	Final Kind = 1 + iota
	// Spent: an outpoint was spent. The key is the outpoint, the value the id of the transaction that spent it.
	Spent
	// Output: an output was live. The key is its outpoint, the value the output as a transaction holds it.
	Output
	// Product: what its issuer called a product. The key is the product, the value the description.
	Product
)

// keyLen is the length of the keys of each kind, in bytes; valueLen that of the values, where it is fixed.
var (
	keyLen   = [...]int{Final: domain.Size, Spent: utxo.OutpointSize, Output: utxo.OutpointSize, Product: domain.Size}
	valueLen = [...]int{Final: 0, Spent: domain.Size, Output: -1, Product: -1}
)

// ErrPiece says that a piece is not what a packer makes.
var ErrPiece = errors.New("not a piece")

// Record is one fact. Key and Value are only valid while the function that is told of them runs.
type Record struct {
	Kind       Kind
	Key, Value []byte
}

// ID is the key as a transaction id or a product.
func (r *Record) ID() domain.Hash { return domain.Hash(r.Key) }

// Outpoint is the key as an outpoint.
func (r *Record) Outpoint() utxo.Outpoint {
	return utxo.Outpoint{Tx: domain.Hash(r.Key), Index: binary.BigEndian.Uint32(r.Key[domain.Size:])}
}

// append encodes a record: kind 1 | key | value, where the length of the value varies behind it as a varint.
func (r *Record) append(b []byte) []byte {
	b = append(append(b, byte(r.Kind)), r.Key...)
	if valueLen[r.Kind] < 0 {
		b = binary.AppendUvarint(b, uint64(len(r.Value)))
	}
	return append(b, r.Value...)
}

// order checks that records ascend by kind and key, none twice, and counts them.
type order struct {
	kind   Kind
	key    []byte
	counts Counts
}

func (o *order) next(r *Record) error {
	if r.Kind < Final || r.Kind > Product || len(r.Key) != keyLen[r.Kind] || valueLen[r.Kind] >= 0 && len(r.Value) != valueLen[r.Kind] {
		return fmt.Errorf("%w: a record of kind %d, key of %d bytes, value of %d", ErrPiece, r.Kind, len(r.Key), len(r.Value))
	}
	if r.Kind < o.kind || r.Kind == o.kind && bytes.Compare(o.key, r.Key) >= 0 {
		return fmt.Errorf("%w: records that do not ascend", ErrPiece)
	}
	o.kind, o.key = r.Kind, append(o.key[:0], r.Key...)
	*[...]*uint64{Final: &o.counts.Finals, Spent: &o.counts.Spent, Output: &o.counts.Outputs, Product: &o.counts.Products}[r.Kind]++
	return nil
}

// Packer cuts records into pieces: each holds as many whole ones as fit into its size.
type Packer struct {
	size  int
	piece []byte
	emit  func(piece []byte) error
	order order
	names []domain.Hash
}

// NewPacker makes pieces of at most size bytes, MaxPiece in a network. emit keeps each; the bytes are its own only
// while it runs.
func NewPacker(size int, emit func(piece []byte) error) *Packer {
	return &Packer{size: size, emit: emit}
}

// Add takes the next record. Errors are those of emit, and ErrPiece where records do not ascend or one is too long.
func (p *Packer) Add(r Record) error {
	if err := p.order.next(&r); err != nil {
		return err
	}
	at := len(p.piece)
	p.piece = r.append(p.piece)
	if len(p.piece) <= p.size {
		return nil
	}
	record := bytes.Clone(p.piece[at:])
	if len(record) > p.size {
		return fmt.Errorf("%w: a record of %d bytes", ErrPiece, len(record))
	}
	p.piece = p.piece[:at]
	if err := p.flush(); err != nil {
		return err
	}
	p.piece = append(p.piece, record...)
	return nil
}

func (p *Packer) flush() error {
	if len(p.piece) == 0 {
		return nil
	}
	if len(p.names) == MaxPieces {
		return fmt.Errorf("%w: more than %d", ErrPiece, MaxPieces)
	}
	p.names = append(p.names, HashPiece(p.piece))
	err := p.emit(p.piece)
	p.piece = p.piece[:0]
	return err
}

// Done ends the last piece. It returns the hashes of all pieces, and what they hold.
func (p *Packer) Done() ([]domain.Hash, Counts, error) {
	err := p.flush()
	return p.names, p.order.counts, err
}

// Unpacker takes pieces apart, in their order.
type Unpacker struct{ order order }

// Piece tells of the records of the next piece. Errors are those of told, and ErrPiece.
func (u *Unpacker) Piece(piece []byte, told func(Record) error) error {
	if len(piece) == 0 || len(piece) > MaxPiece {
		return fmt.Errorf("%w: %d bytes", ErrPiece, len(piece))
	}
	for len(piece) > 0 {
		r, rest, err := cut(piece)
		if err == nil {
			err = u.order.next(&r)
		}
		if err == nil {
			err = told(r)
		}
		if err != nil {
			return err
		}
		piece = rest
	}
	return nil
}

// cut takes the first record off.
func cut(b []byte) (r Record, rest []byte, err error) {
	r.Kind, b = Kind(b[0]), b[1:]
	if r.Kind < Final || r.Kind > Product || len(b) < keyLen[r.Kind] {
		return r, nil, fmt.Errorf("%w: kind %d before %d bytes", ErrPiece, r.Kind, len(b))
	}
	r.Key, b = b[:keyLen[r.Kind]], b[keyLen[r.Kind]:]
	n := uint64(max(valueLen[r.Kind], 0))
	if valueLen[r.Kind] < 0 {
		v, k := binary.Uvarint(b)
		if k <= 0 || k > 1 && b[k-1] == 0 {
			return r, nil, fmt.Errorf("%w: length of a value", ErrPiece)
		}
		n, b = v, b[k:]
	}
	if n > uint64(len(b)) {
		return r, nil, fmt.Errorf("%w: a value of %d bytes, %d are left", ErrPiece, n, len(b))
	}
	r.Value = b[:n]
	return r, b[n:], nil
}

// Counts are what came so far.
func (u *Unpacker) Counts() Counts { return u.order.counts }

// Done reports whether everything came that a manifest counts; else the error matches ErrPiece.
func (u *Unpacker) Done(want Counts) error {
	if u.order.counts != want {
		return fmt.Errorf("%w: %+v in all pieces, %+v in the manifest", ErrPiece, u.order.counts, want)
	}
	return nil
}
