package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// errorDomain is the domain of every ErrorInfo that a notary makes.
const errorDomain = "notary.v1"

// Error is a node's answer that is no success. Where the node gave a reason, the error is also a
// *refusal.Error for errors.As, and errors.Is finds it by reason.
type Error struct {
	// Code is the gRPC code: Unavailable where the node was out of reach.
	Code codes.Code
	// Reason is stable; UNSPECIFIED where the failure is none of a notary's (the network's, a proxy's).
	Reason notaryv1.Reason
	// Field is the path of the field at fault, such as "inputs[2].outpoint"; may be empty.
	Field string
	// Detail is for people, never to be parsed.
	Detail string
	// RetryAfter is when the node wants to be asked again; 0 where it said nothing.
	RetryAfter time.Duration
	// Status is the transaction in question as the node sees it, where the node said so.
	Status *notaryv1.TransactionStatus
}

// Error implements error.
func (e *Error) Error() string {
	if e.Reason == notaryv1.Reason_REASON_UNSPECIFIED {
		return fmt.Sprintf("%s: %s", e.Code, e.Detail)
	}
	return e.refusal().Error()
}

// Unwrap makes a reason comparable: errors.Is(err, refusal.Because(reason)).
func (e *Error) Unwrap() error {
	if e.Reason == notaryv1.Reason_REASON_UNSPECIFIED {
		return nil
	}
	return e.refusal()
}

func (e *Error) refusal() *refusal.Error {
	return &refusal.Error{Reason: e.Reason, Field: e.Field, Detail: e.Detail}
}

// Temporary reports whether the same request may succeed later without anything being changed.
func (e *Error) Temporary() bool {
	return e.Code == codes.Unavailable || e.Code == codes.ResourceExhausted
}

// RejectedError says that a node calls a transaction rejected: it will never be final, if the node is right.
type RejectedError struct {
	ID     domain.Hash
	Reason notaryv1.Reason
	Field  string
	Detail string
}

// Error implements error.
func (e *RejectedError) Error() string {
	return fmt.Sprintf("transaction %s is rejected: %v", e.ID, e.Unwrap())
}

// Unwrap makes the reason comparable, as for Error.
func (e *RejectedError) Unwrap() error {
	return &refusal.Error{Reason: e.Reason, Field: e.Field, Detail: e.Detail}
}

// FromStatus turns what a bare gRPC service returned (API, Explorer, an operator's socket) into the errors of
// this package.
func FromStatus(ctx context.Context, err error) error { return fromStatus(ctx, err) }

// fromStatus turns what grpc returns into an *Error, or into the context's own error where that is
// what ended the call here.
func fromStatus(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	e := &Error{Code: st.Code(), Detail: st.Message()}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.Domain == errorDomain {
				e.Reason = notaryv1.Reason(notaryv1.Reason_value["REASON_"+d.Reason])
			}
		case *errdetails.BadRequest:
			if v := d.GetFieldViolations(); len(v) > 0 {
				e.Field, e.Detail = v[0].GetField(), v[0].GetDescription()
			}
		case *errdetails.RetryInfo:
			if d.GetRetryDelay() != nil {
				e.RetryAfter = d.GetRetryDelay().AsDuration()
			}
		case *notaryv1.TransactionStatus:
			e.Status = d
		}
	}
	if e.Reason != notaryv1.Reason_REASON_UNSPECIFIED {
		return e
	}
	_, bounded := ctx.Deadline()
	switch {
	case e.Code == codes.DeadlineExceeded && bounded:
		// The other side may notice a moment before ctx does.
		return context.DeadlineExceeded
	case e.Code == codes.Canceled && ctx.Err() != nil:
		return ctx.Err()
	}
	return e
}

// CodeOf is the gRPC code of an error of this package, Unknown for any other and OK for nil.
func CodeOf(err error) codes.Code {
	var e *Error
	switch {
	case err == nil:
		return codes.OK
	case errors.As(err, &e):
		return e.Code
	default:
		return codes.Unknown
	}
}
