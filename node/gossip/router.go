package gossip

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/notarynet/notaryd/proto/domain"
)

// topic is one of the four kinds of gossip.
type topic uint8

const (
	topicTx topic = iota
	topicObs
	topicPeer
	topicEvidence
	numTopics
)

// topics: their names on the wire and the versions of what they carry, the largest message, how many handlers may run at once (which also
// bounds the memory that messages under validation hold: 96 MiB), and how much each weighs when the
// gater, under overload, chooses whom to hear.
var topics = [numTopics]struct {
	name       string
	version    int
	maxBytes   int
	validators int
	weight     float64
}{
	topicTx:       {"tx", 1, MaxBatch, 64, 1},
	topicObs:      {"obs", 2, MaxObservation, 64, 2}, // votes finish what transactions begin
	topicPeer:     {"peer", 1, MaxPeer, 8, 0.5},
	topicEvidence: {"evidence", 1, MaxEvidence, 8, 0.5},
}

// String is the topic's label in metrics and its part of the name on the wire.
func (t topic) String() string { return topics[t].name }

// Topic is the full name on the wire of one of tx, obs, peer, evidence.
func Topic(network domain.Hash, name string) string {
	for _, t := range topics {
		if t.name == name {
			return fmt.Sprintf("/notary/%s/%s/%d", network, name, t.version)
		}
	}
	panic("gossip: no topic " + name)
}

// routerProtocol keeps networks apart: the public GossipSub networks have another message limit, and
// other notary networks other topics.
func routerProtocol(network domain.Hash) protocol.ID {
	return protocol.ID("/notary/" + network.String() + "/meshsub/1.2.0")
}

// routerFeatures: what version 1.2 of GossipSub has. No floodsub, no extensions.
func routerFeatures(f pubsub.GossipSubFeature, _ protocol.ID) bool {
	return f == pubsub.GossipSubFeatureMesh || f == pubsub.GossipSubFeaturePX || f == pubsub.GossipSubFeatureIdontwant
}

// messageID is SHA-256(topic || 0x00 || content). With the content alone, whoever sends somebody's
// observation on the topic of evidence would have it known, and dropped, before it comes on its own.
func messageID(m *pb.Message) string {
	d := sha256.New()
	d.Write([]byte(m.GetTopic()))
	d.Write([]byte{0})
	d.Write(m.GetData())
	return string(d.Sum(make([]byte, 0, sha256.Size)))
}

// noteBytes is the size from which on whoever gets a message tells its neighbours in the mesh that it has it.
const noteBytes = 1 << 10

// routerParams tunes the mesh for networks of a few to a few hundred nodes.
func routerParams(c *Config) pubsub.GossipSubParams {
	p := pubsub.DefaultGossipSubParams()
	// Own messages flood to every neighbour, so the mesh only has to carry them beyond, and to keep
	// some redundancy against neighbours that relay nothing.
	p.D, p.Dlo, p.Dhi, p.Dscore, p.Dout = 6, 4, 10, 4, 2
	// A neighbour that missed a message in the mesh hears of it within a heartbeat.
	p.HeartbeatInterval = c.Heartbeat
	p.HeartbeatInitialDelay = min(c.Heartbeat, 50*time.Millisecond)
	p.HistoryLength, p.HistoryGossip = 8, 6
	p.IDontWantMessageThreshold = noteBytes
	// Ids in one IHAVE: batches arrive at most some hundred a second, six heartbeats are announced.
	p.MaxIHaveLength = 2000
	// As many IHAVE messages a heartbeat as there are topics, twice.
	p.MaxIHaveMessages = 2 * int(numTopics)
	// An id that was promised and does not come within two heartbeats counts against the promiser.
	p.IWantFollowupTime = 2 * c.Heartbeat
	p.GossipRetransmission = 2
	// Leaving and joining again is restarting, here; do not keep a restarted node out for a minute.
	p.PruneBackoff = 20 * time.Second
	p.UnsubscribeBackoff = 5 * time.Second
	p.GraftFloodThreshold = 5 * time.Second
	// Direct peers are dialled at once; after that the keeper redials, faster than the router would.
	p.DirectConnectInitialDelay = 0
	p.DirectConnectTicks = uint64(time.Hour / c.Heartbeat)
	p.Connectors, p.MaxPendingConnections, p.ConnectionTimeout = 4, 32, 10*time.Second
	return p
}

// Thresholds of the router's score, which starts at 0.
const (
	gossipThreshold   = -50  // below: no IHAVE, no IWANT
	publishThreshold  = -75  // below: own messages are not sent there
	graylistThreshold = -100 // below: nothing from there is read
	exchangeThreshold = 5    // above: addresses that it offers are dialled; only members get there
)

