package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
)

// FinalHint says that a transaction is final at its sender, by votes in a round and under a link. It proves
// nothing: who wants to know pulls the votes.
type FinalHint struct {
	Tx    domain.Hash
	Round uint32
	Link  domain.Hash
}

const (
	// hintRate is how many hints a second one peer may send on average, with four seconds' worth at
	// once. This node sends at half that rate, so that no clock makes an honest one look like a flood.
	hintRate = 32
	// maxHint bounds a FinalHint: two hashes, a round and their tags are 74 bytes.
	maxHint = 128
)

// ErrTooManyHints says that a hint was not sent, because its receiver has had its share.
var ErrTooManyHints = errors.New("too many hints to this peer")

// PushProtocol is the full name on the wire of final, the one push protocol.
func PushProtocol(network domain.Hash, name string) string {
	return "/notary/" + network.String() + "/push/" + name + "/1"
}

func hintProtocol(network domain.Hash) protocol.ID {
	return protocol.ID(PushProtocol(network, "final"))
}

// encode is the canonical FinalHint.
func (h FinalHint) encode() []byte {
	b := appendBytes(make([]byte, 0, 80), tag1Bytes, h.Tx[:])
	b = appendUint(b, tag2Varint, uint64(h.Round))
	return appendBytes(b, tag3Bytes, h.Link[:])
}

// decodeHint reads a FinalHint; false where it is not canonical or lacks a hash.
func decodeHint(raw []byte) (h FinalHint, ok bool) {
	if hintSchema.Check(raw) != nil {
		return h, false
	}
	var named, linked bool
	for f := range canonical.Fields(raw) {
		switch f.Number {
		case 1:
			h.Tx, named = domain.Hash(f.Bytes), true
		case 2:
			h.Round = uint32(f.Value)
		case 3:
			h.Link, linked = domain.Hash(f.Bytes), true
		}
	}
	return h, named && linked
}

// Hint tells a peer that a transaction is final here. It returns when the peer has read it, which does not
// say that it will act on it; ErrTooManyHints where it was told too much lately.
func (n *Net) Hint(ctx context.Context, to domain.PublicKey, h FinalHint) error {
	err := n.hint(ctx, to, h)
	outcome := "sent"
	if err != nil {
		outcome = "unsent"
	}
	n.metrics.Hints.WithLabelValues(outcome).Inc()
	return err
}

func (n *Net) hint(ctx context.Context, to domain.PublicKey, h FinalHint) error {
	if !n.hintsOut.of(to, time.Now()).Allow() {
		return ErrTooManyHints
	}
	result := make(chan error, 1)
	n.ask(ctx, []domain.PublicKey{to}, func(ctx context.Context, to domain.PublicKey) bool {
		result <- n.push(ctx, to, h.encode())
		return true
	})
	select {
	case err := <-result:
		return err
	default:
		if err := ctx.Err(); err != nil {
			return err
		}
		return ErrClosed
	}
}

func (n *Net) push(ctx context.Context, to domain.PublicKey, msg []byte) error {
	ctx, cancel := context.WithTimeout(ctx, n.config.PullTimeout)
	defer cancel()
	release, err := n.asking.wait(ctx, to)
	if err != nil {
		return err
	}
	defer release()
	s, err := n.host.NewStream(ctx, PeerID(to), hintProtocol(n.config.Network))
	if err != nil {
		return errors.Join(errUnreachable, err)
	}
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	if err := pushOn(s, msg); err != nil {
		s.Reset()
		return fmt.Errorf("hint to %s: %w", to, err)
	}
	return s.Close()
}

// pushOn sends a message and waits until the other side closes: that it has read it, and that no error of
// it came, is known only then.
func pushOn(s network.Stream, msg []byte) error {
	if err := writeFrame(s, msg); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	switch n, err := s.Read(make([]byte, 1)); {
	case n > 0:
		return errFrame
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// takeHint reads one hint and returns the outcome for metrics.
func (n *Net) takeHint(ctx context.Context, s network.Stream, hinted func(domain.PublicKey, FinalHint) bool) string {
	from, release, refused := n.admit(s, func(from domain.PublicKey) bool {
		return n.hintsIn.of(from, time.Now()).Allow()
	})
	if refused != "" {
		return refused
	}
	defer release()
	_, end := n.limitTime(ctx, s)
	defer end()
	raw, err := readFrame(s, maxHint)
	if err != nil {
		return n.refuseRequest(s, from, err)
	}
	h, ok := decodeHint(raw)
	if !ok {
		return n.refuseRequest(s, from, errRequest)
	}
	taken := hinted(from, h)
	s.Close()
	if !taken {
		return "dropped"
	}
	return "taken"
}
