package api

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// TestRESTTakesTheTokenFirst: what a client over its rate sends is refused before its body has come, let alone been read; a REST call
// costs one token, as any other.
func TestRESTTakesTheTokenFirst(t *testing.T) {
	config := quick()
	config.Limits.CallsPerSecond, config.Limits.CallBurst = 0.01, 3 // nothing comes back while the test runs
	n := serve(t, config, &script{})
	for range 2 {
		if r := n.rest("GET", "/v1/network", ""); r.code != http.StatusOK {
			t.Fatalf("%d %s", r.code, r.body)
		}
	}
	if r := n.rest("GET", "/v1/nothing", ""); r.code != http.StatusNotFound { // no call, but work
		t.Fatalf("%d %s", r.code, r.body)
	}
	conn := must(net.Dial("tcp", n.address))
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, "POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer before the body: %v", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if r := n.rest("POST", "/v1/transactions", "{no JSON"); r.code != http.StatusTooManyRequests || restReason(t, r) != "RATE_LIMITED" {
		t.Errorf("a body that does not parse: %d %s", r.code, r.body)
	}
	_, err = n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{})
	wantReason(t, err, notaryv1.Reason_REASON_RATE_LIMITED)
}

// TestRESTBodiesThatNobodyReads: a body that does not come ends its connection in time, also where no handler waits for it: probes,
// and what is refused before.
func TestRESTBodiesThatNobodyReads(t *testing.T) {
	config := quick()
	config.Limits.HTTPTimeout = 200 * time.Millisecond
	config.Limits.CallsPerSecond, config.Limits.CallBurst = 0.01, 1
	n := serve(t, config, &script{})
	n.rest("GET", "/v1/network", "")
	for _, path := range []string{"/livez", "/readyz", "/v1/network"} {
		conn := must(net.Dial("tcp", n.address))
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", path)
		var all strings.Builder
		if _, err := bufio.NewReader(conn).WriteTo(&all); err != nil { // until the server closes
			t.Errorf("%s: %v after %q", path, err, all.String())
		}
	}
}

// TestRESTStreamsOutlastTheTimeout: the time for a request is over when it is here; the answer may take longer.
func TestRESTStreamsOutlastTheTimeout(t *testing.T) {
	config := quick()
	config.Limits.HTTPTimeout = 100 * time.Millisecond
	n := serve(t, config, &script{
		watchTransaction: func(ctx context.Context, id domain.Hash) iter.Seq2[*notaryv1.TransactionStatus, error] {
			return func(yield func(*notaryv1.TransactionStatus, error) bool) {
				select {
				case <-time.After(500 * time.Millisecond):
					yield(statusOf(id, stateFinal), nil)
				case <-ctx.Done():
					yield(nil, ctx.Err())
				}
			}
		},
	})
	r := n.rest("GET", "/v1/transactions/"+hash(9).String()+":watch", "")
	if r.code != http.StatusOK || !strings.Contains(string(r.body), "FINAL") {
		t.Errorf("%d %s", r.code, r.body)
	}
}
