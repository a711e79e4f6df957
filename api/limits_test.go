package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func TestRateLimit(t *testing.T) {
	config := quick()
	config.Limits.CallsPerSecond = 0.01 // nothing comes back while the test runs
	config.Limits.CallBurst = 5
	n := serve(t, config, &script{})
	for range 4 {
		must(n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{}))
	}
	if r := n.rest("GET", "/v1/network", ""); r.code != http.StatusOK {
		t.Fatalf("the fifth: %d", r.code)
	}
	_, err := n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{})
	wantReason(t, err, notaryv1.Reason_REASON_RATE_LIMITED)
	if d := detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration(); status.Code(err) != codes.ResourceExhausted || d < 50*time.Second || d > 100*time.Second {
		t.Errorf("%v, retry after %v", err, d)
	}
	// REST is the same client; a header does not make it another one, nor does metadata.
	req := must(http.NewRequest("GET", "http://"+n.address+"/v1/network", nil))
	req.Header.Set("X-Forwarded-For", "192.0.2.1")
	req.Header.Set("Grpc-Metadata-Notary-Rest-Client", "192.0.2.1")
	if r := n.do(req); r.code != http.StatusTooManyRequests || restReason(t, r) != "RATE_LIMITED" || r.header.Get("Retry-After") == "" {
		t.Errorf("REST: %d %s", r.code, r.body)
	}
	_, err = n.client.GetNetwork(metadata.AppendToOutgoingContext(within(t), keyClient, "192.0.2.1"), &notaryv1.GetNetworkRequest{})
	wantReason(t, err, notaryv1.Reason_REASON_RATE_LIMITED)
	if r := n.rest("GET", "/openapi.json", ""); r.code != http.StatusTooManyRequests || restReason(t, r) != "RATE_LIMITED" {
		t.Errorf("openapi: %d", r.code)
	}
	stream := must(n.client.WatchAcceptances(within(t), &notaryv1.WatchAcceptancesRequest{}))
	_, err = stream.Recv()
	wantReason(t, err, notaryv1.Reason_REASON_RATE_LIMITED)
	// Probes and the admin socket work under any load.
	if r := n.rest("GET", "/readyz", ""); r.code != http.StatusOK {
		t.Errorf("readyz: %d", r.code)
	}
	admin := notaryv1.NewAdminServiceClient(n.dial("unix:" + n.socket))
	for range 20 {
		must(admin.SetLogLevel(within(t), &notaryv1.SetLogLevelRequest{Level: "info"}))
	}
}

// TestStreamIsNoWayAroundTheRate: transactions on a stream take tokens like calls; one that finds none waits for it, and
// nothing is lost.
func TestStreamIsNoWayAroundTheRate(t *testing.T) {
	config := quick()
	config.Limits.CallsPerSecond, config.Limits.CallBurst = 0.01, 4 // nothing comes back while the test runs
	n := serve(t, config, &script{submit: func(context.Context, string, []byte, notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
		return statusOf(hash(1), stateFinal), nil
	}})
	stream := must(n.client.SubmitTransactions(within(t))) // takes the first
	for i := range 5 {
		if err := stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: uint64(i), Transaction: []byte("tx")}); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		must(stream.Recv())
	}
	more := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		more <- err
	}()
	// The bucket is empty: the next call is refused, and the stream has no answer either.
	_, err := n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{})
	wantReason(t, err, notaryv1.Reason_REASON_RATE_LIMITED)
	select {
	case err := <-more:
		t.Errorf("a fourth answer: %v", err)
	default:
	}
}

