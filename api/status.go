package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Domain is the domain of every ErrorInfo.
const Domain = "notary.v1"

// errStopping is the cause with which calls are cancelled when the server stops.
var errStopping = refusal.New(notaryv1.Reason_REASON_SHUTTING_DOWN, "", "this node is shutting down")

// delayed is an error that knows when trying again makes sense.
type delayed struct {
	error
	after time.Duration
}

func (d delayed) Unwrap() error             { return d.error }
func (d delayed) RetryAfter() time.Duration { return d.after }

// withStatus is an error beside which the status of the transaction is known.
type withStatus struct {
	error
	status *notaryv1.TransactionStatus
}

func (w withStatus) Unwrap() error { return w.error }

// rejectionError is a rejection as an error.
func rejectionError(r *notaryv1.Rejection) error {
	err := error(refusal.New(r.GetReason(), r.GetField(), "%s", r.GetDetail()))
	if ms := r.GetRetryAfterMs(); ms > 0 {
		err = delayed{err, milliseconds(ms)}
	}
	return err
}

// milliseconds is a duration from the wire, capped where it would not fit.
func milliseconds(ms uint64) time.Duration {
	return time.Duration(min(ms, uint64(24*time.Hour/time.Millisecond))) * time.Millisecond
}

// refused finds the refusal in an error, or makes one for what is none. The text of an error that is
// neither a refusal nor a context's never leaves the node. Text may hold what a client sent: it is made
// valid UTF-8, without which protobuf cannot carry it.
func refused(err error) *refusal.Error {
	var r *refusal.Error
	switch {
	case errors.As(err, &r):
		return &refusal.Error{Reason: r.Reason, Field: valid(r.Field), Detail: valid(r.Detail)}
	case errors.Is(err, context.DeadlineExceeded):
		return refusal.New(notaryv1.Reason_REASON_WAIT_EXPIRED, "", "the deadline passed")
	case errors.Is(err, context.Canceled):
		return refusal.New(notaryv1.Reason_REASON_WAIT_EXPIRED, "", "the call was cancelled")
	default:
		return refusal.New(notaryv1.Reason_REASON_INTERNAL, "", "internal error; the node's log has the cause")
	}
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// retryAfter is when trying again makes sense, or 0 for never.
func retryAfter(err error, v verdict) time.Duration {
	var d interface{ RetryAfter() time.Duration }
	if errors.As(err, &d) && d.RetryAfter() > 0 {
		return d.RetryAfter()
	}
	return v.retry
}

// rejectionOf is an error as a Rejection, for answers that carry one instead of failing.
func rejectionOf(err error) (*notaryv1.Rejection, verdict) {
	r := refused(err)
	reason, v := verdictOf(r.Reason)
	return &notaryv1.Rejection{
		Reason: reason, Field: r.Field, Detail: r.Detail,
		RetryAfterMs: uint64(retryAfter(err, v).Milliseconds()),
	}, v
}

// toStatus is the one place where an error becomes a google.rpc.Status: ErrorInfo always, BadRequest
// where a field is at fault, RetryInfo where trying again makes sense, the TransactionStatus where it is
// known. The call's id goes into the metadata of ErrorInfo, so that a report leads to the log line.
func toStatus(err error, call string) *status.Status {
	if err == nil {
		return nil
	}
	if s, ok := grpcStatus(err); ok {
		return decorate(s, call)
	}
	r := refused(err)
	reason, v := verdictOf(r.Reason)
	code := v.code
	if errors.Is(err, context.Canceled) {
		code = codes.Canceled
	}
	message := refusal.Name(reason)
	if r.Detail != "" {
		message = r.Detail
	}
	details := []protoadapt.MessageV1{errorInfo(reason, call)}
	if r.Field != "" {
		details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: r.Field, Description: message, Reason: refusal.Name(reason)},
		}})
		message = r.Field + ": " + message
	}
	if d := retryAfter(err, v); d > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
	}
	var w withStatus
	if errors.As(err, &w) && w.status != nil {
		details = append(details, protoadapt.MessageV1Of(w.status))
	}
	return withDetails(status.New(code, message), details)
}

// decorate adds an ErrorInfo to a status that gRPC or the gateway made.
func decorate(s *status.Status, call string) *status.Status {
	if s.Code() == codes.OK || infoOf(s) != nil {
		return s
	}
	p := s.Proto()
	p.Message = valid(p.Message)
	s = status.FromProto(p)
	reason := reasonOfCode(s.Code())
	details := []protoadapt.MessageV1{errorInfo(reason, call)}
	if v := verdicts[reason]; v.retry > 0 && v.code == s.Code() {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(v.retry)})
	}
	return withDetails(s, details)
}

func errorInfo(reason notaryv1.Reason, call string) *errdetails.ErrorInfo {
	info := &errdetails.ErrorInfo{Reason: refusal.Name(reason), Domain: Domain}
	if call != "" {
		info.Metadata = map[string]string{"call": call}
	}
	return info
}

// withDetails adds details, the first of which is an ErrorInfo. Should one of the others not encode (text
// of a backend that is not UTF-8), the reason still arrives.
func withDetails(s *status.Status, details []protoadapt.MessageV1) *status.Status {
	if full, err := s.WithDetails(details...); err == nil {
		return full
	}
	bare, err := s.WithDetails(details[0])
	if err != nil { // our own ErrorInfo on a status that is not OK always encodes
		panic(err)
	}
	return bare
}

// infoOf finds the ErrorInfo of this API in a status.
func infoOf(s *status.Status) *errdetails.ErrorInfo {
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info
		}
	}
	return nil
}

// grpcStatus finds a status in an error.
func grpcStatus(err error) (*status.Status, bool) {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus(), true
	}
	return nil, false
}
