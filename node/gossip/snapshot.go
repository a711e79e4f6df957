package gossip

import (
	"context"
	"fmt"

	"github.com/notarynet/notaryd/node/snapshot"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
)

// MaxSnapshotLinks bounds the links that an answer about snapshots names.
const MaxSnapshotLinks = 8192

// Snapshots are what a node offers, the newest first, and the ids of the links that lead to the group of the newest,
// oldest first; of an answer, those beyond what the asker knows, or the first of them.
type Snapshots struct {
	Offers []snapshot.Offer
	Links  []domain.Hash
}

// PullSnapshots asks one peer for the snapshots that it vouches for. Offers with a signature that is not the peer's cost
// it its standing, and none is returned; links are claims, of those after the ones known. A peer that offers none gives no error.
func (n *Net) PullSnapshots(ctx context.Context, key domain.PublicKey, known int) (s Snapshots, err error) {
	response, ok := n.exchange(ctx, pullSnapshots, key, appendUint(nil, tag1Varint, uint64(known)))
	if !ok {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		return s, fmt.Errorf("%w: %s says nothing of snapshots", ErrMissing, key)
	}
	s = decodeSnapshots(response)
	for i := range s.Offers {
		if !s.Offers[i].Verify(key, n.config.Network) {
			n.Penalise(key, OffenceWrong)
			return Snapshots{}, fmt.Errorf("%w: %s offers a snapshot that it has not signed", ErrMissing, key)
		}
	}
	return s, nil
}

// PullPiece asks one peer for a part of a snapshot: 0 is the manifest, n its n-th piece. Bytes with another hash than
// want cost the peer its standing, by those rules by which a manifest or a piece is hashed.
func (n *Net) PullPiece(ctx context.Context, key domain.PublicKey, manifest domain.Hash, piece uint32, want domain.Hash) ([]byte, error) {
	response, ok := n.exchange(ctx, pullPiece, key, encodePiece(manifest, piece))
	if !ok || len(response) == 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: piece %d of snapshot %s from %s", ErrMissing, piece, manifest, key)
	}
	var raw []byte
	for f := range canonical.Fields(response) {
		raw = f.Bytes
	}
	hash := snapshot.HashPiece
	if piece == 0 {
		hash = snapshot.HashManifest
	}
	if hash(raw) != want {
		n.Penalise(key, OffenceWrong)
		return nil, fmt.Errorf("%w: piece %d of snapshot %s from %s is another", ErrMissing, piece, manifest, key)
	}
	return raw, nil
}

func encodePiece(manifest domain.Hash, piece uint32) []byte {
	return appendUint(appendBytes(make([]byte, 0, 48), tag1Bytes, manifest[:]), tag2Varint, uint64(piece))
}

func answerSnapshots(ctx context.Context, request []byte, b Backend) ([]byte, error) {
	if snapshotsReqSchema.Check(request) != nil {
		return nil, errRequest
	}
	known := uint64(0)
	for f := range canonical.Fields(request) {
		known = f.Value
	}
	s, err := b.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	s.Links = s.Links[min(known, uint64(len(s.Links))):]
	return encodeSnapshots(&s), nil
}

// encodeSnapshots is the canonical PullSnapshotsResponse.
func encodeSnapshots(s *Snapshots) (out []byte) {
	var item []byte
	for i := range s.Offers[:min(len(s.Offers), snapshot.MaxOffers)] {
		o := &s.Offers[i]
		item = appendBytes(item[:0], tag1Bytes, o.Manifest[:])
		item = appendBytes(item, tag2Bytes, o.Link[:])
		item = appendUint(item, tag3Varint, o.TimeMS)
		item = appendBytes(item, tag4Bytes, o.Signature[:])
		out = appendBytes(out, tag1Bytes, item)
	}
	for _, id := range s.Links[:min(len(s.Links), MaxSnapshotLinks)] {
		out = appendBytes(out, tag2Bytes, id[:])
	}
	return out
}

// decodeSnapshots reads a response that has passed its schema.
func decodeSnapshots(response []byte) (s Snapshots) {
	for f := range canonical.Fields(response) {
		if f.Number == 2 {
			s.Links = append(s.Links, domain.Hash(f.Bytes))
			continue
		}
		var o snapshot.Offer
		for g := range canonical.Fields(f.Bytes) {
			switch g.Number {
			case 1:
				o.Manifest = domain.Hash(g.Bytes)
			case 2:
				o.Link = domain.Hash(g.Bytes)
			case 3:
				o.TimeMS = g.Value
			case 4:
				o.Signature = domain.Signature(g.Bytes)
			}
		}
		s.Offers = append(s.Offers, o)
	}
	return s
}

func answerPiece(ctx context.Context, request []byte, b Backend) ([]byte, error) {
	if pieceReqSchema.Check(request) != nil {
		return nil, errRequest
	}
	var manifest domain.Hash
	var piece uint32
	for f := range canonical.Fields(request) {
		if f.Number == 1 {
			manifest = domain.Hash(f.Bytes)
		} else {
			piece = uint32(f.Value)
		}
	}
	if manifest.IsZero() {
		return nil, errRequest
	}
	raw, err := b.Piece(ctx, manifest, piece)
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	return appendBytes(nil, tag1Bytes, raw), nil
}
