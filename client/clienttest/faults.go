package clienttest

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Faults are what the network does wrong. The zero value does nothing wrong.
type Faults struct {
	// Stuck keeps transactions at PENDING: no quorum comes together.
	Stuck bool
	// Silent nodes do not vote; with two of four, proofs are too weak.
	Silent int
	// Reject rejects every transaction that is waited for or watched, for this reason, which is a lie: no rival is
	// final, and none is shown.
	Reject notaryv1.Reason
	// Explain changes the answer of ExplainTransaction.
	Explain func(*notaryv1.ExplainTransactionResponse)
	// OwnWeight and OwnThreshold are the node's own trust behind what becomes final, and what it should be: a
	// transaction is held where it is less.
	OwnWeight, OwnThreshold uint64
	// Proof changes the encoding of every proof that is given out.
	Proof func([]byte) []byte
	// Transaction changes the answer of GetTransaction.
	Transaction func(*notaryv1.GetTransactionResponse)
	// Unspent changes every page of ListUnspent.
	Unspent func(*notaryv1.ListUnspentResponse)
	// Network changes the answer of GetNetwork.
	Network func(*notaryv1.GetNetworkResponse)
	// Failures are returned by the next calls, one each, in place of an answer.
	Failures []error
}

// Set replaces the faults.
func (n *Network) Set(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

func (n *Network) signers() int { return Nodes - n.faults.Silent }

// Overloaded is the error of a node that has too much to do, asking for a pause.
func Overloaded(pause time.Duration) error {
	return asStatus(codes.ResourceExhausted, refusal.New(notaryv1.Reason_REASON_OVERLOADED, "", "too busy"), pause, nil)
}

// Refusal is the error of a node that refuses a call for a reason.
func Refusal(reason notaryv1.Reason, detail string) error {
	return refuse(refusal.New(reason, "", "%s", detail), nil)
}

// Down is the error of a node that cannot be reached.
func Down() error { return status.Error(codes.Unavailable, "connection refused") }

// codesOf are the gRPC codes of reasons where it is not that of a bad or untimely request.
var codesOf = map[notaryv1.Reason]codes.Code{
	notaryv1.Reason_REASON_NOT_FOUND:        codes.NotFound,
	notaryv1.Reason_REASON_NOT_FINAL:        codes.FailedPrecondition,
	notaryv1.Reason_REASON_UNKNOWN_OUTPOINT: codes.FailedPrecondition,
	notaryv1.Reason_REASON_LOCK_NOT_OPEN:    codes.FailedPrecondition,
	notaryv1.Reason_REASON_WINDOW_NOT_OPEN:  codes.FailedPrecondition,
	notaryv1.Reason_REASON_WINDOW_CLOSED:    codes.FailedPrecondition,
	notaryv1.Reason_REASON_OUTPOINT_SPENT:   codes.AlreadyExists,
	notaryv1.Reason_REASON_DOUBLE_SPEND:     codes.AlreadyExists,
	notaryv1.Reason_REASON_WAIT_EXPIRED:     codes.DeadlineExceeded,
	notaryv1.Reason_REASON_CURSOR_GAP:       codes.OutOfRange,
}

// refuse turns a refusal into what goes over the wire.
func refuse(err error, s *notaryv1.TransactionStatus) error {
	var r *refusal.Error
	if !errors.As(err, &r) {
		return err
	}
	code, ok := codesOf[r.Reason]
	if !ok {
		code = codes.InvalidArgument
	}
	return asStatus(code, r, 0, s)
}

func asStatus(code codes.Code, r *refusal.Error, pause time.Duration, s *notaryv1.TransactionStatus) error {
	st := status.New(code, strings.TrimPrefix(r.Field+": "+r.Detail, ": "))
	st, err := st.WithDetails(&errdetails.ErrorInfo{Reason: refusal.Name(r.Reason), Domain: "notary.v1"})
	if err == nil && r.Field != "" {
		st, err = st.WithDetails(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: r.Field, Description: r.Detail}}})
	}
	if err == nil && pause > 0 {
		st, err = st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(pause)})
	}
	if err == nil && s != nil {
		st, err = st.WithDetails(s)
	}
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return st.Err()
}

// enter counts a call and returns the failure that is due, if any.
func (n *Network) enter(method string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls[path.Base(method)]++
	if len(n.faults.Failures) == 0 {
		return nil
	}
	err := n.faults.Failures[0]
	n.faults.Failures = slices.Clone(n.faults.Failures[1:])
	return err
}

func (n *Network) guardUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := n.enter(info.FullMethod); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (n *Network) guardStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := n.enter(info.FullMethod); err != nil {
		return err
	}
	return handler(srv, stream)
}

// WaitExpired is the error of a node whose own bound on waits passed.
func WaitExpired() error {
	return asStatus(codes.DeadlineExceeded, refusal.New(notaryv1.Reason_REASON_WAIT_EXPIRED, "", "not FINAL yet"), time.Millisecond, nil)
}
