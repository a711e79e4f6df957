package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// reasons are all reasons of the protocol but UNSPECIFIED, by number.
func reasons() []notaryv1.Reason {
	var all []notaryv1.Reason
	for n := range notaryv1.Reason_name {
		if n != 0 {
			all = append(all, notaryv1.Reason(n))
		}
	}
	slices.Sort(all)
	return all
}

func TestVerdictsCoverEveryReason(t *testing.T) {
	for _, r := range reasons() {
		v, ok := verdicts[r]
		if !ok {
			t.Errorf("%v has no verdict", r)
			continue
		}
		if v.code == codes.OK || v.code == codes.Unknown || v.of < forever || v.of > service {
			t.Errorf("%v has the verdict %+v", r, v)
		}
		if v.of == notYet && v.retry == 0 {
			t.Errorf("%v may pass later, but when?", r)
		}
		if v.of == forever && v.retry != 0 {
			t.Errorf("%v never passes; trying again makes no sense", r)
		}
		if (v.of == service) != (r >= notaryv1.Reason_REASON_INVALID_ARGUMENT) {
			t.Errorf("%v (number %d) is about the wrong thing", r, r)
		}
	}
	if len(verdicts) != len(reasons()) {
		t.Errorf("%d verdicts for %d reasons", len(verdicts), len(reasons()))
	}
	for _, r := range []notaryv1.Reason{0, 9999} {
		if got, v := verdictOf(r); got != notaryv1.Reason_REASON_INTERNAL || v.code != codes.Internal {
			t.Errorf("verdictOf(%d) = %v, %+v", r, got, v)
		}
	}
}

// TestEveryReasonThroughTheAPI has a backend refuse a submission for each reason and looks at what
// reaches a client of gRPC, of REST, of the stream and of the dry run.
func TestEveryReasonThroughTheAPI(t *testing.T) {
	var current notaryv1.Reason
	refuse := func() error {
		return fmt.Errorf("intake: %w", refusal.New(current, "inputs[2].outpoint", "because of %s", "that"))
	}
	n := serve(t, quick(), &script{
		submit: func(context.Context, string, []byte, notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
			return nil, refuse()
		},
		validate: func(context.Context, []byte) (domain.Hash, error) { return hash(7), refuse() },
	})
	stream, err := n.client.SubmitTransactions(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, current = range reasons() {
		t.Run(refusal.Name(current), func(t *testing.T) {
			v := verdicts[current]
			checkUnary(t, n, current, v)
			checkREST(t, n, current, v)
			checkStream(t, stream, current, v)
			checkDryRun(t, n, current, v)
		})
	}
}

func checkUnary(t *testing.T, n *node, reason notaryv1.Reason, v verdict) {
	_, err := n.client.SubmitTransaction(within(t), &notaryv1.SubmitTransactionRequest{Transaction: []byte("tx")})
	if got := status.Code(err); got != v.code {
		t.Errorf("code %v, want %v", got, v.code)
	}
	info := detail[*errdetails.ErrorInfo](err)
	if info.GetReason() != refusal.Name(reason) || info.GetDomain() != "notary.v1" || info.GetMetadata()["call"] == "" {
		t.Errorf("ErrorInfo %v", info)
	}
	bad := detail[*errdetails.BadRequest](err).GetFieldViolations()
	if len(bad) != 1 || bad[0].GetField() != "inputs[2].outpoint" || bad[0].GetDescription() != "because of that" || bad[0].GetReason() != refusal.Name(reason) {
		t.Errorf("BadRequest %v", bad)
	}
	if got := detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration(); got != v.retry {
		t.Errorf("RetryInfo %v, want %v", got, v.retry)
	}
	if got := status.Convert(err).Message(); got != "inputs[2].outpoint: because of that" {
		t.Errorf("message %q", got)
	}
}

func checkREST(t *testing.T, n *node, reason notaryv1.Reason, v verdict) {
	r := n.rest("POST", "/v1/transactions", `{"transaction":"dHg="}`)
	var body struct {
		Code    codes.Code
		Message string
		Details []map[string]any
	}
	if err := json.Unmarshal(r.body, &body); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	if body.Code != v.code || !strings.Contains(body.Message, "because of that") {
		t.Errorf("REST body %s", r.body)
	}
	var found bool
	for _, d := range body.Details {
		if d["@type"] == "type.googleapis.com/google.rpc.ErrorInfo" {
			found = d["reason"] == refusal.Name(reason) && d["domain"] == "notary.v1"
		}
	}
	if !found {
		t.Errorf("REST details %v", body.Details)
	}
	if r.code < 400 || r.code == http.StatusConflict && v.code != codes.AlreadyExists {
		t.Errorf("HTTP status %d for %v", r.code, v.code)
	}
	if got := r.header.Get("Retry-After"); (got != "") != (v.retry > 0) {
		t.Errorf("Retry-After %q for %v", got, v.retry)
	}
}

func checkStream(t *testing.T, stream notaryv1.NotaryService_SubmitTransactionsClient, reason notaryv1.Reason, v verdict) {
	if err := stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: uint64(reason), Transaction: []byte("tx")}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	got := answer.GetStatus().GetRejection()
	if answer.GetSequence() != uint64(reason) || got.GetReason() != reason || got.GetField() != "inputs[2].outpoint" ||
		got.GetDetail() != "because of that" || got.GetRetryAfterMs() != uint64(v.retry.Milliseconds()) {
		t.Errorf("answer %v", answer)
	}
	rejected := answer.GetStatus().GetState() == notaryv1.TransactionState_TRANSACTION_STATE_REJECTED
	if rejected != (v.of == forever) {
		t.Errorf("state %v", answer.GetStatus().GetState())
	}
}