// TestReflectionIsNoWayAroundTheRate: questions on a stream of reflection take tokens like calls, and one that finds none waits.
func TestReflectionIsNoWayAroundTheRate(t *testing.T) {
	config := quick()
	config.Limits.CallsPerSecond, config.Limits.CallBurst = 0.01, 3 // nothing comes back while the test runs
	n := serve(t, config, &script{})
	stream := must(reflectionv1.NewServerReflectionClient(n.conn).ServerReflectionInfo(within(t)))
	ask := &reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: Domain + ".NotaryService"},
	}
	answers := make(chan error)
	go func() {
		for {
			_, err := stream.Recv()
			answers <- err
			if err != nil {
				return
			}
		}
	}()
	for range 4 {
		if err := stream.Send(ask); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-answers:
		t.Errorf("a fourth answer for three tokens: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	_, err := n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{})
	wantReason(t, err, notaryv1.Reason_REASON_RATE_LIMITED)
	n.end() // who waits for a token does not keep the node from stopping
	if err := <-answers; err == nil {
		t.Error("an answer after the end")
	}
}

// TestListsCostWhatIsReadForThem: a page of a list takes tokens for what is read, ends when there are none, and what is owed then keeps
// the next call waiting, of REST too.
func TestListsCostWhatIsReadForThem(t *testing.T) {
	config := quick()
	config.Limits.CallsPerSecond, config.Limits.CallBurst = 0.01, 10 // nothing comes back while the test runs
	const record = 4 * tokenBytes
	n := serve(t, config, &script{told: told{
		finals: func(_ context.Context, limit int, spend func(int) bool) (list []*notaryv1.TransactionStatus, _ string, _ error) {
			for range limit {
				if list = append(list, statusOf(hash(5), stateFinal)); !spend(record) {
					break
				}
			}
			return list, "next", nil
		},
	}})
	explorer := notaryv1.NewExplorerServiceClient(n.conn)
	r := must(explorer.ListTransactions(within(t), &notaryv1.ListTransactionsRequest{PageSize: 1000}))
	if len(r.GetTransactions()) != 3 || r.GetNextPageToken() != "next" { // one token for the call, eight for two records, and of the third it owes three
		t.Errorf("a page of %d, then %q", len(r.GetTransactions()), r.GetNextPageToken())
	}
	_, err := explorer.ListTransactions(within(t), &notaryv1.ListTransactionsRequest{})
	wantReason(t, err, notaryv1.Reason_REASON_RATE_LIMITED)
	if r := n.rest("GET", "/v1/transactions", ""); r.code != http.StatusTooManyRequests {
		t.Errorf("REST: %d %s", r.code, r.body)
	}
}

func TestOpenStreamsPerClient(t *testing.T) {
	config := quick()
	config.Limits.OpenStreamsPerClient = 2
	n := serve(t, config, &script{
		watchAcceptances: func(ctx context.Context, _ string, _ bool, _ uint64) iter.Seq2[*notaryv1.WatchAcceptancesResponse, error] {
			return func(yield func(*notaryv1.WatchAcceptancesResponse, error) bool) {
				if yield(&notaryv1.WatchAcceptancesResponse{}, nil) {
					<-ctx.Done()
					yield(nil, ctx.Err())
				}
			}
		},
	})
	open := func() (context.CancelFunc, notaryv1.NotaryService_WatchAcceptancesClient, error) {
		ctx, cancel := context.WithCancel(within(t))
		stream := must(n.client.WatchAcceptances(ctx, &notaryv1.WatchAcceptancesRequest{}))
		_, err := stream.Recv()
		return cancel, stream, err
	}
	cancel, stream, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = open(); err != nil {
		t.Fatal(err)
	}
	_, _, err = open()
	wantReason(t, err, notaryv1.Reason_REASON_RATE_LIMITED)
	if detail[*errdetails.RetryInfo](err) == nil || !strings.Contains(err.Error(), "streams") {
		t.Errorf("%v", err)
	}
	if _, err := n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{}); err != nil {
		t.Errorf("a call beside full streams: %v", err)
	}
	cancel()
	stream.Recv()
	for { // the place is free as soon as the server has seen the stream end
		if _, _, err = open(); err == nil {
			break
		}
		wantReason(t, err, notaryv1.Reason_REASON_RATE_LIMITED)
	}
}

