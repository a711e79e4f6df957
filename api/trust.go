package api

import (
	"context"
	"log/slog"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// GetTrust implements notaryv1.ExplorerServiceServer.
func (s *explorerService) GetTrust(ctx context.Context, req *notaryv1.GetTrustRequest) (*notaryv1.GetTrustResponse, error) {
	if s.backends.Trust == nil {
		return nil, notBuilt("ExplorerService/GetTrust")
	}
	viewer, err := maybeID(fieldPeer, req.GetPeerId())
	if err != nil {
		return nil, err
	}
	explain, err := maybeID(fieldExplain, req.GetExplain())
	if err != nil {
		return nil, err
	}
	return s.backends.Trust.Trust(ctx, viewer, explain, s.guard.paying(ctx, recordBytes))
}

// GetTrustMargin implements notaryv1.ExplorerServiceServer.
func (s *explorerService) GetTrustMargin(ctx context.Context, _ *notaryv1.GetTrustMarginRequest) (*notaryv1.GetTrustMarginResponse, error) {
	if s.backends.Trust == nil {
		return nil, notBuilt("ExplorerService/GetTrustMargin")
	}
	return s.backends.Trust.Margin(ctx, s.guard.paying(ctx, recordBytes))
}

// SetTrustLabel implements notaryv1.AdminServiceServer. The client's deadline bounds the wait for finality.
func (s *adminService) SetTrustLabel(ctx context.Context, req *notaryv1.SetTrustLabelRequest) (*notaryv1.SetTrustLabelResponse, error) {
	if s.trust == nil {
		return nil, notBuilt("AdminService/SetTrustLabel")
	}
	id, err := checkID(fieldPeer, req.GetPeerId())
	if err != nil {
		return nil, err
	}
	note(ctx, slog.String("peer", id.String()), slog.Int("score", int(req.GetScore())))
	if err := s.trust.SetTrustLabel(ctx, id, req.GetScore()); err != nil {
		return nil, err
	}
	return &notaryv1.SetTrustLabelResponse{}, nil
}

// RemoveTrustLabel implements notaryv1.AdminServiceServer.
func (s *adminService) RemoveTrustLabel(ctx context.Context, req *notaryv1.RemoveTrustLabelRequest) (*notaryv1.RemoveTrustLabelResponse, error) {
	if s.trust == nil {
		return nil, notBuilt("AdminService/RemoveTrustLabel")
	}
	id, err := checkID(fieldPeer, req.GetPeerId())
	if err != nil {
		return nil, err
	}
	note(ctx, slog.String("peer", id.String()))
	if err := s.trust.RemoveTrustLabel(ctx, id); err != nil {
		return nil, err
	}
	return &notaryv1.RemoveTrustLabelResponse{}, nil
}

// maybeID reads an id that may be left out: zero then.
func maybeID(field string, b []byte) (domain.Hash, error) {
	if len(b) == 0 {
		return domain.Hash{}, nil
	}
	return checkID(field, b)
}
