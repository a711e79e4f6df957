package gossip

import (
	"context"
	"errors"
	"fmt"

	"github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
)

// PullSet asks one peer to compare ranges of what is final, as a sync.Session has them. That the reply is one to these
// ranges is for the session to check; Blame is for a peer whose is not.
func (n *Net) PullSet(ctx context.Context, key domain.PublicKey, asked []sync.Range) (sync.Reply, error) {
	var request, item []byte
	for i := range asked {
		item = appendRange(item[:0], &asked[i])
		request = appendBytes(request, tag1Bytes, item)
	}
	response, ok := n.exchange(ctx, pullSet, key, request)
	if !ok {
		if err := ctx.Err(); err != nil {
			return sync.Reply{}, err
		}
		return sync.Reply{}, fmt.Errorf("%w: %s compares nothing", ErrMissing, key)
	}
	return decodeReply(response), nil
}

// Blame costs a peer its standing whose reply was none.
func (n *Net) Blame(key domain.PublicKey) { n.Penalise(key, OffenceWrong) }

// appendRange appends a SetRange.
func appendRange(b []byte, r *sync.Range) []byte {
	b = appendBytes(b, tag1Bytes, r.From[:])
	b = appendBytes(b, tag2Bytes, r.To[:])
	b = appendBytes(b, tag3Bytes, r.Digest[:])
	return appendUint(b, tag4Varint, r.Count)
}

// answerSet answers a PullSetRequest.
func answerSet(ctx context.Context, request []byte, b Backend) ([]byte, error) {
	if setReqSchema.Check(request) != nil {
		return nil, errRequest
	}
	asked := make([]sync.Range, 0, SetLimits.Ranges)
	for f := range canonical.Fields(request) {
		asked = append(asked, decodeAnswer(f.Bytes))
	}
	reply, err := b.Set(ctx, asked)
	switch {
	case errors.Is(err, sync.ErrBounds), errors.Is(err, sync.ErrForm), errors.Is(err, sync.ErrTooMany):
		return nil, errRequest
	case err != nil:
		return nil, err
	}
	return encodeReply(&reply), nil
}

// encodeReply is the canonical PullSetResponse.
func encodeReply(reply *sync.Reply) []byte {
	out := appendUint(nil, 1<<3, uint64(reply.Answered))
	var item []byte
	for i := range reply.Ranges {
		r := &reply.Ranges[i]
		if r.Listed {
			item = appendBytes(item[:0], tag1Bytes, r.From[:])
			item = appendBytes(item, tag2Bytes, r.To[:])
			item = appendUint(item, tag5Varint, 1)
			for _, id := range r.IDs {
				item = appendBytes(item, tag6Bytes, id[:])
			}
		} else {
			item = appendRange(item[:0], r)
		}
		out = appendBytes(out, tag2Bytes, item)
	}
	return out
}

// decodeReply reads a response that has passed its schema.
func decodeReply(response []byte) (reply sync.Reply) {
	for f := range canonical.Fields(response) {
		switch f.Number {
		case 1:
			reply.Answered = int(uint32(f.Value))
		case 2:
			reply.Ranges = append(reply.Ranges, decodeAnswer(f.Bytes))
		}
	}
	return reply
}

// decodeAnswer reads a SetRange or a SetAnswer. What is absent is zero, which is told from what is right by those that
// look at bounds and digests.
func decodeAnswer(b []byte) (r sync.Range) {
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			r.From = domain.Hash(f.Bytes)
		case 2:
			r.To = domain.Hash(f.Bytes)
		case 3:
			r.Digest = sync.Digest(f.Bytes)
		case 4:
			r.Count = f.Value
		case 5:
			r.Listed = f.Value != 0
		case 6:
			r.IDs = append(r.IDs, domain.Hash(f.Bytes))
		}
	}
	return r
}
