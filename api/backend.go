package api

import (
	"context"
	"iter"
	"log/slog"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// Backends is what the services are made of. The fields down to Readiness are needed. Where one of those
// from Explainer to Simulator is nil, its methods answer UNIMPLEMENTED and are listed as not built.
//
// What holds for all of them: an error that a client should see is a *refusal.Error (perhaps
// wrapped); an error that also implements RetryAfter() time.Duration sets the RetryInfo; a context's
// error stands for itself; any other error is INTERNAL, its text goes to the log and never to the
// client. Every call returns soon after its context ends. All methods are called concurrently.
//
// A method that is given a Pay tells it what is read for the client, in bytes, of each record or of some, or before much is computed a number
// that stands for it: 64 KiB for a millisecond of a processor. It may wait, so nothing is locked meanwhile; an error from it is the method's.
type Backends struct {
	Submitter Submitter
	Reader    Reader
	Accounts  Accounts
	Watcher   Watcher
	Describer Describer
	Readiness Readiness

	Explainer Explainer
	Contests  Contests
	Archive   Archive
	Peers     Peers
	Evidence  Evidence
	Omissions Omissions
	Trust     Trust
	Simulator Simulator

	// Operator may be nil where no admin listener is served.
	Operator Operator
}

// Submitter takes transactions in.
type Submitter interface {
	// Submit hands over the exact bytes of a transaction and waits until it has reached level (NONE,
	// PENDING, ACCEPTED or FINAL, never UNSPECIFIED), is rejected, or ctx ends.
	//
	// The transaction is not withdrawn when ctx ends: Submit then returns the status as it stands and
	// ctx's error, and submitting the same bytes again waits on. Origin names the client for fairness
	// between clients (an IPv4 address, an IPv6 /64 prefix, or "local") and stands for no identity.
	//
	// A transaction that is refused is reported by an error that is a refusal, or by a status that is
	// REJECTED and carries its rejection; both mean the same to the API. The status may be nil beside
	// an error. One already final answers FINAL at once, whatever the level. Submit does not change the
	// bytes and may keep them; the status is the API's from then on and must not be changed afterwards.
	Submit(ctx context.Context, origin string, transaction []byte, level notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error)
	// Begin hands over as Submit does and waits for a place at most, or, with shed, for nothing: then the transaction
	// waits for its place, or is refused. Unless it returns an error, which is one that Submit
	// would return, ready is called once, from any goroutine, perhaps before Begin returns, when the wait is over; it
	// does not block. When ctx ends the wait may end too.
	Begin(ctx context.Context, origin string, transaction []byte, level notaryv1.WaitLevel, shed bool, ready func()) (Pending, error)
	// Validate checks a transaction as a vote would and changes nothing. The id is returned wherever the
	// bytes have one, also beside a refusal; it is zero otherwise.
	Validate(ctx context.Context, transaction []byte, pay Pay) (domain.Hash, error)
}

// Pending is a transaction that is waited for without a goroutine.
type Pending = interface {
	// Result is what Submit would return. It is asked for once, after ready was called.
	Result() (*notaryv1.TransactionStatus, error)
	// Status is where the transaction stands.
	Status(ctx context.Context) *notaryv1.TransactionStatus
	// Leave ends the wait, and ready will not be called; false says that it was called, or will be.
	Leave() bool
}

// Reader tells of single transactions.
type Reader interface {
	// Transaction returns what is known of a transaction and its exact bytes, which are nil where this
	// node does not hold them. An id never heard of is refused with NOT_FOUND.
	Transaction(ctx context.Context, id domain.Hash) (*notaryv1.TransactionStatus, []byte, error)
	// Proof returns the canonical AcceptanceProof of a final transaction, with the links from the group of
	// knownEpoch to the one that signed; from that of genesis where knownEpoch is 0 or later than the proof's.
	// NOT_FOUND and NOT_FINAL say why there is none.
	Proof(ctx context.Context, id domain.Hash, withTransaction bool, knownEpoch uint64) ([]byte, error)
	// CompactProof makes the canonical CompactProof of a final transaction, asking members of the group; links as
	// in Proof. NOT_FOUND and NOT_FINAL say why there is none; NOT_ENOUGH_WEIGHT that too few of them answered,
	// OVERLOADED that too many are being made.
	CompactProof(ctx context.Context, id domain.Hash, withTransaction bool, knownEpoch uint64, pay Pay) ([]byte, error)
}

// Accounts tells of live outputs by address. An address that cannot be read is refused with
// INVALID_ARGUMENT at field "address", a page token with INVALID_ARGUMENT at "page_token"; an address
// without outputs is no error.
type Accounts interface {
	// Unspent returns up to limit (1 to 1,000) live outputs from an opaque token on, and the token of
	// the next page, which is empty on the last one. The first page has the empty token.
	Unspent(ctx context.Context, address, pageToken string, limit int, pay Pay) ([]*notaryv1.UnspentOutput, string, error)
	// Balance returns sums by ascending product, the native coin first. An address may have outputs without number, which anybody may
	// give it: they are paid for as they are summed.
	Balance(ctx context.Context, address string, pay Pay) ([]*notaryv1.ProductBalance, error)
}

// Watcher follows changes. Its sequences are pulled: the next element is asked for when the client has
// room for it, so a slow client costs a parked goroutine and nothing else. A sequence therefore keeps
// no queue of its own; it reads a log from a position (acceptances, addresses) or the latest state (one
// transaction, where states in between may be skipped), waits at the end until ctx ends, and holds no
// lock while it yields. After an error it yields nothing more.
//
// Cursors are opaque to the API and at most 128 bytes of printable ASCII. An empty one starts with what
// comes next, "0" with the first that this node holds. One that cannot be read is INVALID_ARGUMENT at
// field "cursor"; one whose successor is no longer held is CURSOR_GAP.
type Watcher interface {
	// WatchTransaction yields the present status first, then changes, and ends after FINAL or REJECTED.
	WatchTransaction(ctx context.Context, id domain.Hash) iter.Seq2[*notaryv1.TransactionStatus, error]
	// WatchAcceptances yields every transaction that becomes final here, each with a cursor to resume
	// right after it, and with its proof where that was asked for, links as in Proof.
	WatchAcceptances(ctx context.Context, cursor string, withProofs bool, knownEpoch uint64, pay Pay) iter.Seq2[*notaryv1.WatchAcceptancesResponse, error]
	// WatchAddress yields every output of an address that is created or spent.
	WatchAddress(ctx context.Context, address, cursor string, pay Pay) iter.Seq2[*notaryv1.WatchAddressResponse, error]
}

// Describer tells of the network and this node.
type Describer interface {
	Network(ctx context.Context) (*notaryv1.GetNetworkResponse, error)
}

// Explainer tells why things are as they are, and where.
type Explainer interface {
	// Explain returns the status of a transaction with the votes on it, its rivals, who has not voted, and
	// an account in sentences. An id that nothing is known of is refused with NOT_FOUND.
	Explain(ctx context.Context, id domain.Hash, pay Pay) (*notaryv1.ExplainTransactionResponse, error)
	// Search finds what a text of 1 to 256 bytes of printable ASCII may mean; nothing found is no error.
	Search(ctx context.Context, query string) ([]*notaryv1.SearchHit, error)
}

// Lists page as those of Accounts do: up to limit (1 to 1,000) entries from an opaque token on, and the
// token of the next page, which is empty on the last one. A token that cannot be read is refused with
// INVALID_ARGUMENT at "page_token".

// Contests tells of double spends and of how they were settled.
type Contests interface {
	Contests(ctx context.Context, pageToken string, limit int, pay Pay) ([]*notaryv1.ContestSummary, string, error)
	// Contest is the one that a transaction is or was in; NOT_FOUND where it is known to be in none.
	Contest(ctx context.Context, transaction domain.Hash, pay Pay) (*notaryv1.GetContestResponse, error)
}

// Archive tells of what this node holds.
//
// Entries of its lists are far shorter than what is read for them. spend is told the bytes of each record that was read, and
// says whether the client may have more read; where it may not, the page ends, however short it is.
type Archive interface {
	// Finals lists what is final here, newest first.
	Finals(ctx context.Context, pageToken string, limit int, spend func(bytes int) bool) ([]*notaryv1.TransactionStatus, string, error)
	// Observations lists what a node key signed, newest first. Pages may be smaller than limit.
	Observations(ctx context.Context, key domain.PublicKey, pageToken string, limit int, spend func(bytes int) bool) ([]*notaryv1.ObservationSummary, string, error)
	// Observation is one of them; height 0 is the newest.
	Observation(ctx context.Context, key domain.PublicKey, signingEpoch uint32, height uint64) (*notaryv1.GetObservationResponse, error)
	Stats(ctx context.Context, pay Pay) (*notaryv1.GetStatsResponse, error)
}

// Peers tells of the members of the group.
type Peers interface {
	Peers(ctx context.Context, pageToken string, limit int) ([]*notaryv1.PeerSummary, string, error)
	Peer(ctx context.Context, id domain.Hash) (*notaryv1.PeerSummary, error)
}

// Evidence tells who broke a rule of voting.
type Evidence interface {
	// Evidence lists evidence that was checked, each the exact canonical bytes. One piece has up to half a
	// megabyte: pages may be smaller than limit.
	Evidence(ctx context.Context, pageToken string, limit int) (raws [][]byte, next string, err error)
}

// Omissions tells who kept silent about what they knew.
type Omissions interface {
	// Omissions are canonical reports, newest first, a few hundred kilobytes in all at most.
	Omissions(ctx context.Context) ([][]byte, error)
}

// Trust tells whom this node and others trust, and has the operator say whom this node's peer trusts.
type Trust interface {
	// Trust is what a peer trusts, the most trusted first; a zero viewer is this node's. With explain, it is
	// that peer's part alone, and an account of how it came about.
	Trust(ctx context.Context, viewer, explain domain.Hash, pay Pay) (*notaryv1.GetTrustResponse, error)
	// Margin says how far the present group is from harm.
	Margin(ctx context.Context, pay Pay) (*notaryv1.GetTrustMarginResponse, error)
	// SetTrustLabel and RemoveTrustLabel return when the label, or its end, is final. NOT_FOUND where this
	// node cannot speak for its peer.
	SetTrustLabel(ctx context.Context, peer domain.Hash, score int32) error
	RemoveTrustLabel(ctx context.Context, peer domain.Hash) error
}

// Readiness says whether this node can serve.
type Readiness interface {
	// Ready returns what is in the way, one short sentence each ("replaying 120 votes"), none when ready,
	// and a channel that is closed as soon as the answer may have changed.
	Ready() (problems []string, changed <-chan struct{})
}

// Operator is what the admin service can do to the running process.
type Operator interface {
	// Drain refuses new transactions with SHUTTING_DOWN and waits for those in flight or for ctx; it
	// returns how many were still in flight then. Running out of time is no error.
	Drain(ctx context.Context) (inFlight uint64, err error)
	// Backup copies the store to a directory that does not exist yet and returns the size in bytes.
	Backup(ctx context.Context, dir string) (bytes uint64, err error)
	// Prune drops what is older than an age in milliseconds, but for the proofs of some addresses.
	Prune(ctx context.Context, olderThanMS uint64, keep []string) (*notaryv1.PruneResponse, error)
	// Stop asks the process to drain and end, and returns at once.
	Stop()
	// SetLogLevel sets the level and returns the one before.
	SetLogLevel(level slog.Level) slog.Level
}
