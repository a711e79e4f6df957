package api

import (
	"time"

	"google.golang.org/grpc/codes"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// verdict is how the API answers one reason.
type verdict struct {
	code codes.Code
	// of says what the reason is about.
	of subject
	// retry is when trying again makes sense where nothing better is known; 0 for never.
	retry time.Duration
}

// subject is what a reason speaks of.
type subject uint8

const (
	// forever: these bytes are refused now and always.
	forever subject = iota + 1
	// notYet: the transaction may pass later.
	notYet
	// policy: this node does not want the transaction; another one might.
	policy
	// service: the call, not the transaction.
	service
)

// rejected reports whether the reason ends the transaction: its state is REJECTED.
func (v verdict) rejected() bool { return v.of == forever }

// aboutTransaction reports whether the reason answers the question if a transaction is valid.
func (v verdict) aboutTransaction() bool { return v.of != service }

// verdicts has an entry for every reason. INVALID_ARGUMENT stands for what is wrong by itself or
// against outputs that never change, FAILED_PRECONDITION for what the present state or policy is in the
// way of, ALREADY_EXISTS for an outpoint that another transaction has consumed.
var verdicts = map[notaryv1.Reason]verdict{
	notaryv1.Reason_REASON_TOO_LARGE:      {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_MALFORMED:      {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_NON_CANONICAL:  {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_LIMIT_EXCEEDED: {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_WRONG_NETWORK:  {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_MISSING_FIELD:  {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_UNKNOWN_KIND:   {codes.InvalidArgument, forever, 0},

	notaryv1.Reason_REASON_NO_SPEND:           {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_NO_OUTPUT:          {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_DUPLICATE_OUTPOINT: {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_INVALID_WINDOW:     {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_ZERO_AMOUNT:        {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_AMOUNT_OVERFLOW:    {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_INVALID_OUTPUT:     {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_INVALID_LOCK:       {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_INVALID_WITNESS:    {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_DUPLICATE_WITNESS:  {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_INVALID_PEER:       {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_INVALID_LINK:       {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_WORK_TOO_LOW:       {codes.InvalidArgument, forever, 0},

	notaryv1.Reason_REASON_WINDOW_NOT_OPEN:      {codes.FailedPrecondition, notYet, time.Second},
	notaryv1.Reason_REASON_WINDOW_CLOSED:        {codes.FailedPrecondition, forever, 0},
	notaryv1.Reason_REASON_UNKNOWN_OUTPOINT:     {codes.FailedPrecondition, notYet, time.Second},
	notaryv1.Reason_REASON_OUTPOINT_SPENT:       {codes.AlreadyExists, forever, 0},
	notaryv1.Reason_REASON_LOCK_NOT_OPEN:        {codes.FailedPrecondition, notYet, time.Second},
	notaryv1.Reason_REASON_MISSING_WITNESS:      {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_UNUSED_WITNESS:       {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_COUNTERPARTY_MISSING: {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_UNKNOWN_PRODUCT:      {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_UNBALANCED:           {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_WRONG_PREIMAGE:       {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_BAD_SIGNATURE:        {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_RESERVED_OUTPUT:      {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_FEE_TOO_LOW:          {codes.FailedPrecondition, policy, 0},
	notaryv1.Reason_REASON_DOUBLE_SPEND:         {codes.AlreadyExists, forever, 0},
	notaryv1.Reason_REASON_TOO_MANY_RIVALS:      {codes.FailedPrecondition, policy, 0},
	notaryv1.Reason_REASON_STALE_CUT:            {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_WRONG_GROUP:          {codes.InvalidArgument, forever, 0},
	notaryv1.Reason_REASON_UNKNOWN_EVIDENCE:     {codes.FailedPrecondition, notYet, time.Second},

	notaryv1.Reason_REASON_INVALID_ARGUMENT:  {codes.InvalidArgument, service, 0},
	notaryv1.Reason_REASON_NOT_FOUND:         {codes.NotFound, service, 0},
	notaryv1.Reason_REASON_NOT_FINAL:         {codes.FailedPrecondition, service, time.Second},
	notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT: {codes.FailedPrecondition, service, 5 * time.Second},
	notaryv1.Reason_REASON_RATE_LIMITED:      {codes.ResourceExhausted, service, time.Second},
	notaryv1.Reason_REASON_OVERLOADED:        {codes.ResourceExhausted, service, time.Second},
	notaryv1.Reason_REASON_SHUTTING_DOWN:     {codes.Unavailable, service, 2 * time.Second},
	notaryv1.Reason_REASON_UNIMPLEMENTED:     {codes.Unimplemented, service, 0},
	notaryv1.Reason_REASON_CURSOR_GAP:        {codes.OutOfRange, service, 0},
	notaryv1.Reason_REASON_INTERNAL:          {codes.Internal, service, 0},
	notaryv1.Reason_REASON_WAIT_EXPIRED:      {codes.DeadlineExceeded, service, time.Millisecond},
	notaryv1.Reason_REASON_UNAUTHENTICATED:   {codes.Unauthenticated, service, 0},
	notaryv1.Reason_REASON_STORE_FULL:        {codes.ResourceExhausted, service, time.Minute},
}

// verdictOf is the entry of a reason; one that is unknown or unspecified counts as INTERNAL.
func verdictOf(reason notaryv1.Reason) (notaryv1.Reason, verdict) {
	if v, ok := verdicts[reason]; ok {
		return reason, v
	}
	return notaryv1.Reason_REASON_INTERNAL, verdicts[notaryv1.Reason_REASON_INTERNAL]
}

// reasonOfCode is the reason for an error that gRPC itself or the gateway made, which has none.
func reasonOfCode(code codes.Code) notaryv1.Reason {
	switch code {
	case codes.InvalidArgument, codes.OutOfRange, codes.FailedPrecondition:
		return notaryv1.Reason_REASON_INVALID_ARGUMENT
	case codes.NotFound:
		return notaryv1.Reason_REASON_NOT_FOUND
	case codes.Unimplemented:
		return notaryv1.Reason_REASON_UNIMPLEMENTED
	case codes.ResourceExhausted:
		return notaryv1.Reason_REASON_OVERLOADED
	case codes.Unavailable:
		return notaryv1.Reason_REASON_SHUTTING_DOWN
	case codes.DeadlineExceeded, codes.Canceled:
		return notaryv1.Reason_REASON_WAIT_EXPIRED
	case codes.Unauthenticated, codes.PermissionDenied:
		return notaryv1.Reason_REASON_UNAUTHENTICATED
	default:
		return notaryv1.Reason_REASON_INTERNAL
	}
}