func checkDryRun(t *testing.T, n *node, reason notaryv1.Reason, v verdict) {
	answer, err := n.client.ValidateTransaction(within(t), &notaryv1.ValidateTransactionRequest{Transaction: []byte("tx")})
	if v.of == service {
		wantReason(t, err, reason)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := domain.Hash(answer.GetTransactionId()); got != hash(7) || answer.GetRejection().GetReason() != reason {
		t.Errorf("answer %v", answer)
	}
}

// TestRejectedStatusIsAnError: a backend may report a rejection in the status as well.
func TestRejectedStatusIsAnError(t *testing.T) {
	rejected := statusOf(hash(1), notaryv1.TransactionState_TRANSACTION_STATE_REJECTED)
	rejected.Rejection = &notaryv1.Rejection{
		Reason: notaryv1.Reason_REASON_DOUBLE_SPEND, Field: "inputs[0].outpoint", Detail: "a rival is final", RetryAfterMs: 1500,
	}
	n := serve(t, quick(), &script{
		submit: func(context.Context, string, []byte, notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
			return rejected, nil
		},
	})
	_, err := n.client.SubmitTransaction(within(t), &notaryv1.SubmitTransactionRequest{Transaction: []byte("tx"), WaitFor: levelFinal})
	wantReason(t, err, notaryv1.Reason_REASON_DOUBLE_SPEND)
	if status.Code(err) != codes.AlreadyExists {
		t.Errorf("code %v", status.Code(err))
	}
	if got := detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration(); got != 1500*time.Millisecond {
		t.Errorf("retry after %v", got)
	}
	if got := detail[*notaryv1.TransactionStatus](err); got.GetState() != rejected.State {
		t.Errorf("status in details: %v", got)
	}
}

// TestInternalErrorsStayInside: what is no refusal is logged and never shown.
func TestInternalErrorsStayInside(t *testing.T) {
	n := serve(t, quick(), &script{
		balance: func(context.Context, string) ([]*notaryv1.ProductBalance, error) { return nil, errBoom },
	})
	_, err := n.client.GetBalance(within(t), &notaryv1.GetBalanceRequest{Address: "x"})
	wantReason(t, err, notaryv1.Reason_REASON_INTERNAL)
	if s := status.Convert(err); s.Code() != codes.Internal || strings.Contains(s.String(), "secret") {
		t.Errorf("%v", s)
	}
	r := n.rest("GET", "/v1/addresses/x/balance", "")
	if r.code != http.StatusInternalServerError || strings.Contains(string(r.body), "secret") {
		t.Errorf("%d %s", r.code, r.body)
	}
	id := detail[*errdetails.ErrorInfo](err).GetMetadata()["call"]
	for _, line := range n.logs.find("call") {
		if line["call"] == id {
			if line["level"] != "ERROR" || line["error"] != errBoom.Error() || line["reason"] != "INTERNAL" || line["client"] != "127.0.0.1" {
				t.Errorf("log line %v", line)
			}
			return
		}
	}
	t.Errorf("call %q has no line in the log", id)
}

// TestLevelsOfCalls: what was refused is told; what went well is for debugging, however often it comes.
func TestLevelsOfCalls(t *testing.T) {
	n := serve(t, quick(), &script{
		balance: func(_ context.Context, address string) ([]*notaryv1.ProductBalance, error) {
			if address == "good" {
				return nil, nil
			}
			return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "address", "bad")
		},
	})
	for _, address := range []string{"good", "bad"} {
		_, err := n.client.GetBalance(within(t), &notaryv1.GetBalanceRequest{Address: address})
		if (err == nil) != (address == "good") {
			t.Fatalf("%s: %v", address, err)
		}
	}
	levels := map[string]any{}
	for _, line := range n.logs.find("call") {
		levels[line["code"].(string)] = line["level"]
	}
	if levels["OK"] != "DEBUG" || levels["InvalidArgument"] != "INFO" {
		t.Errorf("%v", levels)
	}
}

