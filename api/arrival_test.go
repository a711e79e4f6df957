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
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
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
	config.Limits.HTTPTimeout = time.Second // what comes must have come by then on a machine that is held up as well
	config.Limits.CallsPerSecond, config.Limits.CallBurst = 0.01, 1
	n := serve(t, config, &script{})
	n.rest("GET", "/v1/network", "")
	conns := map[string]net.Conn{}
	for _, path := range []string{"/livez", "/readyz", "/v1/network"} {
		conn := must(net.Dial("tcp", n.address))
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", path)
		conns[path] = conn
	}
	for path, conn := range conns {
		var all strings.Builder
		if _, err := bufio.NewReader(conn).WriteTo(&all); err != nil { // until the server closes
			t.Errorf("%s: %v after %q", path, err, all.String())
		}
	}
}

// TestRESTStreamsOutlastTheTimeout: the time for a request is over when it is here; the answer may take longer.
func TestRESTStreamsOutlastTheTimeout(t *testing.T) {
	config := quick()
	config.Limits.HTTPTimeout = time.Second // in which the request must come
	n := serve(t, config, &script{
		watchTransaction: func(ctx context.Context, id domain.Hash) iter.Seq2[*notaryv1.TransactionStatus, error] {
			return func(yield func(*notaryv1.TransactionStatus, error) bool) {
				select {
				case <-time.After(1500 * time.Millisecond):
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
	bodies := map[string][]byte{"nothing": nil, "half a head": {0, 0}, "half a message": {0, 0, 0, 0, 40, 10}, "no end": {0, 0, 0, 0, 0}}
	methods := []string{notaryv1.NotaryService_GetNetwork_FullMethodName, notaryv1.NotaryService_WatchAcceptances_FullMethodName}
	config := quick()
	config.Limits.ReceiveTimeout = time.Second // for the call that does arrive as well
	config.Limits.CallsPerClient = len(bodies) * len(methods)
	config.Limits.OpenStreamsPerClient = config.Limits.CallsPerClient
	n := serve(t, config, &script{})
	for range 2 { // the second time, in the places that were given back
		var raws []*rawCall
		var names []string
		for name, body := range bodies {
			for _, method := range methods {
				raw := rawClient(t, n.address)
				raw.open(method, body)
				raws, names = append(raws, raw), append(names, method+", "+name)
			}
		}
		for i, raw := range raws {
			st := raw.end()
			wantReason(t, st.Err(), notaryv1.Reason_REASON_INVALID_ARGUMENT)
			if !strings.Contains(st.Message(), "arrive") {
				t.Errorf("%s: %v", names[i], st)
			}
			raw.conn.Close()
		}
	}
	must(n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{}))
}

// TestStreamsOnWhichNothingComes: a stream of messages on which none comes whole, and nothing is under way, ends in time and with a
// reason, and its place is free.
func TestStreamsOnWhichNothingComes(t *testing.T) {
	config := quick()
	config.Limits.IdleTimeout = 200 * time.Millisecond
	config.Limits.CallsPerClient, config.Limits.OpenStreamsPerClient = 3, 3
	n := serve(t, config, &script{})
	for name, body := range map[string][]byte{"nothing": nil, "half a head": {0, 0}, "half a message": {0, 0, 0, 0, 40, 10}} {
		for _, method := range []string{notaryv1.NotaryService_SubmitTransactions_FullMethodName, reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName} {
			raw := rawClient(t, n.address)
			for range config.Limits.OpenStreamsPerClient {
				raw.open(method, body)
			}
			for range config.Limits.OpenStreamsPerClient {
				st := raw.end()
				wantReason(t, st.Err(), notaryv1.Reason_REASON_WAIT_EXPIRED)
				if !strings.Contains(st.Message(), "no message has come") {
					t.Errorf("%s, %s: %v", method, name, st)
				}
			}
			raw.conn.Close()
		}
	}
	must(n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{}))
}

// TestStreamsThatWaitAreNotIdle: a stream whose client is silent because it waits for an answer lasts until that has come, and for as long
// as a stream may be idle after it.
func TestStreamsThatWaitAreNotIdle(t *testing.T) {
	config := quick()
	config.Limits.IdleTimeout = 1500 * time.Millisecond
	n := serve(t, config, &script{submit: func(ctx context.Context, _ string, _ []byte, _ notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
		select {
		case <-time.After(2 * config.Limits.IdleTimeout):
		case <-ctx.Done():
		}
		return statusOf(hash(1), stateFinal), ctx.Err()
	}})
	stream := must(n.client.SubmitTransactions(within(t)))
	if err := stream.Send(&notaryv1.SubmitTransactionsRequest{Transaction: []byte("tx"), WaitFor: levelFinal}); err != nil {
		t.Fatal(err)
	}
	if r, err := stream.Recv(); err != nil || r.GetStatus().GetState() != stateFinal {
		t.Fatalf("%v, %v", r, err)
	}
	_, err := stream.Recv()
	wantReason(t, err, notaryv1.Reason_REASON_WAIT_EXPIRED)
}

// greedy is a raw client that sends as much as it may on streams, and makes the server believe that the connection carries it
// well: it answers no ping before it has sent what it could.
type greedy struct {
	*rawCall
	mu     sync.Mutex
	window map[uint32]int64 // what may be sent, by stream; 0 is the connection
	first  int64            // of a stream that is opened
	pings  [][8]byte        // not answered yet
	ended  chan struct{}
}

// listen takes what the server grants, until the connection ends.
func (g *greedy) listen() {
	defer close(g.ended)
	for {
		frame, err := g.framer.ReadFrame()
		if err != nil {
			return
		}
		g.mu.Lock()
		switch f := frame.(type) {
		case *http2.WindowUpdateFrame:
			g.window[f.StreamID] += int64(f.Increment)
		case *http2.SettingsFrame:
			if first, ok := f.Value(http2.SettingInitialWindowSize); ok {
				for stream := range g.window {
					if stream > 0 {
						g.window[stream] += int64(first) - g.first
					}
				}
				g.first = int64(first)
			}
			if !f.IsAck() {
				g.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				g.pings = append(g.pings, f.Data)
			}
		}
		g.mu.Unlock()
	}
}

// pour sends what may be sent, answers pings, and returns how many bytes that were.
func (g *greedy) pour() (sent int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	zeros := make([]byte, 16384) // as many messages without content
	for stream := range g.window {
		for k := g.room(stream); stream > 0 && k > 0; k = g.room(stream) {
			if err := g.framer.WriteData(stream, false, zeros[:k]); err != nil {
				g.t.Fatal(err)
			}
			g.window[0] -= k
			g.window[stream] -= k
			sent += k
		}
	}
	for _, p := range g.pings {
		g.framer.WritePing(true, p)
	}
	g.pings = nil
	return sent
}

func (g *greedy) room(stream uint32) int64 { return min(g.window[0], g.window[stream], 16384) }

// TestUnreadStreamsAreBounded: what a client may send on a stream that is not read is a window that is the same for everybody, not one that grows
// with the bandwidth that a client makes the server see.
func TestUnreadStreamsAreBounded(t *testing.T) {
	config := quick()
	config.Limits.SubmitWindow = 1
	n := serve(t, config, &script{submit: func(ctx context.Context, _ string, _ []byte, _ notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	g := &greedy{rawCall: rawClient(t, n.address), window: map[uint32]int64{0: 65535}, first: 65535, ended: make(chan struct{})}
	const streams = 32
	for range streams {
		message := []byte{0, 0, 0, 0, 4, 18, 2, 't', 'x'}
		stream := g.open(notaryv1.NotaryService_SubmitTransactions_FullMethodName, bytes.Repeat(message, 4))
		g.window[stream] = g.first
	}
	go g.listen()
	total := int64(0)
	for idle := 0; idle < 30; idle++ {
		if sent := g.pour(); sent > 0 {
			total += sent
			idle = 0
		}
		time.Sleep(10 * time.Millisecond)
	}
	g.conn.Close()
	<-g.ended
	if each := total / streams; each == 0 || each > streamWindow {
		t.Errorf("%d bytes on each stream that is not read, want %d at most", each, streamWindow)
	}
}
