package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/proto/domain"
)

// simulated gives run a function that starts node i of count, over simulated links of the given latency and
// under a fake clock. All nodes know the addresses of all.
func simulated(t *testing.T, count int, latency time.Duration, run func(t *testing.T, start func(i int) *Net)) {
	synctest.Test(t, func(t *testing.T) {
		world := &simnet.Simnet{LatencyFunc: simnet.StaticLatency(latency),
			Logger: slog.New(slog.DiscardHandler)} // it reports every packet to nobody
		link := simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps}
		var all []string
		for i := range count {
			all = append(all, fmt.Sprintf("/ip4/1.0.%d.1/udp/8000/quic-v1/p2p/%s", i, PeerID(testKey(i).Public())))
		}
		world.Start()
		defer world.Close()
		var nets []*Net
		defer func() {
			for _, n := range nets {
				n.Close()
			}
		}()
		run(t, func(i int) *Net {
			c := testConfig(i)
			c.Listen = []string{fmt.Sprintf("/ip4/1.0.%d.1/udp/8000/quic-v1", i)}
			c.Bootstrap = all
			c.hostOptions = []libp2p.Option{
				simlibp2p.QUICSimnet(world, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}),
			}
			n, err := New(context.Background(), c, judge{}, NewMetrics(prometheus.NewRegistry()), discard())
			if err != nil {
				t.Fatal(err)
			}
			nets = append(nets, n)
			return n
		})
	})
}

// A peer that is away for an hour is tried now and then, and found soon after it comes.
func TestSimulatedOutage(t *testing.T) {
	simulated(t, 2, 20*time.Millisecond, func(t *testing.T, start func(int) *Net) {
		n := start(0)
		time.Sleep(time.Hour) // the fake clock
		failed := count(n.metrics.Dials.WithLabelValues("failed"))
		// Each attempt takes its wait and the dial's own time: between 7.5 s and 25 s.
		if failed < 3600/25 || failed > 3600/7.5 {
			t.Errorf("%v attempts in an hour", failed)
		}
		back := time.Now()
		start(1)
		awaitNeighbours(t, n, 1)
		if took := time.Since(back); took > redialCap+dialTimeout {
			t.Errorf("found after %v", took)
		}
	})
}

// Over links of 40 ms a message takes one hop, and a pull one round trip.
func TestSimulatedLatency(t *testing.T) {
	const latency = 40 * time.Millisecond
	simulated(t, 6, latency, func(t *testing.T, launch func(int) *Net) {
		var nets []*Net
		for i := range 6 {
			nets = append(nets, launch(i))
		}
		for _, n := range nets {
			awaitNeighbours(t, n, len(nets)-1)
		}
		s := newStore()
		id := s.put([]byte("tx"))
		nets[1].Serve(t.Context(), s)
		time.Sleep(2 * time.Second) // the fake clock: handshakes are over, and who serves what is known
		start := time.Now()
		if err := nets[0].PublishObservation(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		for i, n := range nets[1:] {
			receive(t, n.Observations())
			if took := time.Since(start); took < latency || took > latency+latency/2 {
				t.Errorf("node %d has it after %v", i+1, took)
			}
		}
		start = time.Now()
		if _, err := nets[0].PullTransactions(t.Context(), []domain.PublicKey{nets[1].Key()}, []domain.Hash{id}, false, checkID); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 3*latency {
			t.Errorf("pull took %v", took)
		}
	})
}
