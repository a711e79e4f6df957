package api

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// serveForBench serves a node whose submissions are final at once, without limits, without logs.
func serveForBench(b *testing.B) string {
	config := quick()
	config.Limits.CallsPerSecond, config.Limits.CallBurst = 1e9, 1e9
	status := statusOf(hash(1), stateFinal)
	s := &script{submit: func(context.Context, string, []byte, notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
		return status, nil
	}}
	server := must(NewServer(config, s.backends(), must(NewMetrics(prometheus.NewRegistry())), slog.New(slog.DiscardHandler)))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(ctx, Listeners{Public: []net.Listener{listener}}) }()
	b.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		<-stopped
	})
	return listener.Addr().String()
}

func benchClient(b *testing.B, address string) notaryv1.NotaryServiceClient {
	conn := must(grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials())))
	b.Cleanup(func() { conn.Close() })
	return notaryv1.NewNotaryServiceClient(conn)
}

var benchRequest = &notaryv1.SubmitTransactionRequest{Transaction: make([]byte, 300), WaitFor: levelFinal}

// BenchmarkSubmit is one call after the other: latency.
func BenchmarkSubmit(b *testing.B) {
	client := benchClient(b, serveForBench(b))
	for b.Loop() {
		must(client.SubmitTransaction(context.Background(), benchRequest))
	}
}

// BenchmarkSubmitParallel is many callers on one connection: throughput.
func BenchmarkSubmitParallel(b *testing.B) {
	client := benchClient(b, serveForBench(b))
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			must(client.SubmitTransaction(context.Background(), benchRequest))
		}
	})
}

// BenchmarkSubmitStream is one stream of submissions.
func BenchmarkSubmitStream(b *testing.B) {
	client := benchClient(b, serveForBench(b))
	stream := must(client.SubmitTransactions(context.Background()))
	request := &notaryv1.SubmitTransactionsRequest{Transaction: make([]byte, 300), WaitFor: levelFinal}
	b.ResetTimer()
	go func() {
		for range b.N {
			if stream.Send(request) != nil {
				return
			}
		}
		stream.CloseSend()
	}()
	for range b.N {
		must(stream.Recv())
	}
}

// BenchmarkSubmitREST is one call after the other through the gateway.
func BenchmarkSubmitREST(b *testing.B) {
	address := serveForBench(b)
	body := `{"transaction":"` + strings.Repeat("AAAA", 100) + `","waitFor":"WAIT_LEVEL_FINAL"}`
	for b.Loop() {
		res := must(http.Post("http://"+address+"/v1/transactions", "application/json", strings.NewReader(body)))
		if res.StatusCode != http.StatusOK {
			b.Fatal(res.Status)
		}
		must(io.Copy(io.Discard, res.Body)) // else the connection is not used again
		res.Body.Close()
	}
}
