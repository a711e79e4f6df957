package gossip

import (
	"context"
	"fmt"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	drouting "github.com/libp2p/go-libp2p/p2p/discovery/routing"

	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"

	"github.com/notarynet/notaryd/proto/domain"
)

const (
	// enoughPeers is when looking for more stops.
	enoughPeers = 24
	// lookEvery is the pause between looks while there are too few. Until the table knows this node the pauses double from lookSoon
	// on: the first look often comes before the first connection.
	lookEvery = 30 * time.Second
	lookSoon  = 500 * time.Millisecond
)

// meet connects to a peer that was found, within limits. Failure is normal: addresses go stale.
func meet(ctx context.Context, h host.Host, p peer.AddrInfo) {
	if p.ID == h.ID() || len(p.Addrs) == 0 || len(h.Network().Peers()) >= enoughPeers {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	_ = h.Connect(ctx, p)
}

// finder receives what mDNS finds.
type finder chan peer.AddrInfo

// HandlePeerFound implements mdns.Notifee. A full queue loses a find; it is announced again.
func (f finder) HandlePeerFound(p peer.AddrInfo) { offer(f, p) }

// startMDNS announces the node on the local network under the name of its network only, so that nodes of
// other networks are not met. The returned function stops it.
func startMDNS(h host.Host, network domain.Hash, found finder) (func() error, error) {
	s := mdns.NewMdnsService(h, "_notary-"+network.String()[:16]+"._udp", found)
	if err := s.Start(); err != nil {
		s.Close()
		return nil, fmt.Errorf("mdns: %w", err)
	}
	return s.Close, nil
}

// newDHT joins the Kademlia table of this network alone.
func newDHT(ctx context.Context, h host.Host, network domain.Hash, bootstrap []peer.AddrInfo) (*dht.IpfsDHT, error) {
	// Every node serves: they are all reachable by configuration, and a table of clients finds nobody.
	d, err := dht.New(ctx, h,
		dht.ProtocolPrefix(protocol.ID("/notary/"+network.String())),
		dht.Mode(dht.ModeServer),
		dht.BootstrapPeers(bootstrap...),
		dht.DisableValues()) // only who is there, nothing stored for others
	if err != nil {
		return nil, fmt.Errorf("dht: %w", err)
	}
	if err := d.Bootstrap(ctx); err != nil {
		d.Close()
		return nil, fmt.Errorf("dht: %w", err)
	}
	return d, nil
}

// look advertises this node and meets others, whenever there are too few, until ctx ends.
func look(ctx context.Context, h host.Host, d *dht.IpfsDHT, network domain.Hash) {
	table, name := drouting.NewRoutingDiscovery(d), "notary-"+network.String()
	var advertised time.Time
	for pause := lookSoon; ; pause = min(2*pause, lookEvery) {
		if time.Since(advertised) > time.Hour {
			if _, err := table.Advertise(ctx, name); err == nil {
				advertised, pause = time.Now(), lookEvery
			}
		}
		if len(h.Network().Peers()) < enoughPeers {
			round, cancel := context.WithTimeout(ctx, lookEvery)
			if found, err := table.FindPeers(round, name); err == nil {
				for p := range found {
					meet(round, h, p)
				}
			}
			cancel()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
