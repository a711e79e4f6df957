package refusal

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

const (
	closed  = notaryv1.Reason_REASON_WINDOW_CLOSED
	unknown = notaryv1.Reason_REASON_UNKNOWN_OUTPOINT
)

func TestErrorText(t *testing.T) {
	for want, e := range map[string]*Error{
		"WINDOW_CLOSED":                    {Reason: closed},
		"WINDOW_CLOSED at valid_until_ms":  {Reason: closed, Field: "valid_until_ms"},
		"WINDOW_CLOSED: too late":          {Reason: closed, Detail: "too late"},
		"WINDOW_CLOSED at inputs[2]: by 5": New(closed, "inputs[2]", "by %d", 5),
	} {
		if got := e.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestNames: every reason has a name of its own, without the prefix.
func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for number := range notaryv1.Reason_name {
		name := Name(notaryv1.Reason(number))
		if name == "" || seen[name] || strings.HasPrefix(name, "REASON_") || name != strings.ToUpper(name) {
			t.Errorf("reason %d is called %q", number, name)
		}
		seen[name] = true
	}
}

func TestIsAndReasonOf(t *testing.T) {
	e := New(closed, "f", "detail")
	wrapped := fmt.Errorf("while testing: %w", e)
	for _, err := range []error{e, wrapped, errors.Join(io.EOF, wrapped)} {
		if !errors.Is(err, Because(closed)) || errors.Is(err, Because(unknown)) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v: wrong kind", err)
		}
		if got := ReasonOf(err); got != closed {
			t.Errorf("%v: %v", err, got)
		}
	}
	for _, err := range []error{nil, io.EOF} {
		if ReasonOf(err) != notaryv1.Reason_REASON_UNSPECIFIED {
			t.Errorf("%v has a reason", err)
		}
	}
}

func TestUnder(t *testing.T) {
	for _, c := range []struct{ prefix, field, want string }{
		{"inputs[2]", "outpoint", "inputs[2].outpoint"},
		{"inputs[2]", "", "inputs[2]"},
		{"a", "b[0].c", "a.b[0].c"},
	} {
		inner := New(unknown, c.field, "detail")
		for _, err := range []error{inner, fmt.Errorf("wrapped: %w", inner)} {
			var e *Error
			if !errors.As(Under(c.prefix, err), &e) || e.Field != c.want || e.Reason != unknown || e.Detail != "detail" {
				t.Errorf("%q under %q: %+v", c.field, c.prefix, e)
			}
		}
		if inner.Field != c.field {
			t.Error("the error under it was changed")
		}
	}
	if err := Under("a", io.EOF); err != io.EOF {
		t.Errorf("%v is no refusal, yet was changed", err)
	}
	if err := Under("a", nil); err != nil {
		t.Errorf("nothing became %v", err)
	}
}
