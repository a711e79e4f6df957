package gossip

import (
	"context"
	"sync/atomic"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
)

// inbox judges what arrives and queues what was accepted.
type inbox struct {
	self     peer.ID
	handlers Handlers
	metrics  Metrics
	blame    func(domain.PublicKey, Offence)
	wait     time.Duration // Config.PassOnWait

	lingering    [numTopics]atomic.Int32
	transactions chan Batch
	messages     [numTopics]chan Message // that of topicTx stays nil
}

func newInbox(self peer.ID, c *Config, h Handlers, m Metrics, blame func(domain.PublicKey, Offence)) *inbox {
	in := &inbox{self: self, handlers: h, metrics: m, blame: blame, wait: c.PassOnWait, transactions: make(chan Batch, c.Queue)}
	for t := topicObs; t < numTopics; t++ {
		in.messages[t] = make(chan Message, c.Queue)
	}
	return in
}

// validator returns what the router calls for each message of a topic that it has not seen. The router
// ends ctx after Config.ValidateTimeout.
func (in *inbox) validator(t topic) pubsub.ValidatorEx {
	return func(ctx context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
		if from == in.self {
			return pubsub.ValidationAccept // checked where it was published
		}
		result := in.judge(ctx, t, from, m.Data)
		if result == pubsub.ValidationAccept && len(m.Data) >= noteBytes {
			in.linger(ctx, t)
		}
		return result
	}
}

func (in *inbox) judge(ctx context.Context, t topic, from peer.ID, data []byte) pubsub.ValidationResult {
	key, node := NodeKey(from)
	switch {
	case !node:
		return pubsub.ValidationReject // the gate lets none in
	case len(data) == 0:
		return in.refuse(t, key, OffenceMalformed, "malformed")
	case len(data) > topics[t].maxBytes:
		return in.refuse(t, key, OffenceMalformed, "oversize")
	case t == topicTx:
		return in.batch(ctx, key, data)
	}
	v := in.ask(ctx, t, func(ctx context.Context) Verdict { return in.handle(ctx, t, key, data) })
	return in.settle(t, key, v, len(data), func() bool { return offer(in.messages[t], Message{From: key, Raw: data}) })
}

// linger waits before a message is passed on. Each that does takes one of the topic's validators: where half of them do, the others
// are for what comes in.
func (in *inbox) linger(ctx context.Context, t topic) {
	defer in.lingering[t].Add(-1)
	if int(in.lingering[t].Add(1)) > topics[t].validators/2 || in.wait == 0 {
		return
	}
	wait := time.NewTimer(in.wait)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// batch checks that a TransactionBatch is canonical before anybody looks into it.
func (in *inbox) batch(ctx context.Context, from domain.PublicKey, data []byte) pubsub.ValidationResult {
	raws, ok := splitBatch(data)
	if !ok {
		return in.refuse(topicTx, from, OffenceMalformed, "malformed")
	}
	v := in.ask(ctx, topicTx, func(ctx context.Context) Verdict { return in.handlers.ValidateTransactions(ctx, from, raws) })
	return in.settle(topicTx, from, v, len(data), func() bool { return offer(in.transactions, Batch{From: from, Raws: raws}) })
}

// splitBatch returns the transactions of a canonical batch, sharing memory with it; false where the batch
// is not canonical or one of them is empty.
func splitBatch(data []byte) ([][]byte, bool) {
	if batchSchema.Check(data) != nil {
		return nil, false
	}
	raws := make([][]byte, 0, 16)
	for f := range canonical.Fields(data) {
		if len(f.Bytes) == 0 {
			return nil, false
		}
		raws = append(raws, f.Bytes)
	}
	return raws, len(raws) > 0
}

func (in *inbox) handle(ctx context.Context, t topic, from domain.PublicKey, raw []byte) Verdict {
	switch t {
	case topicObs:
		return in.handlers.ValidateObservation(ctx, from, raw)
	case topicPeer:
		return in.handlers.ValidatePeer(ctx, from, raw)
	case topicEvidence:
		return in.handlers.ValidateEvidence(ctx, from, raw)
	default:
		panic("gossip: no handler for topic " + t.String())
	}
}

// ask times a handler. A verdict that comes after its time still counts: the work is done.
func (in *inbox) ask(ctx context.Context, t topic, handler func(context.Context) Verdict) Verdict {
	start := time.Now()
	v := handler(ctx)
	in.metrics.Validation.WithLabelValues(t.String()).Observe(time.Since(start).Seconds())
	return v
}

// settle turns a verdict into the router's, and delivers. A message whose queue is full is relayed all the
// same: others may have room.
func (in *inbox) settle(t topic, from domain.PublicKey, v Verdict, size int, deliver func() bool) pubsub.ValidationResult {
	switch v {
	case Accept:
		if !deliver() {
			in.metrics.Messages.WithLabelValues(t.String(), "dropped").Inc()
			return pubsub.ValidationAccept
		}
		in.count(t, "accepted", size)
		return pubsub.ValidationAccept
	case Take:
		in.count(t, "taken", size)
		return pubsub.ValidationAccept
	case Reject:
		return in.refuse(t, from, OffenceInvalid, "rejected")
	default:
		in.metrics.Messages.WithLabelValues(t.String(), "ignored").Inc()
		return pubsub.ValidationIgnore
	}
}

// refuse drops a message and books it against its sender here, since the router keeps no score of a
// neighbour that does not let it open a stream back.
func (in *inbox) refuse(t topic, from domain.PublicKey, o Offence, outcome string) pubsub.ValidationResult {
	in.blame(from, o)
	in.metrics.Messages.WithLabelValues(t.String(), outcome).Inc()
	return pubsub.ValidationReject
}

func (in *inbox) count(t topic, outcome string, size int) {
	in.metrics.Messages.WithLabelValues(t.String(), outcome).Inc()
	in.metrics.Bytes.WithLabelValues(t.String(), outcome).Add(float64(size))
}

// offer sends without waiting.
func offer[T any](queue chan<- T, v T) bool {
	select {
	case queue <- v:
		return true
	default:
		return false
	}
}
