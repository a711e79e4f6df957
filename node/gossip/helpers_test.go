package gossip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/proto/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what tests wait for; it is not how long anything takes.
const patience = 20 * time.Second

var testNetwork = domain.Sum("test", []byte("network"))

func testKey(i int) domain.PrivateKey {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(i)+1)
	return domain.NewPrivateKey(seed)
}

// judge is a Handlers made of functions; nil accepts.
type judge struct {
	transactions func(ctx context.Context, from domain.PublicKey, raws [][]byte) Verdict
	message      func(ctx context.Context, t topic, from domain.PublicKey, raw []byte) Verdict
}

func (j judge) ValidateTransactions(ctx context.Context, from domain.PublicKey, raws [][]byte) Verdict {
	if j.transactions == nil {
		return Accept
	}
	return j.transactions(ctx, from, raws)
}

func (j judge) one(ctx context.Context, t topic, from domain.PublicKey, raw []byte) Verdict {
	if j.message == nil {
		return Accept
	}
	return j.message(ctx, t, from, raw)
}

func (j judge) ValidateObservation(ctx context.Context, from domain.PublicKey, raw []byte) Verdict {
	return j.one(ctx, topicObs, from, raw)
}

func (j judge) ValidatePeer(ctx context.Context, from domain.PublicKey, raw []byte) Verdict {
	return j.one(ctx, topicPeer, from, raw)
}

func (j judge) ValidateEvidence(ctx context.Context, from domain.PublicKey, raw []byte) Verdict {
	return j.one(ctx, topicEvidence, from, raw)
}

// testConfig listens on a free loopback port.
func testConfig(i int) Config {
	c := DefaultConfig(testNetwork, testKey(i))
	c.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	return c
}

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// startNet starts a node that the test's end closes.
func startNet(t testing.TB, c Config, h Handlers) *Net {
	t.Helper()
	n, err := New(context.Background(), c, h, NewMetrics(prometheus.NewRegistry()), discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

// meshOf starts nodes that all know each other and waits until all neighbours relay all topics.
func meshOf(t testing.TB, count int, handlers func(i int) Handlers, adjust func(i int, c *Config)) []*Net {
	t.Helper()
	var nets []*Net
	var addrs []string
	for i := range count {
		c := testConfig(i)
		c.Bootstrap = addrs
		if adjust != nil {
			adjust(i, &c)
		}
		n := startNet(t, c, handlers(i))
		nets = append(nets, n)
		addrs = append(addrs, n.Addrs()...)
	}
	for _, n := range nets {
		awaitNeighbours(t, n, count-1)
	}
	return nets
}

func accepting(int) Handlers { return judge{} }

// awaitNeighbours returns when that many peers relay each topic.
func awaitNeighbours(t testing.TB, n *Net, count int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for k := range numTopics {
		h, err := n.topics[k].EventHandler()
		if err != nil {
			t.Fatal(err)
		}
		for here := map[peer.ID]bool{}; len(here) < count; {
			e, err := h.NextPeerEvent(ctx)
			if err != nil {
				t.Fatalf("topic %s: %d of %d neighbours: %v", k, len(here), count, err)
			}
			if e.Type == pubsub.PeerJoin {
				here[e.Peer] = true
			} else {
				delete(here, e.Peer)
			}
		}
		h.Cancel()
	}
}

// receive takes one value from a channel, or fails.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// eventually waits for a condition that no channel announces, such as a counter.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func (n *Net) outcomes(k topic, outcome string) float64 {
	return count(n.metrics.Messages.WithLabelValues(k.String(), outcome))
}

func count(c prometheus.Metric) float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		panic(err)
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func addrOf(i, port int) string {
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", port, PeerID(testKey(i).Public()))
}

// store is a Backend over maps. Its transactions are found by domain.Sum("test", raw).
type store struct {
	mu           sync.Mutex
	transactions map[domain.Hash][]byte
	proofs       map[domain.Hash][]byte
	observations map[uint64][]byte
	heads        []Head
	votes        [][]byte
	finals       map[Final][]byte
	asked        int
	// rotate has each answer of votes start elsewhere.
	rotate bool
	// wait, where set, is received from before every answer.
	wait chan struct{}
	set  ids
	// reply, where set, is what all comparisons are answered with.
	reply *setsync.Reply
	// offers are the snapshots, and pieces the parts of all of them.
	offers Snapshots
	pieces map[uint32][]byte
}

func newStore() *store {
	return &store{transactions: map[domain.Hash][]byte{}, proofs: map[domain.Hash][]byte{}, observations: map[uint64][]byte{}, finals: map[Final][]byte{}}
}

func testID(raw []byte) domain.Hash { return domain.Sum("test", raw) }

func (s *store) put(raw []byte) domain.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transactions[testID(raw)] = raw
	return testID(raw)
}

func (s *store) enter(ctx context.Context) error {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	if s.wait == nil {
		return nil
	}
	select {
	case <-s.wait:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *store) Transactions(ctx context.Context, ids []domain.Hash, proofs bool, add func(raw, proof []byte) bool) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if raw, ok := s.transactions[id]; ok && !add(raw, s.proofs[id]) {
			break
		}
	}
	return nil
}

func (s *store) Observations(ctx context.Context, r Range, add func(raw []byte) bool) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := r.From; h <= r.To; h++ {
		if raw, ok := s.observations[h]; ok && !add(raw) {
			break
		}
	}
	return nil
}

// Votes answers with all votes that there are, whatever was asked for, and starts anywhere.
func (s *store) Votes(ctx context.Context, _ Votes, add func(raw []byte) bool) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	from := 0
	if s.rotate && len(s.votes) > 0 {
		from = s.asked * 100 % len(s.votes)
	}
	for i := range s.votes {
		if !add(s.votes[(from+i)%len(s.votes)]) {
			break
		}
	}
	return nil
}

func (s *store) Final(ctx context.Context, _ domain.PublicKey, f Final) ([]byte, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finals[f], nil
}

// Set answers for s.set, or as s.set is told to.
func (s *store) Set(ctx context.Context, asked []setsync.Range) (setsync.Reply, error) {
	if err := s.enter(ctx); err != nil {
		return setsync.Reply{}, err
	}
	if s.reply != nil {
		return *s.reply, nil
	}
	return setsync.Answer(s.set, asked, SetLimits)
}

// ids is a set of ids, ascending.
type ids []domain.Hash

func (s ids) IDs(b setsync.Bounds, limit int) (in []domain.Hash, err error) {
	for _, id := range s {
		if b.Contains(id) && len(in) < limit {
			in = append(in, id)
		}
	}
	return in, nil
}

func (s ids) Fingerprint(b setsync.Bounds) (f setsync.Fingerprint, err error) {
	for _, id := range s {
		if b.Contains(id) {
			f.Add(id)
		}
	}
	return f, nil
}

func (s *store) Heads(ctx context.Context, add func(Head) bool) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	for _, h := range s.heads {
		if !add(h) {
			break
		}
	}
	return nil
}

func isErr(err, kind error) bool { return errors.Is(err, kind) }

// Snapshots implements Backend.
func (s *store) Snapshots(context.Context) (Snapshots, error) { return s.offers, nil }

// Piece implements Backend.
func (s *store) Piece(_ context.Context, _ domain.Hash, piece uint32) ([]byte, error) {
	return s.pieces[piece], nil
}
