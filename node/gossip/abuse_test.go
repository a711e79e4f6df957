package gossip

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"testing"

	"github.com/libp2p/go-libp2p"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/domain"
)

// stranger is a bare libp2p host that says what it likes.
type stranger struct {
	host.Host
	stream network.Stream
}

// newStranger connects to a node and opens a gossip stream.
func newStranger(t *testing.T, n *Net, key int) *stranger {
	t.Helper()
	k, err := hostKey(testKey(key))
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.Identity(k), libp2p.NoListenAddrs, libp2p.DisableMetrics(),
		libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	h.SetStreamHandler(routerProtocol(n.config.Network), func(s network.Stream) {
		io.Copy(io.Discard, s)
		s.Reset()
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.Connect(ctx, addrInfo(t, n)); err != nil {
		t.Fatal(err)
	}
	s, err := h.NewStream(ctx, n.host.ID(), routerProtocol(n.config.Network))
	if err != nil {
		t.Fatal(err)
	}
	return &stranger{Host: h, stream: s}
}

func addrInfo(t testing.TB, n *Net) peer.AddrInfo {
	t.Helper()
	infos, err := parsePeers(n.Addrs())
	if err != nil {
		t.Fatal(err)
	}
	return infos[0]
}

// say writes one RPC; the error is what the node makes of it.
func (s *stranger) say(rpc *pb.RPC) error {
	raw, err := proto.Marshal(rpc)
	if err != nil {
		return err
	}
	_, err = s.stream.Write(append(binary.AppendUvarint(nil, uint64(len(raw))), raw...))
	return err
}

// publish says one message.
func (s *stranger) publish(t *testing.T, name string, data []byte) {
	t.Helper()
	m := &pb.Message{Topic: proto.String(Topic(testNetwork, name)), Data: data}
	if err := s.say(&pb.RPC{Publish: []*pb.Message{m}}); err != nil {
		t.Fatal(err)
	}
}

// untouchable fails the test where a handler is asked.
func untouchable(t *testing.T) Handlers {
	return judge{
		transactions: func(context.Context, domain.PublicKey, [][]byte) Verdict {
			t.Error("a handler saw transactions")
			return Ignore
		},
		message: func(_ context.Context, k topic, _ domain.PublicKey, _ []byte) Verdict {
			t.Errorf("a handler saw a message on %s", k)
			return Ignore
		},
	}
}

func TestBadMessagesNeverReachHandlers(t *testing.T) {
	large := func(n int) []byte { return bytes.Repeat([]byte{1}, n) }
	for name, c := range map[string]struct {
		topic   string
		data    []byte
		outcome string
	}{
		"empty":                 {"obs", nil, "malformed"},
		"large observation":     {"obs", large(MaxObservation + 1), "oversize"},
		"large peer record":     {"peer", large(MaxPeer + 1), "oversize"},
		"large evidence":        {"evidence", large(MaxEvidence + 1), "oversize"},
		"large batch":           {"tx", large(MaxBatch + 1), "oversize"},
		"not protobuf":          {"tx", []byte("not protobuf"), "malformed"},
		"unknown field":         {"tx", []byte{tag2Varint, 1}, "malformed"},
		"long varint":           {"tx", []byte{tagBatch, 0x81, 0x00, 7}, "malformed"},
		"truncated":             {"tx", []byte{tagBatch, 5, 1, 2}, "malformed"},
		"empty transaction":     {"tx", []byte{tagBatch, 0}, "malformed"},
		"large transaction":     {"tx", appendBytes(nil, tagBatch, large(MaxTransaction+1)), "malformed"},
		"too many transactions": {"tx", bytes.Repeat([]byte{tagBatch, 1, 7}, MaxBatchItems+1), "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			n := startNet(t, testConfig(0), untouchable(t))
			s := newStranger(t, n, 9)
			s.publish(t, c.topic, c.data)
			k := map[string]topic{"tx": topicTx, "obs": topicObs, "peer": topicPeer, "evidence": topicEvidence}[c.topic]
			eventually(t, c.outcome, func() bool { return n.outcomes(k, c.outcome) == 1 })
		})
	}
}

// Messages with an author or signature do not fit a network of messages that authenticate themselves.
func TestAuthorsRefused(t *testing.T) {
	n := startNet(t, testConfig(0), untouchable(t))
	s := newStranger(t, n, 9)
	for i, m := range []*pb.Message{
		{From: []byte(s.ID()), Seqno: []byte{1}},
		{Signature: []byte("signature")},
		{Key: []byte("key")},
	} {
		m.Topic, m.Data = proto.String(Topic(testNetwork, "obs")), []byte{byte(i + 1)}
		if err := s.say(&pb.RPC{Publish: []*pb.Message{m}}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "three refused", func() bool { return n.outcomes(topicObs, "malformed") == 3 })
}

func TestUnknownTopicRefused(t *testing.T) {
	n := startNet(t, testConfig(0), judge{})
	s := newStranger(t, n, 9)
	other := Topic(domain.Sum("test", []byte("other network")), "obs")
	for _, name := range []string{other, "anything"} {
		sub := &pb.RPC_SubOpts{Subscribe: proto.Bool(true), Topicid: proto.String(name)}
		m := &pb.Message{Topic: proto.String(name), Data: []byte("x")}
		if err := s.say(&pb.RPC{Subscriptions: []*pb.RPC_SubOpts{sub}, Publish: []*pb.Message{m}}); err != nil {
			t.Fatal(err)
		}
	}
	// A message that is fine comes after them on the same stream.
	s.publish(t, "obs", []byte("fine"))
	if m := receive(t, n.Observations()); string(m.Raw) != "fine" {
		t.Errorf("got %q", m.Raw)
	}
	for _, name := range []string{other, "anything"} {
		if peers := n.router.ListPeers(name); len(peers) != 0 {
			t.Errorf("a subscription to %q was kept", name)
		}
	}
	eventually(t, "one accepted", func() bool { return n.outcomes(topicObs, "accepted") == 1 }) // counted after it is handed on
	if _, err := n.router.Join("anything"); err == nil {
		t.Error("the node itself may join any topic")
	}
}

// Thousands of subscriptions leave no trace: the whole message is dropped.
func TestSubscriptionFlood(t *testing.T) {
	n := startNet(t, testConfig(0), judge{})
	s := newStranger(t, n, 9)
	rpc := &pb.RPC{}
	for k := range numTopics {
		rpc.Subscriptions = append(rpc.Subscriptions,
			&pb.RPC_SubOpts{Subscribe: proto.Bool(true), Topicid: proto.String(Topic(testNetwork, k.String()))})
	}
	for i := range 2_000 {
		rpc.Subscriptions = append(rpc.Subscriptions,
			&pb.RPC_SubOpts{Subscribe: proto.Bool(true), Topicid: proto.String(fmt.Sprint("flood", i))})
	}
	if err := s.say(rpc); err != nil {
		t.Fatal(err)
	}
	s.publish(t, "obs", []byte("after"))
	receive(t, n.Observations())
	for k := range numTopics {
		if peers := n.topics[k].ListPeers(); len(peers) != 0 {
			t.Errorf("topic %s has %d peers from a flooding message", k, len(peers))
		}
	}
}

// An RPC above the limit ends the stream before it is read.
func TestOversizeRPCEndsStream(t *testing.T) {
	n := startNet(t, testConfig(0), untouchable(t))
	s := newStranger(t, n, 9)
	if _, err := s.stream.Write(binary.AppendUvarint(nil, maxRPC+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.stream.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("stream goes on: %v", err)
	}
}

// Control messages have a limit of their own, far below that of content.
func TestControlFloodEndsStream(t *testing.T) {
	n := startNet(t, testConfig(0), untouchable(t))
	s := newStranger(t, n, 9)
	want := &pb.ControlIWant{}
	for i := range 8000 {
		want.MessageIDs = append(want.MessageIDs, fmt.Sprintf("%032d", i))
	}
	if err := s.say(&pb.RPC{Control: &pb.ControlMessage{Iwant: []*pb.ControlIWant{want}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.stream.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("stream goes on: %v", err)
	}
}

// Who sends invalid messages is shut out, also who never lets the node open a stream back, of whom the
// router keeps no score.
func TestInvalidMessagesCostTheConnection(t *testing.T) {
	n := startNet(t, testConfig(0), judge{message: func(context.Context, topic, domain.PublicKey, []byte) Verdict { return Reject }})
	s := newStranger(t, n, 9)
	s.RemoveStreamHandler(routerProtocol(testNetwork))
	for i := range 4 {
		s.publish(t, "obs", []byte{byte(i + 1)})
	}
	eventually(t, "shut out", func() bool {
		return count(n.metrics.Bans) == 1 && len(n.host.Network().ConnsToPeer(s.ID())) == 0
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.Network().ClosePeer(n.host.ID())
	if _, err := s.NewStream(network.WithNoDial(ctx, "test"), n.host.ID(), routerProtocol(testNetwork)); err == nil {
		t.Error("a banned peer opened a stream")
	}
	if err := n.Connect(ctx, "/ip4/127.0.0.1/tcp/1/p2p/"+s.ID().String()); err == nil {
		t.Error("a banned peer was dialled")
	}
}

// A host without an Ed25519 identity is no node.
func TestOtherKeysRefused(t *testing.T) {
	n := startNet(t, testConfig(0), judge{})
	k, _, err := crypto.GenerateECDSAKeyPair(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.Identity(k), libp2p.NoListenAddrs, libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.Connect(ctx, addrInfo(t, n)); err == nil {
		_, err = h.NewStream(ctx, n.host.ID(), routerProtocol(testNetwork))
		if err == nil {
			t.Error("an ECDSA identity was let in")
		}
	}
	if peers := n.Peers(); len(peers) != 0 {
		t.Errorf("peers %v", peers)
	}
}

func TestBannedNetworks(t *testing.T) {
	c := testConfig(0)
	c.Banned = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	n := startNet(t, c, judge{})
	other := startNet(t, testConfig(1), judge{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Connect(ctx, other.Addrs()[0]); err == nil {
		t.Error("dialled into a banned network")
	}
	if err := other.Connect(ctx, n.Addrs()[0]); err == nil {
		t.Error("let in from a banned network")
	}
}
