package gossip

import (
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// tracer counts what the router does without asking the validators.
type tracer struct {
	metrics Metrics
	// labels maps full topic names to labels. The allow-list lets no others in.
	labels map[string]string
}

var _ pubsub.RawTracer = (*tracer)(nil)

func newTracer(c *Config, m Metrics) *tracer {
	t := &tracer{metrics: m, labels: map[string]string{}}
	for k := range numTopics {
		t.labels[Topic(c.Network, k.String())] = k.String()
	}
	return t
}

func (t *tracer) count(m *pubsub.Message, outcome string) {
	label, ours := t.labels[m.GetTopic()]
	if !ours {
		label = "unknown"
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
	}
}

// DropRPC implements pubsub.RawTracer.
func (t *tracer) DropRPC(*pubsub.RPC, peer.ID) { t.metrics.RPCDropped.Inc() }

// The rest of pubsub.RawTracer, which nobody counts.

func (t *tracer) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (t *tracer) OnClosedOutboundStream(peer.ID)           {}
func (t *tracer) Join(string)                              {}
func (t *tracer) Leave(string)                             {}
func (t *tracer) Graft(peer.ID, string)                    {}
func (t *tracer) Prune(peer.ID, string)                    {}
func (t *tracer) ValidateMessage(*pubsub.Message)          {}
func (t *tracer) DeliverMessage(*pubsub.Message)           {}
func (t *tracer) ThrottlePeer(peer.ID)                     {}
func (t *tracer) RecvRPC(*pubsub.RPC)                      {}
func (t *tracer) SendRPC(*pubsub.RPC, peer.ID)             {}
func (t *tracer) UndeliverableMessage(*pubsub.Message)     {}
