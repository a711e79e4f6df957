package gossip

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/notarynet/notaryd/proto/domain"
)

// reported is a connection as a host reports it.
type reported struct {
	network.Conn
	remote peer.ID
}

func (r reported) RemotePeer() peer.ID { return r.remote }

// TestArrivalsOfTwoConnections: a peer arrives with its first connection and again once it has had none, also where two that dialled each other at once
// had two connections when the first of them was reported.
func TestArrivalsOfTwoConnections(t *testing.T) {
	nets := meshOf(t, 1, accepting, nil)
	n, key := nets[0], domain.NewPrivateKey([32]byte{9}).Public()
	c := reported{remote: PeerID(key)}
	arrived := func() (count int) {
		for {
			select {
			case got := <-n.Arrivals():
				if got != key {
					t.Errorf("%s arrives", got)
				}
				count++
			default:
				return count
			}
		}
	}
	for _, step := range []struct {
		do   func(network.Network, network.Conn)
		want int
	}{{n.connected, 1}, {n.connected, 0}, {n.disconnected, 0}, {n.connected, 0}, {n.disconnected, 0}, {n.disconnected, 0}, {n.connected, 1}, {n.disconnected, 0}} {
		step.do(n.host.Network(), c)
		if got := arrived(); got != step.want {
			t.Fatalf("%d arrivals, want %d", got, step.want)
		}
	}
	if len(n.present.conns) != 0 {
		t.Error("a peer without connections is remembered")
	}
}
