package gossip

import (
	"github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/proto/canonical"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// Limits of the wire, in bytes unless said (docs/spec/network.md).
const (
	// MaxBatch bounds a TransactionBatch, MaxBatchItems its transactions.
	MaxBatch      = 1 << 20
	MaxBatchItems = 1024
	// MaxTransaction bounds one Transaction.
	MaxTransaction = 256 << 10
	// MaxObservation bounds one Observation, and one ObservationRun.
	MaxObservation = 1 << 20
	// MaxPeer bounds one message of the topic peer.
	MaxPeer = 256 << 10
	// MaxEvidence bounds one Evidence: two bodies, two leaves and their framing.
	MaxEvidence = 512 << 10

	// MaxPullItems bounds the ids or heights that one request names.
	MaxPullItems = 256
	// MaxPullResponse bounds one answer with transactions or observations.
	MaxPullResponse = 4 << 20
	// MaxHeads bounds the chains in one answer with heads, maxHeadsResponse its bytes.
	MaxHeads         = 65536
	maxHeadsResponse = 8 << 20
	// maxSet bounds an answer about final transactions: 2048 ids with their tags, and 64 ranges.
	maxSet = 80 << 10
	// maxFinal bounds an answer with a final signature.
	maxFinal = 1 << 10
	// maxSnapshots bounds an answer with snapshots: two offers, and the links to their group.
	maxSnapshots = 280 << 10
	// maxRequest bounds any request: 256 ids of 34 bytes with their tags, and a flag.
	maxRequest = 10 << 10

	// maxRPC bounds one GossipSub RPC: the largest message, its topic, and room for the control
	// messages that ride along (1.25 MiB).
	maxRPC = 1<<20 + 256<<10
	// maxControl bounds the control part of an RPC: 5000 ids of 32 bytes with tags are 170 KB.
	maxControl = 192 << 10
)

var (
	batchSchema           = canonical.MustCompile(&notaryv1.TransactionBatch{}, MaxBatch)
	transactionsReqSchema = canonical.MustCompile(&notaryv1.PullTransactionsRequest{}, maxRequest)
	transactionsSchema    = canonical.MustCompile(&notaryv1.PullTransactionsResponse{}, MaxPullResponse)
	observationsReqSchema = canonical.MustCompile(&notaryv1.PullObservationsRequest{}, maxRequest)
	observationsSchema    = canonical.MustCompile(&notaryv1.PullObservationsResponse{}, MaxPullResponse)
	headsReqSchema        = canonical.MustCompile(&notaryv1.PullHeadsRequest{}, maxRequest)
	headsSchema           = canonical.MustCompile(&notaryv1.PullHeadsResponse{}, maxHeadsResponse)
	votesReqSchema        = canonical.MustCompile(&notaryv1.PullVotesRequest{}, maxRequest)
	finalReqSchema        = canonical.MustCompile(&notaryv1.PullFinalRequest{}, maxRequest)
	finalSchema           = canonical.MustCompile(&notaryv1.PullFinalResponse{}, maxFinal)
	setReqSchema          = canonical.MustCompile(&notaryv1.PullSetRequest{}, maxRequest)
	setSchema             = canonical.MustCompile(&notaryv1.PullSetResponse{}, maxSet)
	snapshotsReqSchema    = canonical.MustCompile(&notaryv1.PullSnapshotsRequest{}, maxRequest)
	snapshotsSchema       = canonical.MustCompile(&notaryv1.PullSnapshotsResponse{}, maxSnapshots)
	pieceReqSchema        = canonical.MustCompile(&notaryv1.PullPieceRequest{}, maxRequest)
	pieceSchema           = canonical.MustCompile(&notaryv1.PullPieceResponse{}, MaxPullResponse)
	hintSchema            = canonical.MustCompile(&notaryv1.FinalHint{}, maxHint)
)

// SetLimits are those of all nodes of a network in comparing what is final: a request fits maxRequest, and a reply
// maxSet. A session finds up to some hundred thousand ids.
var SetLimits = sync.Limits{Ranges: 64, IDs: 2048, Leaf: 32, Rounds: 4096, Bytes: 16 << 20}

// responseSchemas are those of the answers to each pull.
var responseSchemas = [numPulls]*canonical.Schema{
	pullTx: transactionsSchema, pullObs: observationsSchema, pullHeadsP: headsSchema, pullVotes: observationsSchema,
	pullFinal: finalSchema, pullSet: setSchema, pullSnapshots: snapshotsSchema, pullPiece: pieceSchema,
}
