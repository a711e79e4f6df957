package node

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/trust"
)

// marginFloor watches how little it would take to harm the group, and says so. It is the keeper's.
type marginFloor struct {
	floor   int
	metrics *trustMetrics
	log     *slog.Logger
	// warned is the group that was warned of.
	warned domain.Hash
}

// trustMetrics are the gauges of trust. No label names a peer.
type trustMetrics struct {
	epoch, members          prometheus.Gauge
	safety, progress, floor prometheus.Gauge
	safetyWeight, mine      prometheus.Gauge
}

func newTrustMetrics(r prometheus.Registerer) *trustMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "notary", Name: name, Help: help})
		r.MustRegister(g)
		return g
	}
	return &trustMetrics{
		epoch:        gauge("group_epoch", "Epoch of the group."),
		members:      gauge("group_members", "Members of the group."),
		safety:       gauge("margin_safety_peers", "Peers in the smallest set that could break safety together."),
		progress:     gauge("margin_progress_peers", "Peers in the smallest set without which nothing becomes final."),
		safetyWeight: gauge("margin_safety_weight", "Share of the group's weight that the smallest set able to break safety holds, 0 to 1."),
		floor:        gauge("margin_floor_peers", "Peers below which the node warns."),
		mine:         gauge("group_own_share", "How much the group is this node's: one less half the distance of its own trust to the group, 0 to 1. 1 where it has none."),
	}
}

// watch sets the gauges and warns once of every group that fewer peers than the floor could harm.
func (m *marginFloor) watch(t *trusted) {
	if m.metrics == nil {
		return // nobody reads
	}
	g, shares := t.state.Group(), t.state.Shares()
	margin := trust.MarginOf(shares)
	m.metrics.epoch.Set(float64(g.Epoch()))
	m.metrics.members.Set(float64(len(g.Members())))
	m.metrics.safety.Set(float64(len(margin.Safety.Peers)))
	m.metrics.progress.Set(float64(len(margin.Progress.Peers)))
	m.metrics.safetyWeight.Set(float64(margin.Safety.Weight) / float64(group.Total))
	m.metrics.floor.Set(float64(m.floor))
	m.metrics.mine.Set(1 - float64(t.distance())/float64(group.Total))
	if !margin.Below(m.floor) || m.warned == g.Link() {
		return
	}
	m.warned = g.Link()
	m.log.Warn("few peers could harm the group: see notary trust margin", "epoch", g.Epoch(), "floor", m.floor,
		"safety_peers", len(margin.Safety.Peers), "progress_peers", len(margin.Progress.Peers))
}

// distance is half the L1 distance of this node's own trust to the group; 0 where it has none.
func (t *trusted) distance() group.Weight {
	own := t.own()
	if own == nil {
		return 0
	}
	view := make([]trust.Share, 0, len(own))
	for peer, w := range own {
		view = append(view, trust.Share{Peer: peer, Weight: w})
	}
	return trust.Distance(view, t.state.Shares())
}
