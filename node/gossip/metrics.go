package gossip

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the collectors of this package. No label names a peer: peers are many and come and go.
type Metrics struct {
	// Messages counts gossip messages by topic and outcome: accepted, taken, ignored, rejected,
	// malformed, oversize, duplicate, throttled, dropped (queue full), published.
	Messages *prometheus.CounterVec
	// Bytes counts gossip payload bytes by topic and outcome (accepted, taken, published).
	Bytes *prometheus.CounterVec
	// Validation is how long handlers take, in seconds, by topic.
	Validation *prometheus.HistogramVec
	// RPCDropped counts outgoing RPCs dropped because a peer's outbound queue was full.
	RPCDropped prometheus.Counter
	// BatchTransactions is how many own transactions went out in one batch.
	BatchTransactions prometheus.Histogram
	// Asked counts pull attempts by protocol and outcome: ok, empty, wrong, timeout, busy, unreachable,
	// cancelled.
	Asked *prometheus.CounterVec
	// AskedSeconds is how long pull attempts take, by protocol.
	AskedSeconds *prometheus.HistogramVec
	// Served counts pulls answered by protocol and outcome: ok, malformed, busy, limited, failed.
	Served *prometheus.CounterVec
	// Hints counts hints of finality by outcome: sent and unsent, and of those that came taken, dropped,
	// malformed, busy, limited, failed.
	Hints *prometheus.CounterVec
	// Mesh is how many neighbours are in the mesh of each topic.
	Mesh *prometheus.GaugeVec
	// Peers is how many peers are connected.
	Peers prometheus.Gauge
	// Dials counts attempts to reach kept peers by outcome: ok, failed.
	Dials *prometheus.CounterVec
	// Offences counts misdeeds by kind; Bans counts peers shut out for them.
	Offences *prometheus.CounterVec
	Bans     prometheus.Counter
	// Sent and Received are the bytes of all streams between peers, before encryption.
	Sent, Received prometheus.Counter
}

// NewMetrics makes the collectors and registers them, where registry is not nil.
func NewMetrics(registry prometheus.Registerer) Metrics {
	const ns, sub = "notaryd", "gossip"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, labels)
	}
	seconds := func(name, help, label string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9), // 0.1 ms to 6.5 s
		}, []string{label})
	}
	m := Metrics{
		Messages:   counters("messages_total", "Gossip messages by topic and outcome.", "topic", "outcome"),
		Bytes:      counters("bytes_total", "Gossip payload bytes by topic and outcome.", "topic", "outcome"),
		Validation: seconds("validation_seconds", "Time that handlers take over a message.", "topic"),
		RPCDropped: counter("rpc_dropped_total", "Outgoing RPCs dropped because the peer's queue was full."),
		BatchTransactions: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: "batch_transactions", Help: "Own transactions sent in one batch.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 6), // 1 to 1024
		}),
		Asked:        counters("pulls_asked_total", "Pull attempts by protocol and outcome.", "protocol", "outcome"),
		AskedSeconds: seconds("pull_seconds", "Time of a pull attempt.", "protocol"),
		Served:       counters("pulls_served_total", "Pulls answered by protocol and outcome.", "protocol", "outcome"),
		Hints:        counters("hints_total", "Hints of finality to and from peers by outcome.", "outcome"),
		Peers: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: ns, Subsystem: sub, Name: "peers", Help: "Connected peers."}),
		Mesh: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: ns, Subsystem: sub, Name: "mesh_peers", Help: "Neighbours in the mesh of a topic."}, []string{"topic"}),
		Dials:    counters("dials_total", "Attempts to reach kept peers by outcome.", "outcome"),
		Offences: counters("offences_total", "Misdeeds of peers by kind.", "kind"),
		Bans:     counter("bans_total", "Peers shut out for their misdeeds."),
	}
	m.Sent = counter("sent_bytes_total", "Bytes sent to peers over all streams, before encryption.")
	m.Received = counter("received_bytes_total", "Bytes received from peers over all streams, before encryption.")
	if registry != nil {
		registry.MustRegister(m.Sent, m.Received, m.Messages, m.Bytes, m.Validation, m.RPCDropped, m.BatchTransactions,
			m.Asked, m.AskedSeconds, m.Served, m.Hints, m.Peers, m.Mesh, m.Dials, m.Offences, m.Bans)
	}
	return m
}
