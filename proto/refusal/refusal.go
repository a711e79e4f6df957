// Package refusal is the one shape in which every package says no: a stable reason, the field at
// fault, and a sentence for people. At the API it becomes a google.rpc.Status with an ErrorInfo.
package refusal

import (
	"errors"
	"fmt"
	"strings"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// Error is a refusal. Compare with errors.Is against a Reason from Because, never by its text.
type Error struct {
	// Reason is stable across versions.
	Reason notaryv1.Reason
	// Field is the path of the field at fault, such as "inputs[2].outpoint"; may be empty.
	Field string
	// Detail is for people.
	Detail string
}

// New returns a refusal; format and args make its detail.
func New(reason notaryv1.Reason, field, format string, args ...any) *Error {
	return &Error{Reason: reason, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// Because returns the bare kind of a reason, as a target for errors.Is.
func Because(reason notaryv1.Reason) error { return &Error{Reason: reason} }

// Name is the reason without its prefix, as it stands in ErrorInfo.
func Name(reason notaryv1.Reason) string { return strings.TrimPrefix(reason.String(), "REASON_") }

// Error implements error.
func (e *Error) Error() string {
	s := Name(e.Reason)
	if e.Field != "" {
		s += " at " + e.Field
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Is reports whether target is a refusal for the same reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

// Under returns err with its field placed below prefix, where err is a refusal.
func Under(prefix string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	field := prefix
	if e.Field != "" {
		field += "." + e.Field
	}
	return &Error{Reason: e.Reason, Field: field, Detail: e.Detail}
}

// ReasonOf returns the reason of err, or UNSPECIFIED where err is no refusal.
func ReasonOf(err error) notaryv1.Reason {
	if err == nil {
		return notaryv1.Reason_REASON_UNSPECIFIED
	}
	if e, ok := err.(*Error); ok { // as nearly all are; what follows allocates
		return e.Reason
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return notaryv1.Reason_REASON_UNSPECIFIED
}
