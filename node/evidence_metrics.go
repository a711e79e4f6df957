package node

import "github.com/prometheus/client_golang/prometheus"

// evidenceMetrics are the collectors about evidence. No label names a peer.
type evidenceMetrics struct {
	kept    *prometheus.CounterVec // by kind
	surplus prometheus.Counter
	refused prometheus.Counter
	unbuilt prometheus.Counter
	unheard prometheus.Counter
}

// newEvidenceMetrics makes the collectors and registers them.
func newEvidenceMetrics(r prometheus.Registerer) *evidenceMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "notary", Name: name, Help: help})
	}
	m := &evidenceMetrics{
		kept: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "notary", Name: "evidence_kept_total", Help: "Verified evidence that was stored, by kind.",
		}, []string{"kind"}),
		surplus: counter("evidence_surplus_total", "Gossiped evidence that says nothing new, or is about keys without weight."),
		refused: counter("evidence_refused_total", "Gossiped evidence that convicts nobody: its sender is scored down."),
		unbuilt: counter("evidence_unbuilt_total", "Contradictions that were heard and made no evidence, since part of it is not stored."),
		unheard: counter("evidence_unheard_total", "Reports that the search for contradictions had no room for."),
	}
	r.MustRegister(m.kept, m.surplus, m.refused, m.unbuilt, m.unheard)
	return m
}
