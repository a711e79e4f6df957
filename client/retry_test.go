package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

func TestPause(t *testing.T) {
	r := Retry{Attempts: 9, Base: 100 * time.Millisecond, Max: time.Second, Patience: time.Minute}
	for _, tt := range []struct {
		n      int
		asked  time.Duration
		random float64
		want   time.Duration
	}{
		{1, 0, 0, 50 * time.Millisecond},
		{1, 0, 0.5, 75 * time.Millisecond},
		{2, 0, 0, 100 * time.Millisecond},
		{4, 0, 0, 400 * time.Millisecond},
		{5, 0, 0, 500 * time.Millisecond}, // capped
		{1000, 0, 0, 500 * time.Millisecond},
		{1, 3 * time.Second, 0, 3 * time.Second},
		{1, time.Millisecond, 0, 50 * time.Millisecond},
	} {
		if got := r.pause(tt.n, tt.asked, tt.random); got != tt.want {
			t.Errorf("pause(%d, %v, %v) = %v, want %v", tt.n, tt.asked, tt.random, got, tt.want)
		}
	}
}

func TestPauseBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Retry{Attempts: 1, Base: time.Duration(rapid.Int64Range(1, 1<<40).Draw(t, "base"))}
		r.Max = r.Base + time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "more"))
		asked := time.Duration(rapid.Int64Range(0, 1<<42).Draw(t, "asked"))
		got := r.pause(rapid.IntRange(1, 200).Draw(t, "n"), asked, rapid.Float64Range(0, 0.999).Draw(t, "random"))
		if got < asked || got > max(asked, r.Max) || got < r.Base/2 {
			t.Fatalf("%v with %+v, asked for %v", got, r, asked)
		}
	})
}

func TestRetryValidate(t *testing.T) {
	if err := DefaultRetry.Validate(); err != nil {
		t.Error(err)
	}
	for _, r := range []Retry{
		{},
		{Attempts: 1},
		{Attempts: 1, Base: 2, Max: 1},
		{Attempts: 1, Base: 1, Max: 1, Patience: -1},
	} {
		if r.Validate() == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}

func detailed(code codes.Code, reason string, pause time.Duration) error {
	st, err := status.New(code, "text that nobody may match").WithDetails(
		&errdetails.ErrorInfo{Domain: "notary.v1", Reason: reason},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "inputs[2].outpoint"}}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(pause)},
	)
	if err != nil {
		panic(err)
	}
	return st.Err()
}

func TestFromStatus(t *testing.T) {
	ctx := t.Context()
	var e *Error
	err := fromStatus(ctx, detailed(codes.AlreadyExists, "OUTPOINT_SPENT", time.Second))
	if !errors.As(err, &e) || e.Code != codes.AlreadyExists || e.Field != "inputs[2].outpoint" || e.RetryAfter != time.Second {
		t.Errorf("got %+v", err)
	}
	if !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_OUTPOINT_SPENT)) || errors.Is(err, refusal.Because(notaryv1.Reason_REASON_DOUBLE_SPEND)) {
		t.Errorf("reason of %v", err)
	}
	var r *refusal.Error
	if !errors.As(err, &r) || r.Field != "inputs[2].outpoint" {
		t.Errorf("refusal of %v", err)
	}
	// Someone else's ErrorInfo is none of ours.
	foreign, err := status.New(codes.Unavailable, "x").WithDetails(&errdetails.ErrorInfo{Domain: "proxy", Reason: "OUTPOINT_SPENT"})
	if err != nil {
		t.Fatal(err)
	}
	if err := fromStatus(ctx, foreign.Err()); refusal.ReasonOf(err) != notaryv1.Reason_REASON_UNSPECIFIED || CodeOf(err) != codes.Unavailable {
		t.Errorf("foreign: %v", err)
	}
	// A reason newer than this client is no reason to it.
	if err := fromStatus(ctx, detailed(codes.Internal, "FROM_THE_FUTURE", 0)); refusal.ReasonOf(err) != notaryv1.Reason_REASON_UNSPECIFIED {
		t.Errorf("future: %v", err)
	}
	if fromStatus(ctx, nil) != nil {
		t.Error("success became an error")
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := fromStatus(ended, status.FromContextError(ended.Err()).Err()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled here: %v", err)
	}
	late, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	if err := fromStatus(late, status.Error(codes.DeadlineExceeded, "a moment early")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	if err := fromStatus(ctx, status.Error(codes.DeadlineExceeded, "no deadline of ours")); errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline of others: %v", err)
	}
	if err := fromStatus(ctx, status.Error(codes.Canceled, "by the server")); errors.Is(err, context.Canceled) {
		t.Errorf("cancelled there: %v", err)
	}
}

func TestDo(t *testing.T) {
	quick := Retry{Attempts: 4, Base: time.Nanosecond, Max: time.Nanosecond, Patience: time.Second}
	unavailable := status.Error(codes.Unavailable, "down")
	for name, tt := range map[string]struct {
		errs  []error
		calls int
		code  codes.Code
	}{
		"at once":           {nil, 1, codes.OK},
		"third time":        {[]error{unavailable, detailed(codes.ResourceExhausted, "OVERLOADED", 0)}, 3, codes.OK},
		"never":             {[]error{unavailable, unavailable, unavailable, unavailable, unavailable}, 4, codes.Unavailable},
		"refused":           {[]error{detailed(codes.InvalidArgument, "MALFORMED", 0)}, 1, codes.InvalidArgument},
		"deadline":          {[]error{status.Error(codes.DeadlineExceeded, "x")}, 1, codes.DeadlineExceeded},
		"asks for too long": {[]error{detailed(codes.ResourceExhausted, "STORE_FULL", time.Minute)}, 1, codes.ResourceExhausted},
	} {
		calls := 0
		err := quick.do(t.Context(), func(context.Context) error {
			calls++
			if calls <= len(tt.errs) {
				return tt.errs[calls-1]
			}
			return nil
		})
		if calls != tt.calls || CodeOf(err) != tt.code {
			t.Errorf("%s: %d calls, %v; want %d, %v", name, calls, err, tt.calls, tt.code)
		}
	}
}

// A pause that the deadline would cut short is not begun: the caller learns the cause at once.
func TestDoKeepsDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	r := Retry{Attempts: 3, Base: 1, Max: 1, Patience: 100 * time.Hour}
	calls := 0
	err := r.do(ctx, func(context.Context) error {
		calls++
		return detailed(codes.ResourceExhausted, "RATE_LIMITED", 2*time.Hour)
	})
	if calls != 1 || !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_RATE_LIMITED)) {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestRefused(t *testing.T) {
	ctx := t.Context()
	for reason, want := range map[string]bool{
		"OUTPOINT_SPENT": true, "BAD_SIGNATURE": true, "TOO_LARGE": true, "DOUBLE_SPEND": true, "WINDOW_CLOSED": true,
		"UNKNOWN_OUTPOINT": false, "FEE_TOO_LOW": false, "TOO_MANY_RIVALS": false, "LOCK_NOT_OPEN": false, "WINDOW_NOT_OPEN": false,
		"WAIT_EXPIRED": false, "INTERNAL": false, "OVERLOADED": false, "SHUTTING_DOWN": false, "NOT_ENOUGH_WEIGHT": false, "UNHEARD_OF": false,
	} {
		if got := Refused(fromStatus(ctx, detailed(codes.FailedPrecondition, reason, 0))); got != want {
			t.Errorf("%s: %v, want %v", reason, got, want)
		}
	}
	if !Refused(&RejectedError{}) || Refused(nil) || Refused(context.Canceled) {
		t.Error("rejected, nil or cancelled")
	}
}
