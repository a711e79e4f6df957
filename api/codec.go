package api

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that is wrapped here
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// envelope receives one message, or says why not. gRPC itself sends a bare status to the client as soon
// as receiving fails; inside an envelope receiving does not fail, so that the guard can give the reason.
type envelope struct {
	message any
	limit   int // bytes
	size    int // bytes
	refused error
}

// moreField is the number of SubmitTransactionsRequest.more.
const moreField = 4

// envelopes is the protobuf codec that knows envelopes.
type envelopes struct{ encoding.CodecV2 }

func newEnvelopes() envelopes { return envelopes{encoding.GetCodecV2("proto")} }

// Unmarshal implements encoding.CodecV2.
func (c envelopes) Unmarshal(data mem.BufferSlice, v any) error {
	e, ok := v.(*envelope)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	e.size = data.Len()
	if e.size > e.limit {
		e.refused = refusal.New(notaryv1.Reason_REASON_TOO_LARGE, "", "a request has at most %d bytes, not %d", e.limit, e.size)
		return nil
	}
	if _, several := e.message.(*notaryv1.SubmitTransactionsRequest); several {
		if n := countMore(data); n > maxMore {
			e.refused = refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "more", "a message has at most %d further transactions", maxMore)
			return nil
		}
	}
	if c.CodecV2.Unmarshal(data, e.message) != nil {
		e.refused = refusal.New(notaryv1.Reason_REASON_MALFORMED, "", "the request is not a message of this method")
	}
	return nil
}

// countMore counts the further transactions of a SubmitTransactionsRequest before anything is allocated for them, as far as one more
// than it may have: each takes two bytes of a message and twelve times that in memory.
func countMore(data mem.BufferSlice) (n int) {
	if data.Len() <= 2*maxMore {
		return 0
	}
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	for b := whole.ReadOnlyData(); len(b) > 0 && n <= maxMore; {
		number, kind, size := protowire.ConsumeField(b)
		if size < 0 {
			return n // Unmarshal says what is wrong
		}
		if number == moreField && kind == protowire.BytesType {
			n++
		}
		b = b[size:]
	}
	return n
}
