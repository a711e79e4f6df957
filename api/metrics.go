package api

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are those of the API. Clients and peers are never labels.
type Metrics struct {
	calls       *prometheus.CounterVec   // method, code, reason
	seconds     *prometheus.HistogramVec // method
	open        *prometheus.GaugeVec     // kind: call or stream
	messages    *prometheus.CounterVec   // method, direction: in or out
	limited     *prometheus.CounterVec   // what: rate, calls, streams
	connections *prometheus.CounterVec   // what: http2, http1, silent, too_many
	panics      prometheus.Counter
	ready       prometheus.Gauge
}

// NewMetrics makes the API's metrics and registers them.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "notary", Subsystem: "api", Name: name, Help: help}, labels)
	}
	m := &Metrics{
		calls:    counter("calls_total", "Calls that ended, by method, gRPC code and reason.", "method", "code", "reason"),
		messages: counter("messages_total", "Messages of calls, by method and direction (in, out).", "method", "direction"),
		limited:  counter("limited_total", "Calls refused because a client had too much: rate, calls, streams.", "what"),
		connections: counter("connections_total",
			"Connections to the public port: http2, http1, silent (no protocol in time), too_many (closed at once).", "what"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "notary", Subsystem: "api", Name: "call_seconds",
			Help:    "Time from a call's start to its end; streams not included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
		}, []string{"method"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "notary", Subsystem: "api", Name: "open",
			Help: "Calls open now, by kind (call, stream).",
		}, []string{"kind"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "notary", Subsystem: "api", Name: "panics_total", Help: "Panics recovered in calls; each is a bug.",
		}),
		ready: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "notary", Subsystem: "api", Name: "ready", Help: "1 when the node is ready to serve, else 0.",
		}),
	}
	for _, c := range []prometheus.Collector{m.calls, m.messages, m.limited, m.connections, m.seconds, m.open, m.panics, m.ready} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// connection counts what became of a connection to the public port.
func (m *Metrics) connection(what string) { m.connections.WithLabelValues(what).Inc() }
