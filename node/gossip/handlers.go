package gossip

import (
	"context"

	"github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/proto/domain"
)

// Verdict is what a handler says of a message. The zero value passes nothing on and blames nobody.
type Verdict uint8

const (
	// Ignore drops the message without blame: not to be judged now, or known already.
	Ignore Verdict = iota
	// Accept relays the message and delivers it through the topic's queue.
	Accept
	// Take relays the message; the handler has kept what it needs, so nothing is delivered.
	Take
	// Reject drops the message and scores down the peer that sent it: only for what no honest node
	// relays, whatever it knows and whatever its clock says.
	Reject
)

// Handlers judges messages before they are relayed. Methods are called from many goroutines at once,
// must return when ctx ends (Config.ValidateTimeout), and must neither change nor outlive-and-change the
// bytes, which are shared with the relay. from is the neighbour that sent the message, seldom its author.
type Handlers interface {
	// ValidateTransactions judges a batch of 1 to 1024 canonical Transactions, none empty.
	ValidateTransactions(ctx context.Context, from domain.PublicKey, raws [][]byte) Verdict
	// ValidateObservation judges an ObservationRun of at most MaxObservation bytes.
	ValidateObservation(ctx context.Context, from domain.PublicKey, raw []byte) Verdict
	// ValidatePeer judges peer metadata of at most MaxPeer bytes.
	ValidatePeer(ctx context.Context, from domain.PublicKey, raw []byte) Verdict
	// ValidateEvidence judges Evidence of at most MaxEvidence bytes.
	ValidateEvidence(ctx context.Context, from domain.PublicKey, raw []byte) Verdict
}

// Batch is a delivered TransactionBatch. The bytes are shared: read only.
type Batch struct {
	From domain.PublicKey
	Raws [][]byte
}

// Message is a delivered observation, peer record or evidence. The bytes are shared: read only.
type Message struct {
	From domain.PublicKey
	Raw  []byte
}

// Backend answers the pulls of other nodes. Each method hands its finds to add until add returns false,
// which means that the answer is full or the asker gone. Methods are called from many goroutines at once
// and must return soon after ctx ends.
type Backend interface {
	// Transactions finds transactions by id, in any order, with their acceptance proofs where they are
	// final and withProofs is set (else proof is nil). What is not here is left out.
	Transactions(ctx context.Context, ids []domain.Hash, withProofs bool, add func(raw, proof []byte) bool) error
	// Observations finds observations of one chain, by ascending height.
	Observations(ctx context.Context, r Range, add func(raw []byte) bool) error
	// Votes finds the observations that hold certain votes, at most one of each voter, in any order, also
	// where they are forks. An answer holds MaxPullItems at most, so that it should not always start
	// with the same ones.
	Votes(ctx context.Context, v Votes, add func(raw []byte) bool) error
	// Final is the canonical FinalSignature of this node, nil where the transaction is not final here, this
	// node signs nothing, or from has asked for too many.
	Final(ctx context.Context, from domain.PublicKey, f Final) ([]byte, error)
	// Set answers a comparison of what is final (node/sync, SetLimits). An error of a bad request matches one of
	// that package.
	Set(ctx context.Context, asked []sync.Range) (sync.Reply, error)
	// Snapshots are those that this node vouches for; none where it makes none.
	Snapshots(ctx context.Context) (Snapshots, error)
	// Piece is the manifest of such a snapshot, for 0, or its n-th piece; nil where it is not here.
	Piece(ctx context.Context, manifest domain.Hash, piece uint32) ([]byte, error)
	// Heads lists the newest height of every chain known here.
	Heads(ctx context.Context, add func(Head) bool) error
}

// Range names consecutive observations of one chain: heights From to To, both included, at most
// MaxPullItems of them.
type Range struct {
	Key          domain.PublicKey
	SigningEpoch uint32
	From, To     uint64
}

// Head is the newest observation of one chain.
type Head struct {
	Key          domain.PublicKey
	SigningEpoch uint32
	Height       uint64
	// Hash is the header's hash.
	Hash domain.Hash
}

// Nobody are the Handlers of whoever takes no part in gossip: nothing is judged, kept or passed on.
type Nobody struct{}

// ValidateTransactions implements Handlers.
func (Nobody) ValidateTransactions(context.Context, domain.PublicKey, [][]byte) Verdict {
	return Ignore
}

// ValidateObservation implements Handlers.
func (Nobody) ValidateObservation(context.Context, domain.PublicKey, []byte) Verdict { return Ignore }

// ValidatePeer implements Handlers.
func (Nobody) ValidatePeer(context.Context, domain.PublicKey, []byte) Verdict { return Ignore }

// ValidateEvidence implements Handlers.
func (Nobody) ValidateEvidence(context.Context, domain.PublicKey, []byte) Verdict { return Ignore }
