package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/node/store"
)

// Metrics are the collectors of a node. No label names a peer or a client.
type Metrics struct {
	received            [len(origins)]prometheus.Counter
	refused             *prometheus.CounterVec // by reason
	finals              prometheus.Counter
	finalSeconds        prometheus.Histogram
	inFlight            prometheus.Gauge
	votes               prometheus.Counter
	refusedVotes        prometheus.Counter
	withheld            prometheus.Counter
	flushes             prometheus.Counter
	flushLeaves         prometheus.Histogram
	commits             prometheus.Counter
	signatures          prometheus.Counter
	signatureSeconds    prometheus.Counter
	forks               prometheus.Counter
	contested           prometheus.Counter
	broken              prometheus.Counter
	droppedObservations prometheus.Counter
	proven              prometheus.Counter
	missing             prometheus.Gauge
	evidence            *evidenceMetrics
	epochs              *epochMetrics
	held                prometheus.Counter
	trust               *trustMetrics
	snapshotSeconds     prometheus.Gauge
	snapshotBytes       prometheus.Gauge
	snapshotTime        prometheus.Gauge
}

// NewMetrics makes the collectors and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "notary", Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "notary", Name: name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "notary", Name: name, Help: help}, []string{label})
	}
	m := &Metrics{
		refused: vec("transactions_refused_total", "Transactions refused, by reason.", "reason"),
		finals:  counter("transactions_final_total", "Transactions that became final here."),
		finalSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "notary", Name: "transaction_final_seconds", Help: "From arrival here to final here.",
			Buckets: prometheus.ExponentialBuckets(0.002, 1.6, 20),
		}),
		inFlight:     prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "notary", Name: "transactions_in_flight", Help: "Transactions on their way."}),
		votes:        counter("leaves_counted_total", "Leaves of checked observations, own ones included."),
		refusedVotes: counter("votes_refused_total", "Own votes that the vote guard refused."),
		withheld:     counter("votes_withheld_total", "Own votes not cast because this node does not sign: no member, or restored."),
		flushes:      counter("observations_signed_total", "Observations that this node signed."),
		flushLeaves: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "notary", Name: "observation_leaves", Help: "Leaves of the observations that this node signed.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		commits:          counter("commits_total", "Synced writes of final transactions."),
		signatures:       counter("signatures_verified_total", "Signatures verified."),
		signatureSeconds: counter("signature_seconds_total", "Time spent verifying signatures."),
		contested:        counter("transactions_contested_total", "Transactions that went into a contest."),
		broken:           counter("safety_breaks_total", "Final quorums seen for two rivals: more than a third of the weight is faulty."),
		forks:            counter("forks_seen_total", "Observations that contradict another of the same key and height."),
		evidence:         newEvidenceMetrics(r),
		epochs:           newEpochMetrics(r),
		trust:            newTrustMetrics(r),
		held:             counter("transactions_held_total", "Transactions that became final with too little of this node's own trust behind them."),
		proven:           counter("finals_proven_total", "Final transactions taken in by proofs that other nodes gave: their votes did not come."),
		missing: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "notary", Name: "finals_missing", Help: "Transactions that are final elsewhere and not here, when this node last looked.",
		}),
		snapshotSeconds:     gauge("snapshot_seconds", "How long the newest snapshot took to make."),
		snapshotBytes:       gauge("snapshot_bytes", "Size of all pieces of the newest snapshot."),
		snapshotTime:        gauge("snapshot_time_seconds", "The time of the cut of the newest snapshot, Unix seconds; 0 before the first."),
		droppedObservations: counter("observations_dropped_total", "Observations dropped because a queue was full; pulled later."),
	}
	received := vec("transactions_received_total", "Transactions that arrived, by origin.", "origin")
	for kind, label := range origins {
		m.received[kind] = received.WithLabelValues(label)
	}
	r.MustRegister(received, m.refused, m.finals, m.finalSeconds, m.inFlight, m.votes, m.refusedVotes, m.withheld,
		m.flushes, m.flushLeaves, m.commits, m.signatures, m.signatureSeconds, m.forks, m.contested, m.broken, m.droppedObservations, m.held, m.proven, m.missing,
		m.snapshotSeconds, m.snapshotBytes, m.snapshotTime)
	return m
}

func (m *Metrics) verified(n int, d time.Duration) {
	m.signatures.Add(float64(n))
	m.signatureSeconds.Add(d.Seconds())
}

func (m *Metrics) flushed(observations, leaves int) {
	m.flushes.Add(float64(observations))
	m.flushLeaves.Observe(float64(leaves))
}

func (m *Metrics) committed(finals []store.Final) {
	m.commits.Inc()
	m.finals.Add(float64(len(finals)))
}
