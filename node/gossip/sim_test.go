package gossip

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/internal/bubble"
	"github.com/notarynet/notaryd/proto/domain"
)

// sim is a world of simulated links under a fake clock.
type sim struct {
	world *simnet.Simnet
	count int
	nets  []*Net
	judge judge // of those that start from now on
}

// simAddr is in a subnet of its own for each node, but for those above 100, who share one.
func simAddr(i int) string {
	if i > 100 {
		return fmt.Sprintf("/ip4/2.0.0.%d/udp/8000/quic-v1", i)
	}
	return fmt.Sprintf("/ip4/1.0.%d.1/udp/8000/quic-v1", i)
}

// transport puts a host into the world.
func (s *sim) transport() libp2p.Option {
	link := simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps}
	return simlibp2p.QUICSimnet(s.world, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link})
}

// start starts node i, which knows the addresses of the first count nodes.
func (s *sim) start(t *testing.T, i int, adjust ...func(*Config)) *Net {
	t.Helper()
	c := testConfig(i)
	c.Listen = []string{simAddr(i)}
	for j := range s.count {
		c.Bootstrap = append(c.Bootstrap, simAddr(j)+"/p2p/"+PeerID(testKey(j).Public()).String())
	}
	c.hostOptions = []libp2p.Option{s.transport()}
	for _, a := range adjust {
		a(&c)
	}
	n, err := New(context.Background(), c, s.judge, NewMetrics(prometheus.NewRegistry()), discard())
	if err != nil {
		t.Fatal(err)
	}
	s.nets = append(s.nets, n)
	return n
}

// simulated runs a test among count nodes that know each other, over links of the given latency.
func simulated(t *testing.T, count int, latency time.Duration, run func(t *testing.T, s *sim)) {
	bubble.Test(t, func(t *testing.T) {
		world := &simnet.Simnet{LatencyFunc: simnet.StaticLatency(latency),
			Logger: slog.New(slog.DiscardHandler)} // it reports every packet to nobody
		world.Start()
		defer world.Close()
		s := &sim{world: world, count: count}
		defer func() {
			for _, n := range s.nets {
				n.Close()
			}
		}()
		run(t, s)
	})
}

// A peer that is away for an hour is tried now and then, and found soon after it comes.
func TestSimulatedOutage(t *testing.T) {
	simulated(t, 2, 20*time.Millisecond, func(t *testing.T, s *sim) {
		n := s.start(t, 0)
		time.Sleep(time.Hour) // the fake clock
		failed := count(n.metrics.Dials.WithLabelValues("failed"))
		// Each attempt takes its wait and the dial's own time: between 7.5 s and 25 s.
		if failed < 3600/25 || failed > 3600/7.5 {
			t.Errorf("%v attempts in an hour", failed)
		}
		s.start(t, 1, func(c *Config) { c.Bootstrap = nil }) // it will not come by itself
		time.Sleep(redialCap + dialTimeout)
		if len(n.Peers()) != 1 {
			t.Error("not found again")
		}
	})
}