// scoreParams is the router's opinion of its neighbours.
func scoreParams(c *Config, standing func(peer.ID) float64) (*pubsub.PeerScoreParams, *pubsub.PeerScoreThresholds) {
	p := &pubsub.PeerScoreParams{
		Topics:            map[string]*pubsub.TopicScoreParams{},
		TopicScoreCap:     exchangeThreshold - 1, // good deeds pay for no bad one, nor for the trust that members have
		AppSpecificScore:  standing,
		AppSpecificWeight: 1,
		// More than 8 nodes behind one address is a crowd, except on this machine.
		IPColocationFactorWeight:    -5,
		IPColocationFactorThreshold: 8,
		IPColocationFactorWhitelist: loopback(),
		// Grafting against the back-off and breaking promises: the first six are forgiven.
		BehaviourPenaltyWeight:    -10,
		BehaviourPenaltyThreshold: 6,
		BehaviourPenaltyDecay:     pubsub.ScoreParameterDecay(10 * time.Minute),
		DecayInterval:             time.Second,
		DecayToZero:               0.01,
		RetainScore:               30 * time.Minute, // reconnecting does not wash off
		SeenMsgTTL:                seenTTL,
	}
	for t := range numTopics {
		p.Topics[Topic(c.Network, t.String())] = &pubsub.TopicScoreParams{
			TopicWeight: 1,
			// Up to 4 points for bringing news. Time in the mesh (P1) earns nothing: a crowd that is
			// early has most of it, and newcomers none.
			TimeInMeshWeight: 0, TimeInMeshQuantum: time.Second,
			FirstMessageDeliveriesWeight: 0.2, FirstMessageDeliveriesCap: 20,
			FirstMessageDeliveriesDecay: pubsub.ScoreParameterDecay(5 * time.Minute),
			// Too few deliveries (P3) is not judged: where everybody floods, an honest neighbour
			// may never be first.
			//
			// Nor are invalid messages (P4), here: they are offences, and offences come in
			// through the application's part.
			InvalidMessageDeliveriesWeight: 0,
			InvalidMessageDeliveriesDecay:  pubsub.ScoreParameterDecay(10 * time.Minute),
		}
	}
	return p, &pubsub.PeerScoreThresholds{
		GossipThreshold: gossipThreshold, PublishThreshold: publishThreshold,
		GraylistThreshold: graylistThreshold, AcceptPXThreshold: exchangeThreshold,
		OpportunisticGraftThreshold: 1,
	}
}

func loopback() []*net.IPNet {
	return []*net.IPNet{
		{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
		{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
	}
}

// seenTTL is how long a message id is remembered: well beyond the history that is gossiped.
const seenTTL = time.Minute

// gaterParams: under overload, when more than a third of what arrives must be dropped unseen, neighbours
// whose messages were bad are dropped first.
func gaterParams(c *Config) *pubsub.PeerGaterParams {
	p := pubsub.NewPeerGaterParams(0.33,
		pubsub.ScoreParameterDecay(2*time.Minute), pubsub.ScoreParameterDecay(10*time.Minute))
	weights := map[string]float64{}
	for t := range numTopics {
		weights[Topic(c.Network, t.String())] = topics[t].weight
	}
	return p.WithTopicDeliveryWeights(weights)
}

// newRouter starts GossipSub.
func newRouter(ctx context.Context, h host.Host, c *Config, direct []peer.AddrInfo, standing func(peer.ID) float64,
	inspect func(map[peer.ID]float64), tracer pubsub.RawTracer, log *slog.Logger) (*pubsub.PubSub, error) {
	var names []string
	validators := 0
	for t := range numTopics {
		names = append(names, Topic(c.Network, t.String()))
		validators += topics[t].validators
	}
	score, thresholds := scoreParams(c, standing)
	opts := []pubsub.Option{
		pubsub.WithLogger(log), // first: other options take the logger over
		pubsub.WithGossipSubProtocols([]protocol.ID{routerProtocol(c.Network)}, routerFeatures),
		pubsub.WithGossipSubParams(routerParams(c)),
		// What is worth sending is signed within; a second signature would only name the relay.
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithMaxMessageSize(maxRPC),
		pubsub.WithMaxControlMessageSize(maxControl),
		pubsub.WithFloodPublish(true), // one hop to every neighbour, before any mesh has formed
		pubsub.WithPeerExchange(true), // accepted above exchangeThreshold only
		pubsub.WithPeerScore(score, thresholds),
		pubsub.WithPeerScoreInspect(inspect, time.Second),
		pubsub.WithPeerGater(gaterParams(c)),
		// These four topics and no others, at most eight subscriptions in one message.
		pubsub.WithSubscriptionFilter(pubsub.WrapLimitSubscriptionFilter(
			pubsub.NewAllowlistSubscriptionFilter(names...), 2*int(numTopics))),
		// A slow neighbour may fall this many RPCs behind before messages to it are dropped. They
		// are shared between neighbours, so what is held is bounded by history as well.
		pubsub.WithPeerOutboundQueueSize(256),
		// Received messages that wait for a validator; beyond, the gater wakes.
		pubsub.WithValidateQueueSize(128),
		pubsub.WithValidateThrottle(validators),
		pubsub.WithSeenMessagesTTL(seenTTL),
		pubsub.WithRawTracer(tracer),
		// Its debug lines hold whole messages.
		pubsub.WithRPCLogger(slog.New(slog.DiscardHandler)),
	}
	if len(direct) > 0 {
		opts = append(opts, pubsub.WithDirectPeers(direct))
	}
	return pubsub.NewGossipSub(ctx, h, slices.Clip(opts)...)
}
