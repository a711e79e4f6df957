package gossip

import (
	"fmt"
	"math"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	envelope "github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/domain"
)

// control says one control message.
func (s *stranger) control(c *pb.ControlMessage) error { return s.say(&pb.RPC{Control: c}) }

// subscribe joins all topics, and waits until the node's router keeps a score of it.
func (s *stranger) subscribe(t *testing.T, n *Net) {
	t.Helper()
	rpc := &pb.RPC{}
	for k := range numTopics {
		rpc.Subscriptions = append(rpc.Subscriptions,
			&pb.RPC_SubOpts{Subscribe: proto.Bool(true), Topicid: proto.String(Topic(testNetwork, k.String()))})
	}
	if err := s.say(rpc); err != nil {
		t.Fatal(err)
	}
	eventually(t, "known to the router", func() bool { return slices.Contains(n.topics[topicObs].ListPeers(), s.ID()) })
}

// Whoever leaves the mesh and grafts again and again, against the back-off, is graylisted and loses its connection.
func TestGraftFloodCostsTheConnection(t *testing.T) {
	n := startNet(t, testConfig(0), judge{})
	s := newStranger(t, n, 9)
	s.subscribe(t, n)
	obs := proto.String(Topic(testNetwork, "obs"))
	prune := &pb.ControlMessage{Prune: []*pb.ControlPrune{{TopicID: obs}}}
	graft := &pb.ControlMessage{Graft: []*pb.ControlGraft{{TopicID: obs}}}
	if err := s.control(prune); err != nil {
		t.Fatal(err)
	}
	for range 64 {
		if err := s.control(graft); err != nil {
			break // it is shut out already
		}
	}
	eventually(t, "shut out", func() bool { return len(n.host.Network().ConnsToPeer(s.ID())) == 0 })
}

// Ids that are announced and never come cost the announcer: only so many are asked for in a heartbeat, and whoever
// goes on is graylisted and loses its connection.
func TestIHaveFloodCostsTheConnection(t *testing.T) {
	c := testConfig(0)
	c.Heartbeat = 50 * time.Millisecond
	n := startNet(t, c, judge{})
	s := newStranger(t, n, 9)
	s.subscribe(t, n)
	sent := 0
	eventually(t, "shut out", func() bool {
		ihave := &pb.ControlIHave{TopicID: proto.String(Topic(testNetwork, "obs"))}
		for range 2000 {
			sent++
			ihave.MessageIDs = append(ihave.MessageIDs, fmt.Sprintf("%032d", sent))
		}
		err := s.control(&pb.ControlMessage{Ihave: []*pb.ControlIHave{ihave}})
		return err != nil && len(n.host.Network().ConnsToPeer(s.ID())) == 0
	})
	h := newStranger(t, n, 8)
	h.publish(t, "obs", []byte("honest"))
	if m := receive(t, n.Observations()); string(m.Raw) != "honest" {
		t.Errorf("got %q", m.Raw)
	}
}

// A back-off of centuries, or one that overflows a duration, binds nobody but who asked for it.
func TestHugeBackoff(t *testing.T) {
	nets := meshOf(t, 2, accepting, nil)
	awaitMesh(t, nets[0])
	awaitMesh(t, nets[1])
	for i, backoff := range []uint64{math.MaxUint64, math.MaxInt64, 1 << 40} {
		s := newStranger(t, nets[0], 9+i)
		s.subscribe(t, nets[0])
		var c pb.ControlMessage
		for k := range numTopics {
			c.Prune = append(c.Prune, &pb.ControlPrune{TopicID: proto.String(Topic(testNetwork, k.String())), Backoff: &backoff})
		}
		if err := s.control(&c); err != nil {
			t.Fatal(err)
		}
		said := fmt.Append(nil, "after the back-off ", i)
		s.publish(t, "obs", said)
		if m := receive(t, nets[1].Observations()); string(m.Raw) != string(said) {
			t.Errorf("got %q, want %q relayed", m.Raw, said)
		}
	}
}

// Records in peer exchange that are forged, of somebody else, or garbage lead to no dial, whoever sends them.
func TestForgedPeerRecordsAreNotDialled(t *testing.T) {
	n := startNet(t, testConfig(0), judge{})
	s := newStranger(t, n, 9)
	// A member is believed in peer exchange; it is the worst place to send forgeries from.
	n.SetMembers([]domain.PublicKey{testKey(9).Public()})
	s.subscribe(t, n)
	eventually(t, "a member's score", func() bool {
		scores := n.scores.Load()
		return scores != nil && (*scores)[s.ID()] > exchangeThreshold
	})

	var dialled atomic.Int32
	victim := newStranger(t, n, 7) // listens nowhere; its address leads to a counter
	counter := dialCounter(t, &dialled)
	forger, err := hostKey(testKey(6))
	if err != nil {
		t.Fatal(err)
	}
	other, err := peer.IDFromPrivateKey(forger)
	if err != nil {
		t.Fatal(err)
	}
	victim.Close()
	eventually(t, "the victim gone", func() bool { return n.host.Network().Connectedness(victim.ID()) != network.Connected })

	seal := func(rec *peer.PeerRecord) []byte {
		e, err := envelope.Seal(rec, forger)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	addrs := []ma.Multiaddr{counter}
	forged := seal(&peer.PeerRecord{PeerID: victim.ID(), Addrs: addrs, Seq: 1}) // of the victim, by the forger
	foreign := seal(&peer.PeerRecord{PeerID: other, Addrs: addrs, Seq: 1})      // of the forger itself, said to be the victim's
	var peers []*pb.PeerInfo
	for _, raw := range [][]byte{forged, foreign, []byte("garbage"), make([]byte, 100_000)} {
		peers = append(peers, &pb.PeerInfo{PeerID: []byte(victim.ID()), SignedPeerRecord: raw})
	}
	for k := range numTopics {
		prune := &pb.ControlPrune{TopicID: proto.String(Topic(testNetwork, k.String())), Peers: peers}
		if err := s.control(&pb.ControlMessage{Prune: []*pb.ControlPrune{prune}}); err != nil {
			t.Fatal(err)
		}
	}
	s.publish(t, "obs", []byte("read after the forgeries"))
	receive(t, n.Observations())
	if dialled.Load() != 0 {
		t.Errorf("%d dials to an address that a forged record named", dialled.Load())
	}
	if got := n.host.Peerstore().Addrs(victim.ID()); len(got) > 0 {
		for _, a := range got {
			if a.Equal(counter) {
				t.Errorf("the forged address %v is kept", a)
			}
		}
	}
}

// dialCounter counts connections to a port of its own.
func dialCounter(t *testing.T, dialled *atomic.Int32) ma.Multiaddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			dialled.Add(1)
			c.Close()
		}
	}()
	return ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port))
}

// Connections that come and go by the hundred leave nothing behind, and who stays is served.
func TestConnectionChurn(t *testing.T) {
	n := startNet(t, testConfig(0), judge{})
	stays := newStranger(t, n, 8)
	stays.subscribe(t, n)
	for i := range 100 {
		s := newStranger(t, n, 100+i%10)
		s.subscribe(t, n)
		s.Close()
	}
	stays.publish(t, "obs", []byte("still here"))
	if m := receive(t, n.Observations()); string(m.Raw) != "still here" {
		t.Errorf("got %q", m.Raw)
	}
	eventually(t, "one connection left", func() bool { return len(n.host.Network().Conns()) == 1 })
}
