package gossip

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
)

// maxProof bounds the acceptance proof that rides along with a pulled transaction.
const maxProof = 768 << 10

// Serve answers pulls until ctx ends or the node is closed; it returns at once. Without it the node only
// asks.
func (n *Net) Serve(ctx context.Context, b Backend) {
	ctx, cancel := context.WithCancel(ctx)
	for p := range numPulls {
		n.host.SetStreamHandler(pullProtocol(n.config.Network, p), func(s network.Stream) {
			outcome := n.serve(ctx, p, s, b)
			n.metrics.Served.WithLabelValues(p.String(), outcome).Inc()
		})
	}
	if !n.enter() {
		cancel()
		return
	}
	go func() {
		defer n.running.Done()
		defer cancel()
		select {
		case <-ctx.Done():
		case <-n.quit:
		}
		for p := range numPulls {
			n.host.RemoveStreamHandler(pullProtocol(n.config.Network, p))
		}
	}()
}

// serve answers one request and returns the outcome for metrics.
func (n *Net) serve(ctx context.Context, p pull, s network.Stream, b Backend) string {
	if !n.enter() {
		s.ResetWithError(network.StreamShutdown)
		return "failed"
	}
	defer n.running.Done()
	from, node := NodeKey(s.Conn().RemotePeer())
	if !node {
		s.ResetWithError(network.StreamGated)
		return "failed"
	}
	release, ok := n.serving.try(from)
	if !ok {
		s.ResetWithError(network.StreamRateLimited)
		return "busy"
	}
	defer release()
	budget := n.budgets.of(from, time.Now())
	if budget.Tokens() <= 0 {
		s.ResetWithError(network.StreamRateLimited)
		n.Penalise(from, OffenceFlood)
		return "limited"
	}
	deadline := time.Now().Add(n.config.PullTimeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	s.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	request, err := readFrame(s, maxRequest)
	if err != nil {
		return n.refuseRequest(s, from, err)
	}
	response, err := answer(ctx, p, request, b)
	if err != nil {
		return n.refuseRequest(s, from, err)
	}
	budget.ReserveN(time.Now(), min(len(response), budget.Burst())) // may go into debt, and then waits it off
	if err := writeFrame(s, response); err != nil {
		s.Reset()
		return "failed"
	}
	s.Close()
	return "ok"
}

// errRequest says that a request is not canonical or names too much.
var errRequest = errors.New("malformed request")

// refuseRequest ends a stream whose request could not be read or answered.
func (n *Net) refuseRequest(s network.Stream, from domain.PublicKey, err error) string {
	if errors.Is(err, errOversize) || errors.Is(err, errFrame) || errors.Is(err, errRequest) {
		s.ResetWithError(network.StreamProtocolViolation)
		n.Penalise(from, OffenceMalformed)
		return "malformed"
	}
	s.Reset()
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		n.log.Debug("pull not served", "peer", from.String(), "err", err)
	}
	return "failed"
}

// answer builds the canonical response to a request.
func answer(ctx context.Context, p pull, request []byte, b Backend) ([]byte, error) {
	switch p {
	case pullTx:
		return answerTransactions(ctx, request, b)
	case pullObs:
		return answerObservations(ctx, request, b)
	default:
		return answerHeads(ctx, request, b)
	}
}

// Field tags of the pull messages: number << 3 | wire type (2 length-delimited, 0 varint).
const (
	tag1Bytes  = 1<<3 | 2
	tag2Bytes  = 2<<3 | 2
	tag2Varint = 2 << 3
	tag3Varint = 3 << 3
	tag4Varint = 4 << 3
	tag4Bytes  = 4<<3 | 2
)

func answerTransactions(ctx context.Context, request []byte, b Backend) ([]byte, error) {
	if transactionsReqSchema.Check(request) != nil {
		return nil, errRequest
	}
	ids := make([]domain.Hash, 0, MaxPullItems)
	proofs := false
	for f := range canonical.Fields(request) {
		if f.Number == 1 {
			ids = append(ids, domain.Hash(f.Bytes))
		} else {
			proofs = f.Value != 0
		}
	}
	var out, item []byte
	items := 0
	err := b.Transactions(ctx, ids, proofs, func(raw, proof []byte) bool {
		if len(raw) == 0 || len(raw) > MaxTransaction {
			return true
		}
		item = appendBytes(item[:0], tag1Bytes, raw)
		if proofs && len(proof) > 0 && len(proof) <= maxProof {
			item = appendBytes(item, tag2Bytes, proof)
		}
		if items == MaxPullItems || len(out)+itemSize(len(item)) > MaxPullResponse {
			return false
		}
		out = appendBytes(out, tag1Bytes, item)
		items++
		return ctx.Err() == nil
	})
	return out, err
}

func answerObservations(ctx context.Context, request []byte, b Backend) ([]byte, error) {
	r, ok := decodeRange(request)
	if !ok {
		return nil, errRequest
	}
	var out []byte
	items := 0
	err := b.Observations(ctx, r, func(raw []byte) bool {
		if len(raw) == 0 || len(raw) > MaxObservation {
			return true
		}
		if items == MaxPullItems || len(out)+itemSize(len(raw)) > MaxPullResponse {
			return false
		}
		out = appendBytes(out, tag1Bytes, raw)
		items++
		return ctx.Err() == nil
	})
	return out, err
}

// decodeRange reads a PullObservationsRequest; false where it is not canonical or names no valid range.
func decodeRange(request []byte) (Range, bool) {
	var r Range
	if observationsReqSchema.Check(request) != nil {
		return r, false
	}
	keyed := false
	for f := range canonical.Fields(request) {
		switch f.Number {
		case 1:
			r.Key, keyed = domain.PublicKey(f.Bytes), true
		case 2:
			r.SigningEpoch = uint32(f.Value)
		case 3:
			r.From = f.Value
		case 4:
			r.To = f.Value
		}
	}
	return r, keyed && r.valid()
}

// valid reports whether a range may be asked for.
func (r Range) valid() bool { return r.From <= r.To && r.To-r.From < MaxPullItems }

// encode is the canonical PullObservationsRequest.
func (r Range) encode() []byte {
	b := appendBytes(make([]byte, 0, 64), tag1Bytes, r.Key[:])
	b = appendUint(b, tag2Varint, uint64(r.SigningEpoch))
	b = appendUint(b, tag3Varint, r.From)
	return appendUint(b, tag4Varint, r.To)
}

func answerHeads(ctx context.Context, request []byte, b Backend) ([]byte, error) {
	if headsReqSchema.Check(request) != nil {
		return nil, errRequest
	}
	var out, item []byte
	items := 0
	err := b.Heads(ctx, func(h Head) bool {
		item = appendBytes(item[:0], tag1Bytes, h.Key[:])
		item = appendUint(item, tag2Varint, uint64(h.SigningEpoch))
		item = appendUint(item, tag3Varint, h.Height)
		item = appendBytes(item, tag4Bytes, h.Hash[:])
		if items == MaxHeads || len(out)+itemSize(len(item)) > maxHeadsResponse {
			return false
		}
		out = appendBytes(out, tag1Bytes, item)
		items++
		return ctx.Err() == nil
	})
	return out, err
}
