package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func (s *script) Simulate(_ context.Context, changes []*notaryv1.LabelChange, pay Pay) (*notaryv1.SimulateTrustResponse, error) {
	return &notaryv1.SimulateTrustResponse{Moved: uint64(len(changes)), Movers: []*notaryv1.WeightChange{{PeerId: changes[0].GetRatee(), After: 3}}}, cmp.Or(s.cost(pay), s.told.err)
}

// TestSimulateTrust: labels that can be meant reach the backend, others do not.
func TestSimulateTrust(t *testing.T) {
	n := serve(t, quick(), &script{})
	c := notaryv1.NewExplorerServiceClient(n.conn)
	ctx, a, b := within(t), hash(1), hash(2)
	good := &notaryv1.LabelChange{Rater: a[:], Ratee: b[:], Score: -1000}
	answer, err := c.SimulateTrust(ctx, &notaryv1.SimulateTrustRequest{Changes: []*notaryv1.LabelChange{good, {Ratee: a[:], Remove: true, Score: 5000}}})
	if err != nil || answer.GetMoved() != 2 || string(answer.GetMovers()[0].GetPeerId()) != string(b[:]) {
		t.Errorf("%v, %v", answer, err)
	}
	many := make([]*notaryv1.LabelChange, maxChanges+1)
	for i := range many {
		many[i] = good
	}
	for name, x := range map[string]struct {
		changes []*notaryv1.LabelChange
		reason  notaryv1.Reason
	}{
		"none":                {nil, notaryv1.Reason_REASON_MISSING_FIELD},
		"too many":            {many, notaryv1.Reason_REASON_LIMIT_EXCEEDED},
		"half a rater":        {[]*notaryv1.LabelChange{{Rater: a[:5], Ratee: b[:]}}, notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"no ratee":            {[]*notaryv1.LabelChange{good, {Rater: a[:]}}, notaryv1.Reason_REASON_MISSING_FIELD},
		"of itself":           {[]*notaryv1.LabelChange{{Rater: a[:], Ratee: a[:]}}, notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"better than best":    {[]*notaryv1.LabelChange{{Ratee: a[:], Score: 1001}}, notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"worse than worst":    {[]*notaryv1.LabelChange{{Ratee: a[:], Score: -1001}}, notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"a change of nothing": {[]*notaryv1.LabelChange{{}}, notaryv1.Reason_REASON_MISSING_FIELD},
	} {
		_, err := c.SimulateTrust(ctx, &notaryv1.SimulateTrustRequest{Changes: x.changes})
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantReason(t, err, x.reason)
	}
	r := n.rest("POST", "/v1/trust:simulate", `{"changes":[{"ratee":"`+base64.StdEncoding.EncodeToString(b[:])+`","score":5}]}`)
	if r.code != http.StatusOK || !strings.Contains(string(r.body), `"moved":"1"`) {
		t.Errorf("%d %s", r.code, r.body)
	}
}
