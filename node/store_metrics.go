package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/notarynet/notaryd/node/store"
)

// storeMetrics asks the store what it takes whenever it is scraped.
type storeMetrics struct {
	store                               *store.Store
	class, total, free, log, memtables  *prometheus.Desc
	debt, stalls, stalled, failed       *prometheus.Desc
	hits, misses, live, pending, pruned *prometheus.Desc
	epoch                               *prometheus.Desc
}

// NewStoreMetrics is a collector of what a store takes on disk and how its writing goes.
func NewStoreMetrics(s *store.Store) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("notary_store_"+name, help, labels, nil)
	}
	return &storeMetrics{
		store:     s,
		class:     desc("class_bytes", "Bytes in tables, an estimate, by class of record (docs/spec/store.md).", "class"),
		total:     desc("bytes", "Bytes of the data directory."),
		free:      desc("free_bytes", "Bytes free on its disk."),
		log:       desc("log_bytes", "Bytes of the write-ahead log."),
		memtables: desc("memtable_bytes", "Bytes in memory that wait to be flushed."),
		debt:      desc("compaction_debt_bytes", "Bytes that compactions have to write, an estimate."),
		stalls:    desc("stalls_total", "Times that writes waited for flushes or compactions."),
		stalled:   desc("stalled_seconds_total", "How long they waited."),
		failed:    desc("background_errors_total", "Flushes and compactions that failed and were tried again."),
		hits:      desc("cache_hits_total", "Blocks read from the cache."),
		misses:    desc("cache_misses_total", "Blocks read from disk."),
		live:      desc("live_outputs", "Live outputs."),
		pending:   desc("pending", "Transactions voted on and not decided."),
		pruned:    desc("pruned_before_seconds", "Observations sealed before this time may be gone, Unix seconds; 0 for none."),
		epoch:     desc("signing_epoch", "The signing epoch in which this store signs; -1 for a backup that was not restored."),
	}
}

// Describe implements prometheus.Collector.
func (m *storeMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.class, m.total, m.free, m.log, m.memtables, m.debt, m.stalls, m.stalled, m.failed, m.hits, m.misses, m.live, m.pending,
		m.pruned, m.epoch,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. A store that fails or is closed tells nothing.
func (m *storeMetrics) Collect(ch chan<- prometheus.Metric) {
	u, err := m.store.Usage()
	if err != nil {
		return
	}
	prunedMS, err := m.store.PrunedMS()
	if err != nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	for class, n := range u.Classes {
		gauge(m.class, float64(n), class)
	}
	gauge(m.total, float64(u.Total))
	gauge(m.free, float64(u.Free))
	gauge(m.log, float64(u.Log))
	gauge(m.memtables, float64(u.Memtables))
	gauge(m.debt, float64(u.CompactionDebt))
	counter(m.stalls, float64(u.Stalls))
	counter(m.stalled, u.StalledFor.Seconds())
	counter(m.failed, float64(u.BackgroundErrors))
	counter(m.hits, float64(u.CacheHits))
	counter(m.misses, float64(u.CacheMisses))
	counts := m.store.Counts()
	gauge(m.live, float64(counts.LiveOutputs))
	gauge(m.pending, float64(counts.Pending))
	gauge(m.pruned, float64(prunedMS)/1000)
	signing := m.store.Signing()
	if signing.Backup {
		gauge(m.epoch, -1)
	} else {
		gauge(m.epoch, float64(signing.Epoch))
	}
}
