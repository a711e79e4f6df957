package api

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func TestRESTHexIDs(t *testing.T) {
	id := domain.Sum(domain.TagTx, []byte("some transaction"))
	body := &notaryv1.TransactionBody{Memo: []byte("hello")}
	raw, err := proto.Marshal(&notaryv1.Transaction{Body: must(proto.Marshal(body))})
	if err != nil {
		t.Fatal(err)
	}
	n := serve(t, quick(), &script{
		transaction: func(_ context.Context, got domain.Hash) (*notaryv1.TransactionStatus, []byte, error) {
			if got != id {
				t.Errorf("the backend saw %v", got)
			}
			return statusOf(got, stateFinal), raw, nil
		},
		proof: func(_ context.Context, got domain.Hash, with bool, known uint64) ([]byte, error) {
			return fmt.Appendf(nil, "%v %v %d", got, with, known), nil
		},
		compact: func(_ context.Context, got domain.Hash, with bool, known uint64) ([]byte, error) {
			return fmt.Appendf(nil, "compact %v %v %d", got, with, known), nil
		},
		watchTransaction: func(_ context.Context, got domain.Hash) iter.Seq2[*notaryv1.TransactionStatus, error] {
			return func(yield func(*notaryv1.TransactionStatus, error) bool) {
				_ = yield(statusOf(got, notaryv1.TransactionState_TRANSACTION_STATE_PENDING), nil) && yield(statusOf(got, stateFinal), nil)
			}
		},
	})
	for _, form := range []string{
		id.String(), strings.ToUpper(id.String()),
		base64.URLEncoding.EncodeToString(id[:]), base64.RawURLEncoding.EncodeToString(id[:]),
	} {
		r := n.rest("GET", "/v1/transactions/"+form, "")
		got := r.json(t)
		if r.code != http.StatusOK || got["transaction"] != base64.StdEncoding.EncodeToString(raw) {
			t.Fatalf("%s: %d %s", form, r.code, r.body)
		}
		if memo := got["body"].(map[string]any)["memo"]; memo != "aGVsbG8=" {
			t.Errorf("%s: memo %v", form, memo)
		}
		if state := got["status"].(map[string]any)["state"]; state != "TRANSACTION_STATE_FINAL" {
			t.Errorf("%s: state %v", form, state)
		}
		r = n.rest("GET", "/v1/transactions/"+form+"/proof?withoutTransaction=true&knownEpoch=7", "")
		proofOf, _ := base64.StdEncoding.DecodeString(r.json(t)["proof"].(string))
		if want := id.String() + " false 7"; string(proofOf) != want {
			t.Errorf("%s: proof %q, want %q", form, proofOf, want)
		}
		r = n.rest("GET", "/v1/transactions/"+form+"/proof?compact=true", "")
		answer := r.json(t)
		proofOf, _ = base64.StdEncoding.DecodeString(answer["compactProof"].(string))
		if want := "compact " + id.String() + " true 0"; string(proofOf) != want || answer["proof"] != nil && answer["proof"] != "" {
			t.Errorf("%s: %q, want %q: %v", form, proofOf, want, answer)
		}
		r = n.rest("GET", "/v1/transactions/"+form+":watch", "")
		lines := strings.Split(strings.TrimSpace(string(r.body)), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "STATE_PENDING") || !strings.Contains(lines[1], "STATE_FINAL") {
			t.Errorf("%s: watched %q", form, lines)
		}
	}
	for _, form := range []string{id.String()[1:], id.String() + "0", strings.Repeat("zz", 32), "x"} {
		r := n.rest("GET", "/v1/transactions/"+form, "")
		if r.code != http.StatusBadRequest || restReason(t, r) != "INVALID_ARGUMENT" || !strings.Contains(string(r.body), `"transaction_id"`) {
			t.Errorf("%s: %d %s", form, r.code, r.body)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// restReason is the reason in an error of the REST API.
func restReason(t *testing.T, r reply) string {
	t.Helper()
	body := r.json(t)
	if inner, ok := body["error"].(map[string]any); ok { // of a stream
		body = inner
	}
	details, _ := body["details"].([]any)
	for _, d := range details {
		if m := d.(map[string]any); m["@type"] == "type.googleapis.com/google.rpc.ErrorInfo" {
			return m["reason"].(string)
		}
	}
	t.Fatalf("no ErrorInfo in %s", r.body)
	return ""
}

func TestBase64Path(t *testing.T) {
	h := strings.Repeat("ab", 32)
	b := base64.URLEncoding.EncodeToString([]byte(strings.Repeat("\xab", 32)))
	for path, want := range map[string]string{
		"/v1/transactions/" + h:                  "/v1/transactions/" + b,
		"/v1/transactions/" + h + ":watch":       "/v1/transactions/" + b + ":watch",
		"/v1/transactions/" + h + "/proof":       "/v1/transactions/" + b + "/proof",
		"/v1/transactions/" + h + "/explanation": "/v1/transactions/" + b + "/explanation",
		"/v1/transactions/" + b[:43] + ":watch":  "/v1/transactions/" + b + ":watch",
		"/v1/transactions/" + b:                  "/v1/transactions/" + b,
		"/v1/transactions/":                      "/v1/transactions/",
		"/v1/transactions:validate":              "/v1/transactions:validate",
		"/v1/addresses/" + h + "/balance":        "/v1/addresses/" + h + "/balance",
		"/v1/transactions/" + b[:42] + "!":       "",
		"/v1/transactions/" + h + "00":           "",
		"/v1/transactions/" + h[:63] + "g":       "",
		"/v1/transactions/x":                     "",
		"/v1/transactions/:watch":                "",
	} {
		got, err := base64Path(path)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
}

func TestRESTSubmitAndValidate(t *testing.T) {
	n := serve(t, quick(), &script{
		submit: func(_ context.Context, origin string, raw []byte, level notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
			if origin != "127.0.0.1" || string(raw) != "tx" || level != levelFinal {
				t.Errorf("the backend saw %q, %q, %v", origin, raw, level)
			}
			return statusOf(hash(1), stateFinal), nil
		},
		proof:    func(context.Context, domain.Hash, bool, uint64) ([]byte, error) { return []byte("proof"), nil },
		validate: func(context.Context, []byte) (domain.Hash, error) { return hash(2), nil },
	})
	r := n.rest("POST", "/v1/transactions", `{"transaction":"dHg=","waitFor":"WAIT_LEVEL_FINAL","withProof":true}`)
	if r.code != http.StatusOK || r.json(t)["proof"] != base64.StdEncoding.EncodeToString([]byte("proof")) {
		t.Errorf("%d %s", r.code, r.body)
	}
	r = n.rest("POST", "/v1/transactions:validate", `{"transaction":"dHg="}`)
	id := hash(2)
	if r.code != http.StatusOK || r.json(t)["transactionId"] != base64.StdEncoding.EncodeToString(id[:]) || r.json(t)["rejection"] != nil {
		t.Errorf("%d %s", r.code, r.body)
	}
	for body, field := range map[string]string{`{"transaction":1}`: "", `{"transactoin":"dHg="}`: "transactoin", `{`: "", `[]`: ""} {
		r := n.rest("POST", "/v1/transactions", body)
		if r.code != http.StatusBadRequest || restReason(t, r) != "INVALID_ARGUMENT" || !strings.Contains(string(r.body), field) {
			t.Errorf("%s: %d %s", body, r.code, r.body)
		}
	}
}

// TestRESTDeadline: the header Grpc-Timeout is the deadline of the wait. The wait ends 50 ms before it, in
// which the answer must arrive: a starved machine may need a second try.
func TestRESTDeadline(t *testing.T) {
	n := serve(t, quick(), &script{submit: waiting})
	for try := 1; ; try++ {
		req := must(http.NewRequest("POST", "http://"+n.address+"/v1/transactions", strings.NewReader(`{"transaction":"dHg=","waitFor":"WAIT_LEVEL_FINAL"}`)))
		req.Header.Set("Grpc-Timeout", "500m")
		r := n.do(req)
		if r.code != http.StatusGatewayTimeout || restReason(t, r) != "WAIT_EXPIRED" {
			t.Fatalf("%d %s", r.code, r.body)
		}
		if strings.Contains(string(r.body), "TRANSACTION_STATE_PENDING") {
			return
		}
		if try == 10 {
			t.Fatalf("no status in %d answers, the last: %s", try, r.body)
		}
	}
}

func TestRESTBodiesAreBounded(t *testing.T) {
	n := serve(t, quick(), &script{})
	large := `{"transaction":"` + strings.Repeat("A", 1_310_720) + `"}`
	known := n.rest("POST", "/v1/transactions", large)
	req := must(http.NewRequest("POST", "http://"+n.address+"/v1/transactions", io.MultiReader(strings.NewReader(large)))) // chunked
	for _, r := range []reply{known, n.do(req)} {
		if r.code != http.StatusRequestEntityTooLarge || restReason(t, r) != "TOO_LARGE" {
			t.Errorf("%d %.200s", r.code, r.body)
		}
	}
	r := n.rest("POST", "/v1/transactions", `{"transaction":"`+strings.Repeat("A", 400_000)+`"}`)
	if r.code != http.StatusRequestEntityTooLarge || restReason(t, r) != "TOO_LARGE" {
		t.Errorf("a transaction of 300,000 bytes: %d %.200s", r.code, r.body)
	}
}

// TestRESTBodyThatDoesNotArrive does not hold a goroutine for ever.
func TestRESTBodyThatDoesNotArrive(t *testing.T) {
	config := quick()
	config.Limits.HTTPTimeout = time.Second // in which the head must come
	n := serve(t, config, &script{})
	conn := must(net.Dial("tcp", n.address))
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusBadRequest {
		t.Fatalf("%v, %v", res, err)
	}
	res.Body.Close()
}

func TestRESTRouting(t *testing.T) {
	n := serve(t, quick(), &script{})
	for _, c := range []struct {
		method, path string
		code         int
		reason       string
	}{
		{"GET", "/", http.StatusNotFound, "NOT_FOUND"},
		{"GET", "/v1/nothing", http.StatusNotFound, "NOT_FOUND"},
		{"DELETE", "/v1/network", http.StatusMethodNotAllowed, "UNIMPLEMENTED"},
		{"GET", "/v1/transactions/" + hash(1).String(), http.StatusNotFound, "NOT_FOUND"},
		{"GET", "/v1/transactions/" + hash(1).String() + "/explanation", http.StatusNotFound, "NOT_FOUND"},
		{"GET", "/v1/trust?peerId=AAAA", http.StatusBadRequest, "INVALID_ARGUMENT"},
		{"GET", "/v1/rewards", http.StatusNotImplemented, "UNIMPLEMENTED"},
		{"GET", "/v1/contests/x", http.StatusBadRequest, "INVALID_ARGUMENT"},
		{"GET", "/v1/peers/" + hash(1).String()[1:], http.StatusBadRequest, "INVALID_ARGUMENT"},
		{"GET", "/v1/observations/" + hash(1).String() + "/many", http.StatusBadRequest, "INVALID_ARGUMENT"},
		{"GET", "/v1/search", http.StatusBadRequest, "MISSING_FIELD"},
		{"GET", "/v1/search?query=" + strings.Repeat("x", 257), http.StatusBadRequest, "INVALID_ARGUMENT"},
		{"GET", "/v1/contests?pageSize=1001", http.StatusBadRequest, "INVALID_ARGUMENT"},
		{"GET", "/v1/addresses/x/unspent?pageSize=1001", http.StatusBadRequest, "INVALID_ARGUMENT"},
		{"GET", "/v1/addresses/x/unspent?pageSize=many", http.StatusBadRequest, "INVALID_ARGUMENT"},
		{"GET", "/v1/addresses/" + strings.Repeat("x", 129) + "/balance", http.StatusBadRequest, "INVALID_ARGUMENT"},
		{"GET", "/v1/acceptances:watch?cursor=0", http.StatusNotFound, "NOT_FOUND"},
		{"GET", "/v1/addresses/x:watch", http.StatusNotFound, "NOT_FOUND"},
	} {
		r := n.rest(c.method, c.path, "")
		if r.code != c.code || restReason(t, r) != c.reason {
			t.Errorf("%s %s: %d %s", c.method, c.path, r.code, r.body)
		}
		if ct := r.header.Get("Content-Type"); ct != "application/json" {
			t.Errorf("%s %s: content type %q", c.method, c.path, ct)
		}
	}
}

func TestRESTListsPage(t *testing.T) {
	n := serve(t, quick(), &script{
		unspent: func(_ context.Context, address, token string, limit int) ([]*notaryv1.UnspentOutput, string, error) {
			return []*notaryv1.UnspentOutput{{FinalMs: uint64(limit)}}, address + ":" + token, nil
		},
		balance: func(_ context.Context, address string) ([]*notaryv1.ProductBalance, error) {
			return []*notaryv1.ProductBalance{{Amount: 1<<64 - 1, Outputs: uint64(len(address))}}, nil
		},
	})
	got := n.rest("GET", "/v1/addresses/dev1q/unspent?pageSize=7&pageToken=t1", "").json(t)
	output := got["outputs"].([]any)[0].(map[string]any)
	if got["nextPageToken"] != "dev1q:t1" || output["finalMs"] != "7" {
		t.Errorf("%v", got)
	}
	got = n.rest("GET", "/v1/addresses/dev1q/unspent", "").json(t)
	if output := got["outputs"].([]any)[0].(map[string]any); output["finalMs"] != "100" {
		t.Errorf("the default page: %v", got)
	}
	got = n.rest("GET", "/v1/addresses/dev1q/balance", "").json(t)
	if b := got["balances"].([]any)[0].(map[string]any); b["amount"] != "18446744073709551615" || b["outputs"] != "5" {
		t.Errorf("%v", got)
	}
}

// TestRESTStreamsEndWithTheirReason and the client's leaving ends the sequence.
func TestRESTStreams(t *testing.T) {
	left := make(chan struct{})
	n := serve(t, quick(), &script{
		watchAcceptances: func(ctx context.Context, cursor string, proofs bool, _ uint64) iter.Seq2[*notaryv1.WatchAcceptancesResponse, error] {
			return func(yield func(*notaryv1.WatchAcceptancesResponse, error) bool) {
				if !yield(&notaryv1.WatchAcceptancesResponse{Cursor: cursor + "+1", Proof: []byte(fmt.Sprint(proofs))}, nil) {
					return
				}
				if cursor == "broken" {
					yield(nil, errBoom)
					return
				}
				<-ctx.Done()
				close(left)
				yield(nil, ctx.Err())
			}
		},
	})
	r := n.rest("GET", "/v1/acceptances:watch?cursor=broken&withProofs=true", "")
	lines := strings.Split(strings.TrimSpace(string(r.body)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"broken+1"`) || !strings.Contains(lines[1], `"INTERNAL"`) {
		t.Errorf("%q", lines)
	}
	ctx, cancel := context.WithCancel(within(t))
	res := must(http.DefaultClient.Do(must(http.NewRequestWithContext(ctx, "GET", "http://"+n.address+"/v1/acceptances:watch?cursor=5", nil))))
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if err != nil || !strings.Contains(line, `"5+1"`) {
		t.Errorf("%q, %v", line, err)
	}
	cancel()
	res.Body.Close()
	<-left
}

func TestNetworkListsWhatIsNotBuilt(t *testing.T) {
	n := serve(t, quick(), &script{})
	r := n.rest("GET", "/v1/network", "")
	if r.code != http.StatusOK || r.json(t)["name"] != "scripted" {
		t.Fatalf("%d %s", r.code, r.body)
	}
	listed, _ := r.json(t)["notBuilt"].([]any)
	if fmt.Sprint(listed) != fmt.Sprint(n.backends().NotBuilt()) {
		t.Errorf("%v", listed)
	}
	if got := r.header.Values("Notary-Not-Built"); !slices.Equal(got, n.backends().NotBuilt()) {
		t.Errorf("%q", got)
	}
}

func TestOpenAPI(t *testing.T) {
	config := quick()
	config.Version = "1.2.3"
	n := serve(t, config, &script{})
	r := n.rest("GET", "/openapi.json", "")
	var document struct {
		Info  struct{ Title, Version, Description string }
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []map[string]any
		}
	}
	if err := json.Unmarshal(r.body, &document); err != nil || r.code != http.StatusOK {
		t.Fatal(r.code, err)
	}
	if document.Info.Title != "notary.v1" || document.Info.Version != "1.2.3" || !strings.Contains(document.Info.Description, "ExplorerService/ListRewardEpochs") {
		t.Errorf("%+v", document.Info)
	}
	ids := 0
	for path, operations := range document.Paths {
		for _, operation := range operations {
			if !strings.HasPrefix(operation.OperationID, "NotaryService_") && !strings.HasPrefix(operation.OperationID, "ExplorerService_") {
				t.Errorf("%s is %s", path, operation.OperationID)
			}
			for _, p := range operation.Parameters {
				if p["in"] == "path" && p["name"] != "address" && p["name"] != "height" {
					ids++
					if p["format"] != nil || !strings.Contains(p["description"].(string), "hexadecimal") {
						t.Errorf("%s: %v", path, p)
					}
				}
			}
		}
	}
	if len(document.Paths) != 25 {
		t.Errorf("%d paths", len(document.Paths))
	}
	if ids != 8 {
		t.Errorf("%d paths have an id", ids)
	}
}

// TestPagesOfOtherOrigins: what a page of another origin sends without asking is refused before it is done or costs a token, unless that
// origin may call. Browsers mark it by the origin or by where it comes from; what other programs send passes.
func TestPagesOfOtherOrigins(t *testing.T) {
	var done atomic.Int64
	s := &script{submit: func(context.Context, string, []byte, notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
		done.Add(1)
		return statusOf(hash(1), stateFinal), nil
	}}
	config := quick()
	config.Limits.CallsPerSecond, config.Limits.CallBurst = 0.01, 8 // nothing comes back while the test runs
	for _, c := range []struct {
		origins []string
		header  map[string]string // with HOST for that of the node
		passes  bool
	}{
		{nil, nil, true},
		{nil, map[string]string{"Origin": "https://thief.example"}, false},
		{nil, map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		{nil, map[string]string{"Origin": "null"}, false},
		{nil, map[string]string{"Origin": "http://HOST"}, true},
		{nil, map[string]string{"Sec-Fetch-Site": "same-origin"}, true},
		{[]string{"https://shop.example"}, map[string]string{"Origin": "https://thief.example", "Sec-Fetch-Site": "cross-site"}, false},
		{[]string{"https://shop.example"}, map[string]string{"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"}, true},
		{[]string{"*"}, map[string]string{"Origin": "https://thief.example", "Sec-Fetch-Site": "cross-site"}, true},
	} {
		config.CORSOrigins = c.origins
		n := serve(t, config, s)
		for range 9 { // one more than there are tokens
			before := done.Load()
			req := must(http.NewRequest("POST", "http://"+n.address+"/v1/transactions", strings.NewReader(`{"transaction":"AAAA"}`)))
			req.Header.Set("Content-Type", "text/plain")
			for name, value := range c.header {
				req.Header.Set(name, strings.ReplaceAll(value, "HOST", n.address))
			}
			r := n.do(req)
			if c.passes {
				if r.code != http.StatusOK || done.Load() != before+1 {
					t.Errorf("%v, %v: %d %s", c.origins, c.header, r.code, r.body)
				}
				break
			}
			if r.code != http.StatusUnauthorized || restReason(t, r) != "UNAUTHENTICATED" || done.Load() != before {
				t.Errorf("%v, %v: %d %s", c.origins, c.header, r.code, r.body)
				break
			}
		}
		n.end()
	}
}

func TestCORS(t *testing.T) {
	ask := func(n *node, origin string) (reply, reply) {
		preflight := must(http.NewRequest("OPTIONS", "http://"+n.address+"/v1/transactions", nil))
		preflight.Header.Set("Access-Control-Request-Method", "POST")
		call := must(http.NewRequest("GET", "http://"+n.address+"/v1/network", nil))
		preflight.Header.Set("Origin", origin)
		call.Header.Set("Origin", origin)
		return n.do(preflight), n.do(call)
	}
	const allow = "Access-Control-Allow-Origin"
	off := serve(t, quick(), &script{})
	if before, call := ask(off, "https://shop.example"); before.header.Get(allow) != "" || call.header.Get(allow) != "" || call.code != http.StatusOK {
		t.Errorf("off: %v, %v", before.header, call.header)
	}
	config := quick()
	config.CORSOrigins = []string{"https://shop.example"}
	on := serve(t, config, &script{})
	before, call := ask(on, "https://shop.example")
	if before.code != http.StatusNoContent || before.header.Get(allow) != "https://shop.example" || call.header.Get(allow) != "https://shop.example" {
		t.Errorf("on: %d %v, %v", before.code, before.header, call.header)
	}
	if before, call := ask(on, "https://thief.example"); before.header.Get(allow) != "" || call.header.Get(allow) != "" {
		t.Errorf("another origin: %v, %v", before.header, call.header)
	}
	config.CORSOrigins = []string{"*"}
	if _, call := ask(serve(t, config, &script{}), "https://anyone.example"); call.header.Get(allow) != "https://anyone.example" {
		t.Errorf("any origin: %v", call.header)
	}
}
