package api

import (
	"bytes"
	"testing"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// never is a codec that must not be asked.
type never struct {
	encoding.CodecV2
	t *testing.T
}

func (n never) Unmarshal(mem.BufferSlice, any) error {
	n.t.Error("it was decoded")
	return nil
}

// TestListsAreCountedFirst: a message with more elements than a request may have is refused before anything is allocated for them.
func TestListsAreCountedFirst(t *testing.T) {
	for name, c := range map[string]struct {
		message proto.Message
		element []byte
		reason  notaryv1.Reason
	}{
		"more":    {&notaryv1.SubmitTransactionsRequest{}, []byte{4<<3 | 2, 0}, notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"changes": {&notaryv1.SimulateTrustRequest{}, []byte{1<<3 | 2, 0}, notaryv1.Reason_REASON_LIMIT_EXCEEDED},
	} {
		e := &envelope{message: c.message, limit: 1 << 20}
		if err := (envelopes{never{nil, t}}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(bytes.Repeat(c.element, 500_000))}, e); err != nil || refusal.ReasonOf(e.refused) != c.reason {
			t.Errorf("%s: %v, %v", name, err, e.refused)
		}
		e = &envelope{message: c.message, limit: 1 << 20}
		if err := newEnvelopes().Unmarshal(mem.BufferSlice{mem.SliceBuffer(bytes.Repeat(c.element, 64))}, e); err != nil || e.refused != nil {
			t.Errorf("%s: %v, %v", name, err, e.refused)
		}
	}
}
