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
	if l, bounded := listOf(e.message); bounded && l.exceeded(data) {
		e.refused = refusal.New(l.reason, l.name, "a message has at most %d %s", l.most, l.what)
		return nil
	}
	if c.CodecV2.Unmarshal(data, e.message) != nil {
		e.refused = refusal.New(notaryv1.Reason_REASON_MALFORMED, "", "the request is not a message of this method")
	}
	return nil
}

// list is a repeated field of a request, and how many elements it may have.
type list struct {
	field      protowire.Number
	name, what string
	most       int
	reason     notaryv1.Reason // where it has more
}

// listOf is the repeated field of a request that has one.
func listOf(request any) (list, bool) {
	switch request.(type) {
	case *notaryv1.SubmitTransactionsRequest:
		return list{4, "more", "further transactions", maxMore, notaryv1.Reason_REASON_INVALID_ARGUMENT}, true
	case *notaryv1.SimulateTrustRequest:
		return list{1, "changes", "changes", maxChanges, notaryv1.Reason_REASON_LIMIT_EXCEEDED}, true
	}
	return list{}, false
}

// exceeded reports whether a message has more elements than it may, before anything is allocated for them: each takes two bytes of a message and twelve
// times that in memory, or fifty.
func (l list) exceeded(data mem.BufferSlice) bool {
	if data.Len() <= 2*l.most {
		return false
	}
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	n := 0
	for b := whole.ReadOnlyData(); len(b) > 0 && n <= l.most; {
		number, kind, size := protowire.ConsumeField(b)
		if size < 0 {
			break // Unmarshal says what is wrong
		}
		if number == l.field && kind == protowire.BytesType {
			n++
		}
		b = b[size:]
	}
	return n > l.most
}
