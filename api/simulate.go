package api

import (
	"bytes"
	"context"
	"fmt"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

const (
	// maxChanges bounds the labels of a simulation, each of which may touch everybody's weight.
	maxChanges = 64
	// maxScore is the best label.
	maxScore = 1000
)

// Simulator tells what would become of the weights if labels changed.
type Simulator interface {
	// Simulate takes 1 to 64 changes, which are well-formed, and changes nothing. NOT_FOUND where a rater is
	// left out and this node speaks for no peer.
	Simulate(ctx context.Context, changes []*notaryv1.LabelChange, pay Pay) (*notaryv1.SimulateTrustResponse, error)
}

// SimulateTrust implements notaryv1.ExplorerServiceServer.
func (s *explorerService) SimulateTrust(ctx context.Context, req *notaryv1.SimulateTrustRequest) (*notaryv1.SimulateTrustResponse, error) {
	if s.backends.Simulator == nil {
		return nil, notBuilt("ExplorerService/SimulateTrust")
	}
	n := len(req.GetChanges())
	switch {
	case n == 0:
		return nil, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "changes", "want at least one label")
	case n > maxChanges:
		return nil, refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "changes", "%d labels, at most %d", n, maxChanges)
	}
	for i, c := range req.GetChanges() {
		if err := checkChange(c); err != nil {
			return nil, refusal.Under(fmt.Sprintf("changes[%d]", i), err)
		}
	}
	return inTurn(ctx, s.guard, func(pay Pay) (*notaryv1.SimulateTrustResponse, error) {
		return s.backends.Simulator.Simulate(ctx, req.GetChanges(), pay)
	})
}

func checkChange(c *notaryv1.LabelChange) error {
	if len(c.GetRater()) > 0 {
		if _, err := checkID(fieldRater, c.GetRater()); err != nil {
			return err
		}
	}
	if _, err := checkID(fieldRatee, c.GetRatee()); err != nil {
		return err
	}
	switch score := c.GetScore(); {
	case bytes.Equal(c.GetRatee(), c.GetRater()):
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, fieldRatee, "a peer's label of itself says nothing")
	case !c.GetRemove() && (score < -maxScore || score > maxScore):
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "score", "%d, want -%d to %d", score, maxScore, maxScore)
	}
	return nil
}
