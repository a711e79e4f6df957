package gossip

import (
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/notarynet/notaryd/proto/domain"
)

// tracer counts what the router does without asking the validators, and follows its mesh.
type tracer struct {
	metrics Metrics
	blame   func(domain.PublicKey, Offence)
	// byName maps full topic names. The allow-list lets no others in.
	byName map[string]topic

	mu   sync.Mutex
	mesh [numTopics]map[peer.ID]struct{}
}

var _ pubsub.RawTracer = (*tracer)(nil)

func newTracer(c *Config, m Metrics, blame func(domain.PublicKey, Offence)) *tracer {
	t := &tracer{metrics: m, blame: blame, byName: map[string]topic{}}
	for k := range numTopics {
		t.byName[Topic(c.Network, k.String())] = k
		t.mesh[k] = map[peer.ID]struct{}{}
	}
	return t
}

func (t *tracer) count(m *pubsub.Message, outcome string) {
	label := "unknown"
	if k, ours := t.byName[m.GetTopic()]; ours {
		label = k.String()
	}
	t.metrics.Messages.WithLabelValues(label, outcome).Inc()
}

// DuplicateMessage implements pubsub.RawTracer.
func (t *tracer) DuplicateMessage(m *pubsub.Message) { t.count(m, "duplicate") }

// RejectMessage implements pubsub.RawTracer. Failed and ignored validations were counted by the inbox.
func (t *tracer) RejectMessage(m *pubsub.Message, reason string) {
	switch reason {
	case pubsub.RejectValidationQueueFull, pubsub.RejectValidationThrottled:
		t.count(m, "throttled")
	case pubsub.RejectUnexpectedAuthInfo, pubsub.RejectUnexpectedSignature, pubsub.RejectSelfOrigin:
		t.count(m, "malformed")
		if key, ok := NodeKey(m.ReceivedFrom); ok {
			t.blame(key, OffenceMalformed)
		}
	}
}

// DropRPC implements pubsub.RawTracer.
func (t *tracer) DropRPC(*pubsub.RPC, peer.ID) { t.metrics.RPCDropped.Inc() }

// Graft implements pubsub.RawTracer.
func (t *tracer) Graft(id peer.ID, name string) {
	t.change(name, func(mesh map[peer.ID]struct{}) { mesh[id] = struct{}{} })
}

// Prune implements pubsub.RawTracer.
func (t *tracer) Prune(id peer.ID, name string) {
	t.change(name, func(mesh map[peer.ID]struct{}) { delete(mesh, id) })
}

// OnClosedOutboundStream implements pubsub.RawTracer: who goes leaves every mesh, without a Prune.
func (t *tracer) OnClosedOutboundStream(id peer.ID) {
	for name := range t.byName {
		t.Prune(id, name)
	}
}

func (t *tracer) change(name string, edit func(map[peer.ID]struct{})) {
	k, ours := t.byName[name]
	if !ours {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	edit(t.mesh[k])
	t.metrics.Mesh.WithLabelValues(k.String()).Set(float64(len(t.mesh[k])))
}

// meshes is in how many meshes each peer is.
func (t *tracer) meshes() map[peer.ID]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := map[peer.ID]int{}
	for _, mesh := range t.mesh {
		for id := range mesh {
			in[id]++
		}
	}
	return in
}

// The rest of pubsub.RawTracer, which nobody counts.

func (t *tracer) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (t *tracer) Join(string)                              {}
func (t *tracer) Leave(string)                             {}
func (t *tracer) ValidateMessage(*pubsub.Message)          {}
func (t *tracer) DeliverMessage(*pubsub.Message)           {}
func (t *tracer) ThrottlePeer(peer.ID)                     {}
func (t *tracer) RecvRPC(*pubsub.RPC)                      {}
func (t *tracer) SendRPC(*pubsub.RPC, peer.ID)             {}
func (t *tracer) UndeliverableMessage(*pubsub.Message)     {}
