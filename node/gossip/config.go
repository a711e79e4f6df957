package gossip

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/notarynet/notaryd/proto/domain"
)

// Config says who the node is, where it listens, whom it knows and how much it will bear. Start from
// DefaultConfig.
type Config struct {
	// Network is the network id; it is part of every topic and protocol name.
	Network domain.Hash
	// Key is the node key; its public half is the host's identity.
	Key domain.PrivateKey

	// Listen holds multiaddrs such as /ip4/0.0.0.0/tcp/4100 and /ip4/0.0.0.0/udp/4100/quic-v1.
	Listen []string
	// Announce, where set, is told to others in place of what the host listens on.
	Announce []string
	// Bootstrap holds multiaddrs with a /p2p/ part. Connections to them are kept up for ever.
	Bootstrap []string
	// Direct holds multiaddrs like Bootstrap whose messages are exchanged outside of any mesh and
	// whatever the score, both sides having agreed to it. Every message goes to every one of them,
	// also when they have it, so a full set of n costs n times the traffic; FloodPublish reaches a
	// small network as fast without. Their scores cannot cut them off either.
	Direct []string
	// MDNS finds peers on the local network.
	MDNS bool
	// DHT finds peers through Kademlia, starting from the bootstrap list.
	DHT bool
	// Banned networks are neither dialled nor let in.
	Banned []netip.Prefix

	// MaxConnections bounds all connections. The last quarter is for members and configured peers;
	// above five eighths the least useful are closed.
	MaxConnections int
	// MaxPerSubnet bounds the connections from one IPv4 /24 or IPv6 /48; loopback is free.
	MaxPerSubnet int
	// Memory bounds what all connections and streams together may reserve, in bytes.
	Memory int64

	// Heartbeat is the GossipSub heartbeat.
	Heartbeat time.Duration
	// ValidateTimeout is how long a handler may take over one message.
	ValidateTimeout time.Duration
	// PassOnWait is how long a message that was accepted waits before it is passed on, where neighbours say that they have it
	// (noteBytes): who publishes sends to all its neighbours, and their notes come before the wait is over. It delays what comes over
	// two hops or more.
	PassOnWait time.Duration
	// Queue is how many messages of each topic wait for their reader, and how many calls of
	// PublishTransactions wait to be sent.
	Queue int
	// CoalesceWait and CoalesceBytes close a batch of own transactions; an idle node waits for neither.
	CoalesceWait  time.Duration
	CoalesceBytes int

	// PullTimeout bounds one attempt at one peer, PullHedge is the silence after which the next
	// candidate is asked as well.
	PullTimeout time.Duration
	PullHedge   time.Duration
	// PullsPerPeer bounds the pulls in flight with one peer, in each direction.
	PullsPerPeer int
	// PullRate bounds what one peer is served, in bytes a second on average; four seconds' worth at once. This node asks for
	// three quarters of that, since it takes others to serve as much.
	PullRate int

	// hostOptions are added last: simulated transports in tests.
	hostOptions []libp2p.Option
}

// DefaultConfig is a node that listens nowhere yet, with limits for a machine of 2 cores.
func DefaultConfig(network domain.Hash, key domain.PrivateKey) Config {
	return Config{
		Network:         network,
		Key:             key,
		MaxConnections:  192,
		MaxPerSubnet:    16,
		Memory:          512 << 20,
		Heartbeat:       500 * time.Millisecond,
		ValidateTimeout: time.Second,
		PassOnWait:      10 * time.Millisecond,
		Queue:           1024,
		CoalesceWait:    1500 * time.Microsecond,
		CoalesceBytes:   64 << 10,
		PullTimeout:     5 * time.Second,
		PullHedge:       150 * time.Millisecond,
		PullsPerPeer:    8,
		PullRate:        32 << 20,
	}
}

// Validate states what the numbers must satisfy among each other.
func (c *Config) Validate() error {
	for _, rule := range []struct {
		holds bool
		text  string
	}{
		{!c.Network.IsZero(), "network id is zero"},
		{c.MaxConnections >= 8, "max connections below 8"},
		{c.MaxPerSubnet >= 1, "max connections of a subnet below 1"},
		{c.Memory >= 64<<20, "memory below 64 MiB"},
		{c.Heartbeat >= 50*time.Millisecond && c.Heartbeat <= 10*time.Second, "heartbeat outside 50 ms to 10 s"},
		{c.ValidateTimeout > 0, "no validation timeout"},
		{c.PassOnWait >= 0 && c.PassOnWait <= 100*time.Millisecond, "wait before passing on outside 0 to 100 ms"},
		{c.Queue >= 1, "queue below 1"},
		{c.CoalesceWait >= 0 && c.CoalesceWait <= 100*time.Millisecond, "coalescing wait outside 0 to 100 ms"},
		{c.CoalesceBytes >= 1 && c.CoalesceBytes <= MaxBatch/2, "coalescing above half of the largest batch"},
		{c.PullTimeout > 0 && c.PullHedge > 0 && c.PullHedge < c.PullTimeout, "hedge not between 0 and the pull timeout"},
		{c.PullsPerPeer >= 1, "pulls of a peer below 1"},
		{c.PullRate*burstSeconds >= MaxPullResponse, "pull rate too low for one answer"},
	} {
		if !rule.holds {
			return fmt.Errorf("gossip config: %s", rule.text)
		}
	}
	for _, list := range [][]string{c.Listen, c.Announce} {
		if _, err := parseAddrs(list); err != nil {
			return err
		}
	}
	for _, list := range [][]string{c.Bootstrap, c.Direct} {
		if _, err := parsePeers(list); err != nil {
			return err
		}
	}
	return nil
}

// errNotNode says that a peer address names no Ed25519 key.
var errNotNode = errors.New("peer id is not an Ed25519 node key")

func parseAddrs(list []string) ([]ma.Multiaddr, error) {
	addrs := make([]ma.Multiaddr, 0, len(list))
	for _, s := range list {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("gossip config: address %q: %w", s, err)
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

// parsePeers joins the addresses of each peer.
func parsePeers(list []string) ([]peer.AddrInfo, error) {
	addrs, err := parseAddrs(list)
	if err != nil {
		return nil, err
	}
	infos, err := peer.AddrInfosFromP2pAddrs(addrs...)
	if err != nil {
		return nil, fmt.Errorf("gossip config: peers: %w", err)
	}
	for _, p := range infos {
		if _, ok := NodeKey(p.ID); !ok {
			return nil, fmt.Errorf("gossip config: peer %s: %w", p.ID, errNotNode)
		}
	}
	return infos, nil
}
