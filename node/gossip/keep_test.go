package gossip

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/internal/freeport"
)

func TestRedialDelay(t *testing.T) {
	for n, want := range []time.Duration{50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 15000, 15000} {
		want *= time.Millisecond
		if lo, hi := redialDelay(n, 0), redialDelay(n, 0.999999); lo != want/2 || hi > want || hi < want*99/100 {
			t.Errorf("attempt %d: %v to %v, want %v to %v", n, lo, hi, want/2, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n, r := rapid.IntRange(0, 1<<30).Draw(t, "n"), rapid.Float64Range(0, 0.9999999).Draw(t, "r")
		if d := redialDelay(n, r); d < redialBase/2 || d > redialCap {
			t.Fatalf("attempt %d waits %v", n, d)
		}
	})
}

// Four nodes that start at the same moment, each knowing the addresses of all, find each other. How soon is a matter of the machine:
// that none waits for libp2p's own dial back-off of 5 s is for TestDialsAreReal to say.
func TestStartUpTogether(t *testing.T) {
	ports := freeport.Ports(t, 4)
	var all []string
	for i, p := range ports {
		all = append(all, addrOf(i, p))
	}
	start := time.Now()
	var nets []*Net
	for i, p := range ports {
		c := testConfig(i)
		c.Listen = []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", p)}
		c.Bootstrap = all // itself among them
		nets = append(nets, startNet(t, c, judge{}))
	}
	for _, n := range nets {
		awaitNeighbours(t, n, 3)
	}
	t.Logf("four nodes relay all topics to each other after %v", time.Since(start))
}

func TestRestartIsRedialled(t *testing.T) {
	port := freeport.Ports(t, 1)[0]
	c := testConfig(1)
	c.Listen = []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port)}
	first := startNet(t, c, judge{})
	keeping := testConfig(0)
	keeping.Bootstrap = []string{addrOf(1, port)}
	n := startNet(t, keeping, judge{})
	awaitNeighbours(t, n, 1)
	for round := range 3 {
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "gone", func() bool { return len(n.Peers()) == 0 })
		// The restarted node knows nobody: it is the keeper that must come.
		first = startNet(t, c, judge{})
		awaitNeighbours(t, first, 1)
		awaitNeighbours(t, n, 1)
		raw := []byte{byte(round + 1)}
		if err := first.PublishObservation(raw); err != nil {
			t.Fatal(err)
		}
		if m := receive(t, n.Observations()); m.Raw[0] != raw[0] {
			t.Errorf("round %d: got %x", round, m.Raw)
		}
	}
	eventually(t, "four dials", func() bool { return count(n.metrics.Dials.WithLabelValues("ok")) >= 4 }) // the last may be in use before it is counted
}

// A peer that comes up late is reached, however often it was not there.
func TestLatePeerIsReached(t *testing.T) {
	port := freeport.Ports(t, 1)[0]
	keeping := testConfig(0)
	keeping.Bootstrap = []string{addrOf(1, port)}
	n := startNet(t, keeping, judge{})
	eventually(t, "three failures", func() bool { return count(n.metrics.Dials.WithLabelValues("failed")) >= 3 })
	c := testConfig(1)
	c.Listen = []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port)}
	startNet(t, c, judge{})
	awaitNeighbours(t, n, 1)
}

// Each attempt is a real one: libp2p's own back-off does not answer in place of the network.
func TestDialsAreReal(t *testing.T) {
	n := startNet(t, testConfig(0), judge{}) // keeps nobody, so that nobody else dials at the same time
	absent := PeerID(testKey(1).Public())
	n.host.Peerstore().AddAddr(absent, ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", freeport.Port(t))), time.Hour)
	for i := range 3 {
		if err := n.keeper.dial(t.Context(), absent); err == nil || isErr(err, swarm.ErrDialBackoff) {
			t.Errorf("dial %d: %v", i, err)
		}
	}
}

func TestCloseIsPromptAndIdempotent(t *testing.T) {
	c := testConfig(0)
	c.Bootstrap = []string{addrOf(1, freeport.Ports(t, 1)[0])} // nobody there
	n := startNet(t, c, judge{})
	s := newStore()
	s.wait = make(chan struct{})
	n.Serve(t.Context(), s, nil)
	client := newStranger(t, n, 9)
	st, err := client.NewStream(t.Context(), n.host.ID(), pullProtocol(testNetwork, pullHeadsP))
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFrame(st, nil); err != nil {
		t.Fatal(err)
	}
	st.CloseWrite()
	eventually(t, "an answer in the making", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.asked == 1 })
	start := time.Now()
	for range 2 {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took >= n.config.PullTimeout {
		t.Errorf("close waited %v for a pull", took)
	}
}

func TestNewFailsClean(t *testing.T) {
	taken := startNet(t, testConfig(0), judge{})
	c := testConfig(1)
	c.Listen = []string{"/ip4/127.0.0.1/tcp/0", taken.host.Addrs()[0].String()}
	if n, err := New(context.Background(), c, judge{}, taken.metrics, discard()); err == nil {
		n.Close()
		t.Fatal("two nodes on one port")
	}
}

// QUIC only, and preferTCP where there is a choice.
func TestQUIC(t *testing.T) {
	nets := meshOf(t, 2, accepting, func(_ int, c *Config) { c.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1"} })
	if err := nets[0].PublishObservation([]byte("over quic")); err != nil {
		t.Fatal(err)
	}
	if m := receive(t, nets[1].Observations()); string(m.Raw) != "over quic" {
		t.Errorf("got %q", m.Raw)
	}
	tcp, quic := ma.StringCast("/ip4/1.2.3.4/tcp/1"), ma.StringCast("/ip4/1.2.3.4/udp/1/quic-v1")
	for _, c := range []struct {
		in   []ma.Multiaddr
		want []network.AddrDelay
	}{
		{nil, nil},
		{[]ma.Multiaddr{quic, tcp}, []network.AddrDelay{{Addr: tcp}, {Addr: quic, Delay: quicDelay}}},
		{[]ma.Multiaddr{quic}, []network.AddrDelay{{Addr: quic}}},
		{[]ma.Multiaddr{tcp}, []network.AddrDelay{{Addr: tcp}}},
	} {
		got := preferTCP(c.in)
		if len(got) != len(c.want) {
			t.Errorf("%v ranked %v", c.in, got)
			continue
		}
		for i := range got {
			if !got[i].Addr.Equal(c.want[i].Addr) || got[i].Delay != c.want[i].Delay {
				t.Errorf("%v ranked %v", c.in, got)
			}
		}
	}
}

// Peers that share nobody but one bootstrap node find each other through the table, also where they start at once.
func TestDHT(t *testing.T) {
	var boot []string
	var nets []*Net
	for i := range 3 {
		c := testConfig(i)
		c.DHT, c.Bootstrap = true, boot
		n := startNet(t, c, judge{})
		nets = append(nets, n)
		if i == 0 {
			boot = n.Addrs()
		}
	}
	// Looking for each other's key walks the table; being found puts the address in reach.
	awaitNeighbours(t, nets[1], 2)
	awaitNeighbours(t, nets[2], 2)
}
