package gossip

import (
	"context"
	"fmt"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
)

// Final names what a final signature is asked for.
type Final struct {
	Tx domain.Hash
	// Round and Link are those that the compact proof will name.
	Round uint32
	Link  domain.Hash
}

// encode is the canonical PullFinalRequest.
func (f Final) encode() []byte {
	b := appendBytes(make([]byte, 0, 80), tag1Bytes, f.Tx[:])
	b = appendUint(b, tag2Varint, uint64(f.Round))
	return appendBytes(b, tag3Bytes, f.Link[:])
}

// decodeFinal reads a PullFinalRequest; false where it is not canonical or names no transaction or link.
func decodeFinal(request []byte) (f Final, ok bool) {
	if finalReqSchema.Check(request) != nil {
		return f, false
	}
	var named, linked bool
	for x := range canonical.Fields(request) {
		switch x.Number {
		case 1:
			f.Tx, named = domain.Hash(x.Bytes), true
		case 2:
			f.Round = uint32(x.Value)
		case 3:
			f.Link, linked = domain.Hash(x.Bytes), true
		}
	}
	return f, named && linked
}

// PullFinal asks one peer for its final signature. It is nil without an error where the peer gives none.
// check verifies what came; an error of it costs the peer its standing.
func (n *Net) PullFinal(ctx context.Context, key domain.PublicKey, f Final, check func(raw []byte) error) ([]byte, error) {
	response, ok := n.exchange(ctx, pullFinal, key, f.encode())
	if !ok {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: no final signature from %s", ErrMissing, key)
	}
	for x := range canonical.Fields(response) {
		if err := check(x.Bytes); err != nil {
			n.credit(key, err)
			return nil, fmt.Errorf("final signature of %s: %w", key, err)
		}
		return x.Bytes, nil
	}
	return nil, nil
}

func answerFinal(ctx context.Context, from domain.PublicKey, request []byte, b Backend) ([]byte, error) {
	f, ok := decodeFinal(request)
	if !ok {
		return nil, errRequest
	}
	raw, err := b.Final(ctx, from, f)
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	return appendBytes(nil, tag1Bytes, raw), nil
}