// TestTextThatIsNotUTF8 still arrives, with its reason.
func TestTextThatIsNotUTF8(t *testing.T) {
	n := serve(t, quick(), &script{
		submit: func(_ context.Context, _ string, raw []byte, _ notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
			var broken *notaryv1.TransactionStatus
			if string(raw) == "with status" {
				broken = &notaryv1.TransactionStatus{Rejection: &notaryv1.Rejection{Detail: "\xff"}}
			}
			return broken, refusal.New(notaryv1.Reason_REASON_UNKNOWN_KIND, "a\xff", "b\xfe")
		},
	})
	_, err := n.client.SubmitTransaction(within(t), &notaryv1.SubmitTransactionRequest{Transaction: []byte("with status")})
	wantReason(t, err, notaryv1.Reason_REASON_UNKNOWN_KIND)
	_, err = n.client.SubmitTransaction(within(t), &notaryv1.SubmitTransactionRequest{Transaction: []byte("tx")})
	wantReason(t, err, notaryv1.Reason_REASON_UNKNOWN_KIND)
	if got := status.Convert(err).Message(); got != "a\uFFFD: b\uFFFD" {
		t.Errorf("%q", got)
	}
	stream := must(n.client.SubmitTransactions(within(t)))
	stream.Send(&notaryv1.SubmitTransactionsRequest{Transaction: []byte("tx")})
	if answer, err := stream.Recv(); err != nil || answer.GetStatus().GetRejection().GetField() != "a\uFFFD" {
		t.Errorf("%v, %v", answer, err)
	}
	for _, path := range []string{"/%8e", "/v1/addresses/%ff:watch", "/v1/acceptances:watch?cursor=%ff"} {
		if r := n.rest("GET", path, ""); r.code != http.StatusBadRequest || restReason(t, r) != "INVALID_ARGUMENT" {
			t.Errorf("%s: %d %s", path, r.code, r.body)
		}
	}
}

func TestPanicsAreRecovered(t *testing.T) {
	n := serve(t, quick(), &script{
		balance: func(context.Context, string) ([]*notaryv1.ProductBalance, error) { panic("a bug") },
		submit: func(context.Context, string, []byte, notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
			panic("another bug")
		},
	})
	_, err := n.client.GetBalance(within(t), &notaryv1.GetBalanceRequest{Address: "x"})
	wantReason(t, err, notaryv1.Reason_REASON_INTERNAL)
	stream, err := n.client.SubmitTransactions(within(t))
	if err != nil {
		t.Fatal(err)
	}
	stream.Send(&notaryv1.SubmitTransactionsRequest{Transaction: []byte("tx")})
	answer, err := stream.Recv()
	if err != nil || answer.GetStatus().GetRejection().GetReason() != notaryv1.Reason_REASON_INTERNAL {
		t.Errorf("%v, %v", answer, err)
	}
	if _, err := n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{}); err != nil {
		t.Errorf("after two panics: %v", err)
	}
	panics := n.logs.find("panic in a call")
	if len(panics) != 2 || panics[0]["panic"] != "a bug" || !strings.Contains(panics[0]["stack"].(string), "reasons_test.go") {
		t.Errorf("log: %v", panics)
	}
}
