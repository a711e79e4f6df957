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
	closed bool
}

func (r *reported) RemotePeer() peer.ID { return r.remote }
func (r *reported) IsClosed() bool      { return r.closed }

// TestArrivalsOfTwoConnections: a peer arrives with its first connection and again once it has had none, also where two that dialled each other at once
// had two connections when the first of them was reported, and where that the last one is closed is reported after the next one has come.
func TestArrivalsOfTwoConnections(t *testing.T) {
	nets := meshOf(t, 1, accepting, nil)
	n, key := nets[0], domain.NewPrivateKey([32]byte{9}).Public()
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
	var conns [6]*reported
	for i := range conns {
		conns[i] = &reported{remote: PeerID(key)}
	}
	comes := func(i int) { n.connected(n.host.Network(), conns[i]) }
	closes := func(i int) { conns[i].closed = true }
	goes := func(i int) { closes(i); n.disconnected(n.host.Network(), conns[i]) }
	for i, step := range []struct {
		do   func(int)
		conn int
		want int
	}{
		{comes, 0, 1}, {comes, 1, 0}, {goes, 0, 0}, {comes, 2, 0}, {goes, 1, 0}, {goes, 2, 0},
		{comes, 3, 1}, {closes, 3, 0}, {comes, 4, 1}, {goes, 3, 0}, {comes, 5, 0}, {goes, 5, 0}, {goes, 4, 0},
	} {
		step.do(step.conn)
		if got := arrived(); got != step.want {
			t.Fatalf("step %d: %d arrivals, want %d", i, got, step.want)
		}
	}
	if len(n.present.conns) != 0 {
		t.Error("a peer without connections is remembered")
	}
}
