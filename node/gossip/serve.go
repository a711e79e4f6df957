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

// Serve answers pulls and takes hints until ctx ends or the node is closed; it returns at once. Without it
// the node only asks.
//
// hinted is called with each hint that came, from many goroutines at once. It must not block, and returns
// false where it has no room for more; the hint is then dropped. No node is blamed for that. Nil takes no
// hints at all.
func (n *Net) Serve(ctx context.Context, b Backend, hinted func(from domain.PublicKey, h FinalHint) bool) {
	ctx, cancel := context.WithCancel(ctx)
	for p := range numPulls {
		n.host.SetStreamHandler(pullProtocol(n.config.Network, p), func(s network.Stream) {
			outcome := n.serve(ctx, p, s, b)
			n.metrics.Served.WithLabelValues(p.String(), outcome).Inc()
		})
	}
	if hinted != nil {
		n.host.SetStreamHandler(hintProtocol(n.config.Network), func(s network.Stream) {
			n.metrics.Hints.WithLabelValues(n.takeHint(ctx, s, hinted)).Inc()
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
		n.host.RemoveStreamHandler(hintProtocol(n.config.Network))
	}()
}

// admit lets a stream in whose peer is a node and within its limits; release ends its stay. Where it is
// refused, the outcome for metrics says why.
func (n *Net) admit(s network.Stream, within func(from domain.PublicKey) bool) (from domain.PublicKey, release func(), refused string) {
	if !n.enter() {
		s.ResetWithError(network.StreamShutdown)
		return from, nil, "failed"
	}
	from, node := NodeKey(s.Conn().RemotePeer())
	if !node {
		n.running.Done()
		s.ResetWithError(network.StreamGated)
		return from, nil, "failed"
	}
	leave, ok := n.serving.try(from)
	if !ok {
		n.running.Done()
		s.ResetWithError(network.StreamRateLimited)
		return from, nil, "busy"
	}
	release = func() { leave(); n.running.Done() }
	if !within(from) {
		s.ResetWithError(network.StreamRateLimited)
		n.Penalise(from, OffenceFlood)
		release()
		return from, nil, "limited"
	}
	return from, release, ""
}

// limitTime ends a stream that is served after PullTimeout, or with ctx.
func (n *Net) limitTime(ctx context.Context, s network.Stream) (limited context.Context, end func()) {
	deadline := time.Now().Add(n.config.PullTimeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	s.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	return ctx, func() { stop(); cancel() }
}

// serve answers one request and returns the outcome for metrics.
func (n *Net) serve(ctx context.Context, p pull, s network.Stream, b Backend) string {
	from, release, refused := n.admit(s, func(from domain.PublicKey) bool {
		return n.budgets.of(from, time.Now()).Tokens() > 0
	})
	if refused != "" {
		return refused
	}
	defer release()
	ctx, end := n.limitTime(ctx, s)
	defer end()
	request, err := readFrame(s, maxRequest)
	if err != nil {
		return n.refuseRequest(s, from, err)
	}
	response, err := answer(ctx, p, from, request, b)
	if err != nil {
		return n.refuseRequest(s, from, err)
	}
	spend(n.budgets.of(from, time.Now()), len(response))
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
func answer(ctx context.Context, p pull, from domain.PublicKey, request []byte, b Backend) ([]byte, error) {
	switch p {
	case pullTx:
		return answerTransactions(ctx, request, b)
	case pullObs:
		return answerObservations(ctx, request, b)
	case pullVotes:
		return answerVotes(ctx, request, b)
	case pullFinal:
		return answerFinal(ctx, from, request, b)
	case pullSet:
		return answerSet(ctx, request, b)
	case pullSnapshots:
		return answerSnapshots(ctx, request, b)
	case pullPiece:
		return answerPiece(ctx, request, b)
	default:
		return answerHeads(ctx, request, b)
	}
}

// Field tags of the pull messages: number << 3 | wire type (2 length-delimited, 0 varint).
const (
	tag1Varint = 1 << 3
	tag1Bytes  = 1<<3 | 2
	tag2Bytes  = 2<<3 | 2
	tag2Varint = 2 << 3
	tag3Varint = 3 << 3
	tag3Bytes  = 3<<3 | 2
	tag4Varint = 4 << 3
	tag4Bytes  = 4<<3 | 2
	tag5Varint = 5 << 3
	tag6Bytes  = 6<<3 | 2
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
	var a observationsAnswer
	err := b.Observations(ctx, r, func(raw []byte) bool { return a.add(raw) && ctx.Err() == nil })
	return a.out, err
}

func answerVotes(ctx context.Context, request []byte, b Backend) ([]byte, error) {
	v, ok := decodeVotes(request)
	if !ok {
		return nil, errRequest
	}
	var a observationsAnswer
	err := b.Votes(ctx, v, func(raw []byte) bool { return a.add(raw) && ctx.Err() == nil })
	return a.out, err
}

// observationsAnswer is a PullObservationsResponse in the making.
type observationsAnswer struct {
	out   []byte
	items int
}

// add reports whether there may be room for more.
func (a *observationsAnswer) add(raw []byte) bool {
	if len(raw) == 0 || len(raw) > MaxObservation {
		return true
	}
	if a.items == MaxPullItems || len(a.out)+itemSize(len(raw)) > MaxPullResponse {
		return false
	}
	a.out = appendBytes(a.out, tag1Bytes, raw)
	a.items++
	return true
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
