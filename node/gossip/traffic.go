package gossip

import (
	"time"

	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/prometheus/client_golang/prometheus"
)

// traffic counts the bytes of all streams, before encryption. It keeps nothing by peer: the rest of the
// interface is for reports that nobody here asks for.
type traffic struct{ sent, received prometheus.Counter }

// LogSentMessage counts bytes that went out.
func (t traffic) LogSentMessage(n int64) { t.sent.Add(float64(n)) }

// LogRecvMessage counts bytes that came in.
func (t traffic) LogRecvMessage(n int64) { t.received.Add(float64(n)) }

func (traffic) LogSentMessageStream(int64, protocol.ID, peer.ID) {}
func (traffic) LogRecvMessageStream(int64, protocol.ID, peer.ID) {}

func (traffic) GetBandwidthForPeer(peer.ID) metrics.Stats             { return metrics.Stats{} }
func (traffic) GetBandwidthForProtocol(protocol.ID) metrics.Stats     { return metrics.Stats{} }
func (traffic) GetBandwidthTotals() metrics.Stats                     { return metrics.Stats{} }
func (traffic) GetBandwidthByPeer() map[peer.ID]metrics.Stats         { return nil }
func (traffic) GetBandwidthByProtocol() map[protocol.ID]metrics.Stats { return nil }
func (traffic) Reset()                                                {}
func (traffic) TrimIdle(time.Time)                                    {}
