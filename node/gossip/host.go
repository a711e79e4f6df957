package gossip

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
)

// newHost makes the libp2p host. Everything that limits is set here, since libp2p limits little by itself.
func newHost(c *Config, g *gate, m Metrics) (host.Host, error) {
	key, err := hostKey(c.Key)
	if err != nil {
		return nil, err
	}
	limits, err := newResourceManager(c)
	if err != nil {
		return nil, err
	}
	// Above five eighths the least useful are closed down to a half, which leaves newcomers room below
	// the gate's three quarters. A new one has 20 s to become useful.
	conns, err := connmgr.NewConnManager(c.MaxConnections/2, c.MaxConnections*5/8,
		connmgr.WithGracePeriod(20*time.Second))
	if err != nil {
		return nil, fmt.Errorf("connection manager: %w", err)
	}
	opts := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(conns),
		libp2p.ConnectionGater(g),
		// Without reuse of the listening port two nodes that dial each other at once make two
		// connections, and not one simultaneous open in which both think they are the client.
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
		libp2p.Transport(quic.NewTransport),
		libp2p.Security(tls.ID, tls.New), // measured 1.7 times as fast as Noise on bulk data
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, muxer()),
		libp2p.SwarmOpts(swarm.WithDialRanker(preferTCP)),
		libp2p.WithDialTimeout(5 * time.Second),
		libp2p.UserAgent("notaryd"),
		libp2p.ProtocolVersion("notary/1"),
		// Nodes are told their addresses; guessing them, relaying for others and probing are
		// doors that nobody needs open.
		libp2p.DisableRelay(),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.ForceReachabilityPublic(),
		libp2p.Ping(false),
		// A configured peer that is down for an hour would have every dial over UDP, or IPv6, taken for
		// hopeless, to others too.
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
		libp2p.BandwidthReporter(traffic{m.Sent, m.Received}),
		libp2p.DisableMetrics(), // they would register themselves globally
		libp2p.NoListenAddrs,    // listen below: where New itself fails to, it leaves goroutines behind
	}
	if len(c.Announce) > 0 {
		announce, err := parseAddrs(c.Announce)
		if err != nil {
			return nil, err
		}
		opts = append(opts, libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return announce }))
	}
	h, err := libp2p.New(append(opts, c.hostOptions...)...)
	if err != nil {
		limits.Close()
		conns.Close()
		return nil, fmt.Errorf("libp2p host: %w", err)
	}
	return h, nil
}

// A connection on which nothing has come for so long is asked whether it lives, and closed where no answer comes in time.
// A host that was cut off waits with each retransmission as long as it has waited so far; redialling is sooner.
const (
	aliveAfter  = 3 * time.Second
	aliveWithin = 7 * time.Second
)

func muxer() *yamux.Transport {
	t := *yamux.DefaultTransport
	t.KeepAliveInterval, t.ConnectionWriteTimeout = aliveAfter, aliveWithin
	return &t
}

// listen opens the node's doors.
func listen(h host.Host, c *Config) error {
	addrs, err := parseAddrs(c.Listen)
	if err != nil {
		return err
	}
	for _, a := range addrs { // all at once would succeed where one of them does
		if err := h.Network().Listen(a); err != nil {
			return fmt.Errorf("listen on %s: %w", a, err)
		}
	}
	return nil
}

// newResourceManager bounds connections, streams and memory, for all and for each peer.
func newResourceManager(c *Config) (network.ResourceManager, error) {
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	concrete := scaling.Scale(c.Memory, 4*c.MaxConnections)

	// One stream in and one out is all that GossipSub opens; one more of each while it reopens.
	gossipPeer := rcmgr.ResourceLimits{StreamsInbound: 2, StreamsOutbound: 2, Streams: 4,
		Memory: rcmgr.LimitVal64(16 << 20)}
	// Twice the pulls that the application admits, so that the application's refusal, which says
	// why, comes first.
	pulls := rcmgr.LimitVal(2 * c.PullsPerPeer)
	pullPeer := rcmgr.ResourceLimits{StreamsInbound: pulls, StreamsOutbound: pulls, Streams: 2 * pulls,
		Memory: rcmgr.LimitVal64(int64(c.PullsPerPeer) * 2 * maxHeadsResponse)}
	pushPeer := rcmgr.ResourceLimits{StreamsInbound: pulls, StreamsOutbound: pulls, Streams: 2 * pulls,
		Memory: 1 << 20}
	protocols := map[protocol.ID]rcmgr.ResourceLimits{
		routerProtocol(c.Network): gossipPeer,
		hintProtocol(c.Network):   pushPeer,
	}
	for p := range numPulls {
		protocols[pullProtocol(c.Network, p)] = pullPeer
	}
	all := rcmgr.LimitVal(c.MaxConnections)
	partial := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{Conns: all, ConnsInbound: all, ConnsOutbound: all,
			Streams: 32 * all, StreamsInbound: 16 * all, StreamsOutbound: 16 * all,
			Memory: rcmgr.LimitVal64(c.Memory)},
		// Both sides may dial at the same moment, over TCP and QUIC: four, and as many in passing.
		PeerDefault: rcmgr.ResourceLimits{Conns: 8, ConnsInbound: 4, ConnsOutbound: 8,
			Streams: 256, StreamsInbound: 128, StreamsOutbound: 128, Memory: rcmgr.LimitVal64(c.Memory / 4)},
		ProtocolPeer: protocols,
	}
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(partial.Build(concrete)),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 24, ConnCount: c.MaxPerSubnet}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 48, ConnCount: c.MaxPerSubnet}}),
		rcmgr.WithMetricsDisabled())
	if err != nil {
		return nil, fmt.Errorf("resource manager: %w", err)
	}
	return m, nil
}

// quicDelay is the head start of TCP over QUIC, which moves batches of 64 KB and more three times slower.
const quicDelay = 250 * time.Millisecond

// preferTCP dials every TCP address at once and the others only if none of them answers.
func preferTCP(addrs []ma.Multiaddr) []network.AddrDelay {
	ranked := make([]network.AddrDelay, 0, len(addrs))
	delay := time.Duration(0)
	for _, tcpTurn := range []bool{true, false} {
		for _, a := range addrs {
			_, err := a.ValueForProtocol(ma.P_TCP)
			if (err == nil) == tcpTurn {
				ranked = append(ranked, network.AddrDelay{Addr: a, Delay: delay})
			}
		}
		if len(ranked) > 0 {
			delay = quicDelay
		}
	}
	return ranked
}
