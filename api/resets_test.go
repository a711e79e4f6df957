package api

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// TestRapidResets opens calls and resets them at once, by the thousand (CVE-2023-44487). Handlers that are still on
// their way count against the connection's streams, so no more of them run than it may have open, and another client is
// served meanwhile.
func TestRapidResets(t *testing.T) {
	config := quick()
	config.Limits.CallsPerSecond, config.Limits.CallBurst = 1e9, 1e9
	config.Limits.CallsPerClient = 1 << 20 // so that it is the streams that bound them
	config.Limits.StreamsPerConnection = 8
	var running, most atomic.Int64
	entered, release := make(chan struct{}, 1), make(chan struct{})
	n := serve(t, config, &script{submit: func(context.Context, string, []byte, notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
		for now := running.Add(1); ; {
			if old := most.Load(); old >= now || most.CompareAndSwap(old, now) {
				break
			}
		}
		defer running.Add(-1)
		select {
		case entered <- struct{}{}:
		default:
		}
		<-release // deaf to its context, as a handler in the middle of something is
		return statusOf(hash(1), stateFinal), nil
	}})
	conn := must(net.Dial("tcp", n.address))
	defer conn.Close()
	must(conn.Write([]byte(http2.ClientPreface)))
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { // answers must be read, or the server waits for the client
		defer close(gone)
		for {
			if _, err := framer.ReadFrame(); err != nil {
				return
			}
		}
	}()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	body := append([]byte{0, 0, 0, 0, 4}, 10, 2, 't', 'x') // SubmitTransactionRequest{transaction: "tx"}
	for i := range uint32(4000) {
		block.Reset()
		for _, f := range []hpack.HeaderField{
			{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "test"},
			{Name: ":path", Value: notaryv1.NotaryService_SubmitTransaction_FullMethodName},
			{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
		} {
			if err := encoder.WriteField(f); err != nil {
				t.Fatal(err)
			}
		}
		id := 2*i + 1
		err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true})
		if err == nil {
			err = framer.WriteData(id, true, body)
		}
		if err == nil && i > 0 { // the first stays: it runs already, whoever is faster from now on
			err = framer.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		if err != nil {
			break // the server has had enough of this connection
		}
		if i == 0 {
			<-entered
		}
		if i == 2000 {
			must(n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{}))
		}
	}
	must(n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{}))
	if got := most.Load(); got == 0 || got > int64(config.Limits.StreamsPerConnection) {
		t.Errorf("%d handlers ran at once, want 1 to %d", got, config.Limits.StreamsPerConnection)
	}
	close(release)
	conn.Close()
	<-gone
}