func TestMessageSize(t *testing.T) {
	n := serve(t, quick(), &script{})
	large := make([]byte, 1_310_721)
	_, err := n.client.SubmitTransaction(within(t), &notaryv1.SubmitTransactionRequest{Transaction: large})
	wantReason(t, err, notaryv1.Reason_REASON_TOO_LARGE)
	stream := must(n.client.SubmitTransactions(within(t)))
	stream.Send(&notaryv1.SubmitTransactionsRequest{Transaction: large})
	_, err = stream.Recv()
	wantReason(t, err, notaryv1.Reason_REASON_TOO_LARGE)
	_, err = n.client.SubmitTransaction(within(t), &notaryv1.SubmitTransactionRequest{Transaction: make([]byte, 3<<20)})
	if status.Code(err) != codes.ResourceExhausted { // gRPC's own answer, before anything was kept
		t.Errorf("%v", err)
	}
	watch := must(n.client.WatchTransaction(within(t), &notaryv1.WatchTransactionRequest{TransactionId: large}))
	_, err = watch.Recv()
	wantReason(t, err, notaryv1.Reason_REASON_TOO_LARGE)
}

// garbage is a codec that sends what no message is.
type garbage struct{ encoding.CodecV2 }

func (garbage) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(bytes.Repeat([]byte{0xff}, 20))}, nil
}
func (garbage) Unmarshal(mem.BufferSlice, any) error { return nil }
func (garbage) Name() string                         { return "proto" }

func TestGarbageMessages(t *testing.T) {
	n := serve(t, quick(), &script{})
	err := n.conn.Invoke(within(t), "/notary.v1.NotaryService/GetBalance", &notaryv1.GetBalanceRequest{}, &notaryv1.GetBalanceResponse{}, grpc.ForceCodecV2(garbage{}))
	wantReason(t, err, notaryv1.Reason_REASON_MALFORMED)
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v", err)
	}
}

// TestSamePort: one port, three kinds of clients and some that are none.
func TestSamePort(t *testing.T) {
	config := quick()
	config.Limits.SniffTimeout = time.Second // an honest client, too, must have sent its first bytes and its request by then
	config.Limits.HTTPTimeout = time.Second
	n := serve(t, config, &script{})
	conn := func() net.Conn {
		c := must(net.Dial("tcp", n.address))
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(20 * time.Second))
		return c
	}
	silent := conn()
	var half []net.Conn
	for _, start := range []string{"P", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"} {
		c := conn()
		fmt.Fprint(c, start)
		half = append(half, c)
	}
	garbage := map[string]net.Conn{}
	for _, text := range []string{"\x16\x03\x01\x02\x00\x01", "SSH-2.0-x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "PRI * HTTP/1.1\r\n\r\n", strings.Repeat("\x00", 100)} {
		garbage[text] = conn()
		fmt.Fprint(garbage[text], text)
	}
	if _, err := n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{}); err != nil {
		t.Error(err)
	}
	if r := n.rest("GET", "/v1/network", ""); r.code != http.StatusOK {
		t.Error(r.code)
	}
	for text, c := range garbage {
		var b bytes.Buffer
		b.ReadFrom(c) // ends: the connection is closed
		if got := b.String(); got != "" && !strings.HasPrefix(got, "HTTP/1.1 4") && !strings.HasPrefix(got, "HTTP/1.1 5") {
			t.Errorf("%q is answered with %q", text, got)
		}
	}
	for i, c := range append(half, silent) { // closed by the server, in its own time
		var timeout net.Error
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("silent connection %d: %v", i, err)
		}
	}
}

