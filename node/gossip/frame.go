package gossip

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/multiformats/go-varint"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/notarynet/notaryd/proto/domain"
)

// pull is one of the pull protocols.
type pull uint8

const (
	pullTx pull = iota
	pullObs
	pullHeadsP
	pullVotes
	pullFinal
	pullSet
	pullSnapshots
	pullPiece
	numPulls
)

var pullNames = [numPulls]string{
	pullTx: "tx", pullObs: "obs", pullHeadsP: "heads", pullVotes: "votes", pullFinal: "final", pullSet: "set",
	pullSnapshots: "snapshots", pullPiece: "piece",
}

// String is the protocol's label in metrics and its part of the name on the wire.
func (p pull) String() string { return pullNames[p] }

// PullProtocol is the full name on the wire of one of tx, obs, heads, votes, final, set, snapshots, piece.
func PullProtocol(network domain.Hash, name string) string {
	return "/notary/" + network.String() + "/pull/" + name + "/1"
}

func pullProtocol(network domain.Hash, p pull) protocol.ID {
	return protocol.ID(PullProtocol(network, p.String()))
}

var (
	// errOversize says that a frame announces more than is allowed.
	errOversize = errors.New("frame too large")
	// errFrame says that a frame is not one: a length that is not minimal, or bytes after it.
	errFrame = errors.New("malformed frame")
)

// writeFrame sends a message preceded by its length as a varint, in one write.
func writeFrame(w io.Writer, msg []byte) error {
	frame := make([]byte, 0, binary.MaxVarintLen32+len(msg))
	frame = binary.AppendUvarint(frame, uint64(len(msg)))
	_, err := w.Write(append(frame, msg...))
	return err
}

// readFrame reads one message of at most limit bytes, and the end of the stream after it. What is announced is reserved with
// the resource manager, then allocated as it arrives.
func readFrame(s network.Stream, limit int) ([]byte, error) {
	r := bufio.NewReader(s)
	n, err := varint.ReadUvarint(r)
	switch {
	case errors.Is(err, varint.ErrNotMinimal), errors.Is(err, varint.ErrOverflow):
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	case err != nil:
		return nil, err
	case n > uint64(limit):
		return nil, fmt.Errorf("%w: %d bytes", errOversize, n)
	}
	if err := s.Scope().ReserveMemory(int(n), network.ReservationPriorityMedium); err != nil {
		return nil, err
	}
	defer s.Scope().ReleaseMemory(int(n))
	var b bytes.Buffer
	b.Grow(int(min(n, 64<<10)))
	if got, err := io.CopyN(&b, r, int64(n)); err != nil {
		if got < int64(n) && errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: ends after %d of %d bytes", errFrame, got, n)
		}
		return nil, err
	}
	switch _, err := r.ReadByte(); {
	case err == nil:
		return nil, fmt.Errorf("%w: bytes after the message", errFrame)
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return b.Bytes(), nil
}
