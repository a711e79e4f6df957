package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"iter"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

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

// rawCall is a call of a client that speaks HTTP/2 frame by frame.
type rawCall struct {
	t      *testing.T
	framer *http2.Framer
	conn   net.Conn
	next   uint32 // stream
}

func rawClient(t *testing.T, address string) *rawCall {
	conn := must(net.Dial("tcp", address))
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	must(conn.Write([]byte(http2.ClientPreface)))
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return &rawCall{t: t, framer: framer, conn: conn, next: 1}
}

// open sends the head of a call and some bytes, and does not end the stream, which it returns.
func (r *rawCall) open(method string, body []byte) uint32 {
	r.t.Helper()
	stream := r.next
	r.next += 2
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "test"},
		{Name: ":path", Value: method}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
	} {
		if err := encoder.WriteField(f); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := r.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.framer.WriteData(stream, false, body); err != nil {
		r.t.Fatal(err)
	}
	return stream
}

// end reads until the next stream ends, and returns its status.
func (r *rawCall) end() *status.Status {
	r.t.Helper()
	for {
		frame, err := r.framer.ReadFrame()
		if err != nil {
			r.t.Fatal(err)
		}
		h, ok := frame.(*http2.MetaHeadersFrame)
		if !ok || !h.StreamEnded() {
			continue
		}
		st := &spb.Status{}
		for _, f := range h.Fields {
			if f.Name == "grpc-status-details-bin" {
				if err := proto.Unmarshal(must(base64.RawStdEncoding.DecodeString(f.Value)), st); err != nil {
					r.t.Fatal(err)
				}
			}
		}
		return status.FromProto(st)
	}
}

// TestRequestsThatDoNotArrive: a request of which a part comes, or all but its end, is refused in time and with a reason; it has
// held one of its client's calls until then, and gives it back.
func TestRequestsThatDoNotArrive(t *testing.T) {
	config := quick()
	config.Limits.ReceiveTimeout = 200 * time.Millisecond
	config.Limits.CallsPerClient, config.Limits.OpenStreamsPerClient = 3, 3
	n := serve(t, config, &script{})
	for name, body := range map[string][]byte{
		"nothing": nil, "half a head": {0, 0}, "half a message": {0, 0, 0, 0, 40, 10}, "no end": {0, 0, 0, 0, 0},
	} {
		for _, method := range []string{notaryv1.NotaryService_GetNetwork_FullMethodName, notaryv1.NotaryService_WatchAcceptances_FullMethodName} {
			raw := rawClient(t, n.address)
			for range config.Limits.CallsPerClient {
				raw.open(method, body)
			}
			for range config.Limits.CallsPerClient {
				st := raw.end()
				wantReason(t, st.Err(), notaryv1.Reason_REASON_INVALID_ARGUMENT)
				if !strings.Contains(st.Message(), "arrive") {
					t.Errorf("%s, %s: %v", method, name, st)
				}
			}
			raw.conn.Close()
		}
	}
	must(n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{}))
}
