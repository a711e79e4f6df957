package client_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/clienttest"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// A list that never ends takes neither all memory nor all time, whoever makes it.
func TestEndlessPages(t *testing.T) {
	n, c, ann := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, page := range map[string]func(*notaryv1.ListUnspentResponse){
		"of records": func(r *notaryv1.ListUnspentResponse) {
			r.Outputs[0].Output.Kind = notaryv1.OutputKind_OUTPUT_KIND_DATA
			r.Outputs[0].Output.Data = &notaryv1.Data{Kind: notaryv1.DataKind_DATA_KIND_INLINE, Payload: make([]byte, 190<<10)}
			r.Outputs, r.NextPageToken = slices.Repeat(r.Outputs[:1], 80), "0"
		},
		"of nothing": func(r *notaryv1.ListUnspentResponse) { r.Outputs, r.NextPageToken = nil, "0" },
	} {
		n.Set(clienttest.Faults{Unspent: page})
		if _, err := c.Coins(ctx, ann.Address); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_LIMIT_EXCEEDED)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A payment is made from the coins that were listed so far: who sends somebody ever more of them locks nothing.
	n.Set(clienttest.Faults{Unspent: func(r *notaryv1.ListUnspentResponse) {
		r.Outputs, r.NextPageToken = slices.Repeat(r.Outputs, 70_000), "0"
	}})
	if _, err := c.Send(ctx, ann, client.Terms{}, client.Payment{To: ann.Address, Amount: coinUnits}); err != nil {
		t.Errorf("paid from a list without an end: %v", err)
	}
}