// Over links of 40 ms a message takes one hop, and a pull one round trip.
func TestSimulatedLatency(t *testing.T) {
	const latency = 40 * time.Millisecond
	simulated(t, 6, latency, func(t *testing.T, world *sim) {
		var nets []*Net
		for i := range 6 {
			nets = append(nets, world.start(t, i))
		}
		for _, n := range nets {
			awaitNeighbours(t, n, len(nets)-1)
		}
		s := newStore()
		id := s.put([]byte("tx"))
		nets[1].Serve(t.Context(), s, nil)
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

// A kept peer that is connected but relays nothing is reconnected to, again and again but not often.
func TestSimulatedDeafPeer(t *testing.T) {
	simulated(t, 2, 20*time.Millisecond, func(t *testing.T, s *sim) {
		n := s.start(t, 0)
		k, err := hostKey(testKey(1))
		if err != nil {
			t.Fatal(err)
		}
		deaf, err := libp2p.New(libp2p.Identity(k), libp2p.ListenAddrStrings(simAddr(1)), s.transport(),
			libp2p.DisableMetrics(), libp2p.DisableIdentifyAddressDiscovery())
		if err != nil {
			t.Fatal(err)
		}
		defer deaf.Close()
		time.Sleep(5 * time.Minute) // the fake clock
		again := count(n.metrics.Dials.WithLabelValues("ok"))
		if most := (5 * time.Minute / (2 * watchEvery)); again < 5 || again > float64(most)+1 {
			t.Errorf("connected %v times in five minutes", again)
		}
	})
}

// One subnet holds MaxPerSubnet connections, and others still get in.
func TestSimulatedSubnetLimit(t *testing.T) {
	simulated(t, 1, 20*time.Millisecond, func(t *testing.T, s *sim) {
		n := s.start(t, 0, func(c *Config) { c.MaxPerSubnet = 2 })
		for i := range 6 {
			s.start(t, 101+i)
		}
		time.Sleep(time.Minute) // the fake clock
		if got := len(n.Peers()); got != 2 {
			t.Errorf("%d peers of one subnet", got)
		}
		s.start(t, 50)
		time.Sleep(time.Minute)
		if got := len(n.Peers()); got != 3 {
			t.Errorf("%d peers", got)
		}
	})
}

// Connections above MaxConnections are refused; those of members outlast trimming.
func TestSimulatedConnectionLimit(t *testing.T) {
	simulated(t, 1, 20*time.Millisecond, func(t *testing.T, s *sim) {
		n := s.start(t, 0, func(c *Config) { c.MaxConnections = 8 })
		members := []domain.PublicKey{testKey(21).Public(), testKey(22).Public()}
		n.SetMembers(members)
		for i := range 14 {
			s.start(t, 10+i)
			time.Sleep(time.Second)
			if got := len(n.host.Network().Conns()); got > 8 {
				t.Fatalf("%d connections", got)
			}
		}
		time.Sleep(10 * time.Minute) // the fake clock
		peers := n.Peers()
		if len(peers) > 8 || len(peers) < 2 {
			t.Errorf("%d peers", len(peers))
		}
		var here int
		for _, p := range peers {
			if p.Member {
				here++
			}
		}
		if here != len(members) {
			t.Errorf("%d of %d members among %d peers", here, len(members), len(peers))
		}
	})
}

// Four Sybils for each honest node are there first, take every connection that they are given and pass nothing on. Members
// find room beside them and hear each other within two hops; so does a newcomer who knows one of them, soon.
func TestSimulatedSybils(t *testing.T) {
	const honest, latency = 4, 20 * time.Millisecond
	simulated(t, honest, latency, func(t *testing.T, s *sim) {
		var members []domain.PublicKey
		for i := range honest {
			members = append(members, testKey(i).Public())
		}
		start := func(i int, adjust ...func(*Config)) *Net {
			n := s.start(t, i, append(adjust, func(c *Config) { c.MaxConnections = 16 })...)
			n.SetMembers(members)
			return n
		}
		nets := []*Net{start(0)}
		s.judge = judge{
			transactions: func(context.Context, domain.PublicKey, [][]byte) Verdict { return Ignore },
			message:      func(context.Context, topic, domain.PublicKey, []byte) Verdict { return Ignore },
		}
		for i := range 4 * honest {
			s.start(t, 10+i)
		}
		time.Sleep(3 * time.Minute) // the fake clock
		crowd := len(nets[0].Peers())
		if crowd < 8 || crowd > 12 {
			t.Errorf("%d Sybils around the first node", crowd)
		}
		s.judge = judge{}
		for i := 1; i < honest; i++ {
			nets = append(nets, start(i))
		}
		time.Sleep(time.Minute)
		said := 0
		say := func(from int, within time.Duration) (missed int) {
			said++
			if err := nets[from].PublishObservation([]byte{byte(from), byte(said)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(within)
			for i, n := range nets {
				if i != from && len(n.Observations()) == 0 {
					missed++
				}
				for len(n.Observations()) > 0 {
					<-n.Observations()
				}
			}
			return missed
		}
		for range 6 {
			for from := range nets {
				if missed := say(from, 3*latency); missed > 0 {
					t.Errorf("%d members did not hear node %d", missed, from)
				}
			}
			time.Sleep(20 * time.Second)
		}
		nets = append(nets, start(5, func(c *Config) { c.Bootstrap = c.Bootstrap[:1] }))
		quiet := 0
		for minute := 0; say(honest, time.Second)+say(1, time.Second) > 0; minute++ {
			if quiet = minute; minute == 10 {
				t.Fatal("the newcomer is not heard, or does not hear")
			}
			time.Sleep(time.Minute)
		}
		t.Logf("%d Sybils, heard after %d minutes", crowd, quiet)
	})
}

// Neighbours who say in time that they have a message are not sent it by all who got it; below noteBytes nobody says so.
func TestNotesComeBeforeCopies(t *testing.T) {
	const messages = 10
	simulated(t, 4, 2*time.Millisecond, func(t *testing.T, world *sim) {
		for i := range 4 {
			world.start(t, i)
		}
		for _, n := range world.nets {
			awaitNeighbours(t, n, len(world.nets)-1)
			awaitMesh(t, n)
		}
		outcome := func(name string) (sum float64) {
			for _, n := range world.nets {
				sum += n.outcomes(topicObs, name)
			}
			return sum
		}
		copies := func(size int) float64 {
			accepted, before := outcome("accepted"), outcome("duplicate")
			for i := range messages {
				if err := world.nets[0].PublishObservation(bytes.Repeat([]byte{byte(i + 1)}, size)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second) // the fake clock: whatever is on its way has come
			if n := outcome("accepted") - accepted; n != 3*messages {
				t.Fatalf("%v accepted of %d by three", n, messages)
			}
			return outcome("duplicate") - before
		}
		if n := copies(noteBytes - 1); n < 2*messages {
			t.Errorf("%v copies of %d small messages to three: is there a mesh?", n, messages)
		}
		if n := copies(noteBytes); n != 0 {
			t.Errorf("%v copies of %d messages to three", n, messages)
		}
	})
}