func TestConnectionsPerClient(t *testing.T) {
	config := quick()
	config.Limits.ConnectionsPerClient = 3
	n := serve(t, config, &script{})
	var open []net.Conn
	for range 3 {
		c := must(net.Dial("tcp", n.address))
		defer c.Close()
		open = append(open, c)
	}
	over := must(net.Dial("tcp", n.address))
	defer over.Close()
	over.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := over.Read(make([]byte, 1)); err == nil {
		t.Error("one too many was served")
	}
	open[0].Close()
	for { // its place is free as soon as the server has seen it go
		conn := must(grpc.NewClient("passthrough:///"+n.address, grpc.WithTransportCredentials(insecure.NewCredentials())))
		_, err := notaryv1.NewNotaryServiceClient(conn).GetNetwork(within(t), &notaryv1.GetNetworkRequest{})
		conn.Close()
		if err == nil {
			break
		}
	}
}

// TestConnectionsToAllListeners: the connections of a client are counted together, whichever address they come to.
func TestConnectionsToAllListeners(t *testing.T) {
	config := quick()
	config.Limits.ConnectionsPerClient = 3
	other := must(net.Listen("tcp", "127.0.0.1:0"))
	n := serve(t, config, &script{}, other)
	served := func(address string) bool {
		c := must(net.Dial("tcp", address))
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprint(c, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		_, err := c.Read(make([]byte, 1))
		return err == nil
	}
	for i, address := range []string{n.address, other.Addr().String(), n.address} {
		if !served(address) {
			t.Fatalf("connection %d is refused", i)
		}
	}
	if served(other.Addr().String()) || served(n.address) {
		t.Error("a fourth connection is served")
	}
}

func TestConfig(t *testing.T) {
	good := DefaultConfig()
	good.CORSOrigins = []string{"https://shop.example", "http://127.0.0.1:8080", "http://[::1]:3000", "*"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"grace":                     func(c *Config) { c.Grace = 0 },
		"max_wait":                  func(c *Config) { c.MaxWait = -1 },
		"message_bytes":             func(c *Config) { c.Limits.MessageBytes = 262_144 },
		"streams_per_connection":    func(c *Config) { c.Limits.StreamsPerConnection = 0 },
		"connections_per_client":    func(c *Config) { c.Limits.ConnectionsPerClient = 0 },
		"connections (10)":          func(c *Config) { c.Limits.Connections = 10 },
		"calls_per_second":          func(c *Config) { c.Limits.CallsPerSecond = 0 },
		"call_burst":                func(c *Config) { c.Limits.CallBurst = 0 },
		"calls_per_client":          func(c *Config) { c.Limits.CallsPerClient = 1 },
		"open_streams_per_client":   func(c *Config) { c.Limits.OpenStreamsPerClient = 0 },
		"submit_window":             func(c *Config) { c.Limits.SubmitWindow = 0 },
		"clients must":              func(c *Config) { c.Limits.Clients = 0 },
		"sniff_timeout":             func(c *Config) { c.Limits.SniffTimeout = 0 },
		"http_timeout":              func(c *Config) { c.Limits.HTTPTimeout = 0 },
		"receive_timeout":           func(c *Config) { c.Limits.ReceiveTimeout = 0 },
		"idle_timeout":              func(c *Config) { c.Limits.IdleTimeout = 0 },
		"ping_interval":             func(c *Config) { c.Limits.PingInterval = 0 },
		"cors_origins":              func(c *Config) { c.CORSOrigins = []string{"shop.example"} },
		"\"https://Shop.example\"":  func(c *Config) { c.CORSOrigins = []string{"https://Shop.example"} },
		"\"https://a.example:443\"": func(c *Config) { c.CORSOrigins = []string{"https://a.example:443"} },
		"\"http://a.example:\"":     func(c *Config) { c.CORSOrigins = []string{"http://a.example:"} },
		"\"https://u@a.example\"":   func(c *Config) { c.CORSOrigins = []string{"https://u@a.example"} },
		"\"https://a.example#b\"":   func(c *Config) { c.CORSOrigins = []string{"https://a.example#b"} },
	} {
		c := DefaultConfig()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
