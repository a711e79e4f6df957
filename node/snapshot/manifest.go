package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/notarynet/notaryd/proto/domain"
)

// MaxPieces bounds the pieces of a snapshot: of 1 MiB each, 110 GB. Their hashes make up most of a manifest.
const MaxPieces = 110_000

// manifestHead is the length of a manifest without pieces, in bytes.
const manifestHead = 2*domain.Size + 6*8

// MaxManifest bounds an encoded manifest, in bytes.
const MaxManifest = manifestHead + MaxPieces*domain.Size

// ErrManifest says that bytes are no manifest, or one of another network.
var ErrManifest = errors.New("no manifest")

// Counts are how many records of each kind a snapshot holds.
type Counts struct {
	// Finals are transactions, Spent outpoints that they spent, Outputs what is live, Products those that were described.
	Finals, Spent, Outputs, Products uint64
}

// Manifest names everything in a snapshot. What members sign is its hash.
type Manifest struct {
	Network domain.Hash
	// Link and Epoch are those of the group whose members vouch for it.
	Link  domain.Hash
	Epoch uint64
	// TimeMS is the time of the cut, Unix milliseconds.
	TimeMS uint64
	Counts Counts
	// Pieces are their hashes, in order.
	Pieces []domain.Hash
}

// Encode is the one encoding: network 32 | link 32 | epoch 8 | time 8 | finals 8 | spent 8 | outputs 8 | products 8 |
// hashes of pieces, 32 each; numbers most significant byte first.
func (m *Manifest) Encode() []byte {
	b := make([]byte, 0, manifestHead+len(m.Pieces)*domain.Size)
	b = append(append(b, m.Network[:]...), m.Link[:]...)
	for _, n := range [...]uint64{m.Epoch, m.TimeMS, m.Counts.Finals, m.Counts.Spent, m.Counts.Outputs, m.Counts.Products} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	for i := range m.Pieces {
		b = append(b, m.Pieces[i][:]...)
	}
	return b
}

// Hash names the snapshot.
func (m *Manifest) Hash() domain.Hash { return HashManifest(m.Encode()) }

// HashManifest is the name of an encoded manifest.
func HashManifest(raw []byte) domain.Hash { return domain.Sum(domain.TagSnapshot, raw) }

// HashPiece is the name of a piece.
func HashPiece(piece []byte) domain.Hash { return domain.Sum(domain.TagPiece, piece) }

// DecodeManifest reads a manifest of a network; errors match ErrManifest.
func DecodeManifest(raw []byte, network domain.Hash) (*Manifest, error) {
	if len(raw) < manifestHead || len(raw) > MaxManifest || (len(raw)-manifestHead)%domain.Size != 0 {
		return nil, fmt.Errorf("%w: %d bytes", ErrManifest, len(raw))
	}
	m := &Manifest{Network: domain.Hash(raw), Link: domain.Hash(raw[domain.Size:])}
	if m.Network != network {
		return nil, fmt.Errorf("%w: of network %s", ErrManifest, m.Network)
	}
	rest := raw[2*domain.Size:]
	for _, n := range [...]*uint64{&m.Epoch, &m.TimeMS, &m.Counts.Finals, &m.Counts.Spent, &m.Counts.Outputs, &m.Counts.Products} {
		*n, rest = binary.BigEndian.Uint64(rest), rest[8:]
	}
	for ; len(rest) > 0; rest = rest[domain.Size:] {
		m.Pieces = append(m.Pieces, domain.Hash(rest))
	}
	return m, nil
}
