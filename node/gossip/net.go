package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/notarynet/notaryd/proto/domain"
)

var (
	// ErrQueueFull says that a message was not taken, because too many wait to be sent already.
	ErrQueueFull = errors.New("gossip queue is full")
	// ErrClosed says that the network is shut down.
	ErrClosed = errors.New("gossip is closed")
	// ErrSize says that a message is empty or above its limit.
	ErrSize = errors.New("gossip message size")
)

// Net is a running libp2p node. All methods may be called from any goroutine.
type Net struct {
	config  Config
	key     domain.PublicKey
	host    host.Host
	gate    *gate
	ledger  *ledger
	keeper  *keeper
	inbox   *inbox
	metrics Metrics
	log     *slog.Logger

	router *pubsub.PubSub
	tracer *tracer
	topics [numTopics]*pubsub.Topic
	scores atomic.Pointer[map[peer.ID]float64]

	coalescer *coalescer
	outbox    chan outgoing

	asking, serving *slots
	budgets         *budgets
	answers         *budgets               // what this node may ask for
	sizes           [numPulls]atomic.Int64 // of the last answer that came, in bytes: about what one was that was not waited for
	hintsIn         *budgets
	hintsOut        *budgets
	arrivals        chan domain.PublicKey
	present         present

	// cancel ends everything, quit is closed then; running counts what must end before the host goes.
	cancel  context.CancelFunc
	quit    <-chan struct{}
	closers []func() error
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// outgoing waits to be published.
type outgoing struct {
	topic topic
	raw   []byte
}

// New starts a node: it listens, dials whom it knows, and relays. It ends with ctx or Close, which must be
// called in any case. Pulls of others are answered after Serve.
func New(ctx context.Context, c Config, h Handlers, m Metrics, log *slog.Logger) (*Net, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	bootstrap, err := parsePeers(c.Bootstrap)
	if err != nil {
		return nil, err
	}
	direct, err := parsePeers(c.Direct)
	if err != nil {
		return nil, err
	}
	book := newLedger()
	kept := others(PeerID(c.Key.Public()), append(bootstrap, direct...))
	g := newGate(&c, func(id peer.ID) bool {
		key, _ := NodeKey(id)
		return book.isMember(key) || slices.ContainsFunc(kept, func(p peer.AddrInfo) bool { return p.ID == id })
	})
	base, err := newHost(&c, g, m)
	if err != nil {
		return nil, err
	}
	n := &Net{
		config: c, key: c.Key.Public(), host: base, gate: g, ledger: book, metrics: m, log: log,
		keeper:  newKeeper(base, m, kept),
		outbox:  make(chan outgoing, c.Queue),
		asking:  newSlots(c.PullsPerPeer),
		serving: newSlots(c.PullsPerPeer),
		budgets: newBudgets(c.PullRate), answers: newBudgets(c.PullRate * 3 / 4),
		hintsIn: newBudgets(hintRate), hintsOut: newBudgets(hintRate / 2),
		arrivals: make(chan domain.PublicKey, maxArrivals),
	}
	n.inbox = newInbox(base.ID(), &n.config, h, m, n.Penalise)
	ctx, n.cancel = context.WithCancel(ctx)
	n.quit = ctx.Done()
	if err := n.start(ctx, bootstrap, others(base.ID(), direct)); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// others drops this node itself from a list that all nodes share, and joins what is listed twice.
func others(self peer.ID, list []peer.AddrInfo) []peer.AddrInfo {
	byID := map[peer.ID]int{}
	var out []peer.AddrInfo
	for _, p := range list {
		if p.ID == self {
			continue
		}
		if i, twice := byID[p.ID]; twice {
			out[i].Addrs = append(out[i].Addrs, p.Addrs...)
			continue
		}
		byID[p.ID] = len(out)
		out = append(out, p)
	}
	return out
}

// start brings up the router, the topics, discovery and the goroutines.
func (n *Net) start(ctx context.Context, bootstrap, direct []peer.AddrInfo) error {
	n.host.Network().Notify(&network.NotifyBundle{ConnectedF: n.connected, DisconnectedF: n.disconnected})
	n.tracer = newTracer(&n.config, n.metrics, n.Penalise)
	var err error
	n.router, err = newRouter(ctx, n.host, &n.config, direct, n.standing, n.inspect, n.tracer, n.log)
	if err != nil {
		return fmt.Errorf("gossipsub: %w", err)
	}
	for t := range numTopics {
		if err := n.join(t); err != nil {
			return fmt.Errorf("topic %s: %w", t, err)
		}
	}
	// Only now: who comes in finds the topics there, and need not be told of them one by one.
	if err := listen(n.host, &n.config); err != nil {
		return err
	}
	n.coalescer = &coalescer{in: make(chan [][]byte, n.config.Queue),
		wait: n.config.CoalesceWait, bytes: n.config.CoalesceBytes, neighbours: n.neighbours, send: n.sendBatch}
	n.spawn(ctx, n.coalescer.run)
	n.spawn(ctx, n.publish)
	for id := range n.keeper.lost {
		n.spawn(ctx, func(ctx context.Context) { n.keeper.keep(ctx, id) })
	}
	n.spawn(ctx, n.watch)
	n.spawn(ctx, n.rotate)
	return n.discover(ctx, others(n.host.ID(), bootstrap))
}

// join registers the validator of a topic and relays it. There is no subscription: what is accepted is
// delivered by the validator, one hop earlier.
func (n *Net) join(t topic) error {
	name := Topic(n.config.Network, t.String())
	err := n.router.RegisterTopicValidator(name, n.inbox.validator(t),
		pubsub.WithValidatorTimeout(n.config.ValidateTimeout),
		pubsub.WithValidatorConcurrency(topics[t].validators))
	if err != nil {
		return err
	}
	if n.topics[t], err = n.router.Join(name); err != nil {
		return err
	}
	_, err = n.topics[t].Relay()
	return err
}

func (n *Net) discover(ctx context.Context, bootstrap []peer.AddrInfo) error {
	if n.config.MDNS {
		found := make(finder, 16)
		stop, err := startMDNS(n.host, n.config.Network, found)
		if err != nil {
			return err
		}
		n.closers = append(n.closers, stop)
		n.spawn(ctx, func(ctx context.Context) {
			for {
				select {
				case <-ctx.Done():
					return
				case p := <-found:
					meet(ctx, n.host, p)
				}
			}
		})
	}
	if n.config.DHT {
		d, err := newDHT(ctx, n.host, n.config.Network, bootstrap)
		if err != nil {
			return err
		}
		n.closers = append(n.closers, d.Close)
		n.spawn(ctx, func(ctx context.Context) { look(ctx, n.host, d, n.config.Network) })
	}
	return nil
}

// enter counts in something that Close waits for; false once closed. Pair with running.Done.
func (n *Net) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.running.Add(1)
	return true
}

// spawn runs a goroutine that Close waits for.
func (n *Net) spawn(ctx context.Context, run func(context.Context)) {
	if n.enter() {
		go func() {
			defer n.running.Done()
			run(ctx)
		}()
	}
}

// ended reports whether the node has been told to stop.
func (n *Net) ended() bool {
	select {
	case <-n.quit:
		return true
	default:
		return false
	}
}

// Close ends all goroutines and connections. What still waits to be sent is dropped.
func (n *Net) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	n.mu.Unlock()
	n.cancel()
	n.running.Wait()
	var err error
	for _, stop := range n.closers {
		err = errors.Join(err, stop())
	}
	return errors.Join(err, n.host.Close())
}

// Transactions delivers batches that the handler accepted.
func (n *Net) Transactions() <-chan Batch { return n.inbox.transactions }

// Observations delivers observations that the handler accepted.
func (n *Net) Observations() <-chan Message { return n.inbox.messages[topicObs] }

// PeerRecords delivers peer metadata that the handler accepted.
func (n *Net) PeerRecords() <-chan Message { return n.inbox.messages[topicPeer] }

// Evidence delivers evidence that the handler accepted.
func (n *Net) Evidence() <-chan Message { return n.inbox.messages[topicEvidence] }

// PublishTransactions sends canonical transactions to all neighbours, joined with those of other calls
// within Config.CoalesceWait. It never waits: ErrQueueFull means to slow down. The bytes must not be
// changed until they are sent, so never.
func (n *Net) PublishTransactions(raws [][]byte) error {
	for _, raw := range raws {
		if len(raw) == 0 || len(raw) > MaxTransaction {
			return fmt.Errorf("%w: transaction of %d bytes", ErrSize, len(raw))
		}
	}
	if n.ended() {
		return ErrClosed
	}
	if len(raws) > 0 && !offer(n.coalescer.in, raws) {
		n.metrics.Messages.WithLabelValues(topicTx.String(), "dropped").Inc()
		return ErrQueueFull
	}
	return nil
}

// PublishObservation sends a canonical ObservationRun to all neighbours. Like PublishTransactions it never
// waits and keeps the bytes.
func (n *Net) PublishObservation(raw []byte) error { return n.enqueue(topicObs, raw) }

// PublishPeer sends peer metadata, as PublishObservation does.
func (n *Net) PublishPeer(raw []byte) error { return n.enqueue(topicPeer, raw) }

// PublishEvidence sends evidence, as PublishObservation does.
func (n *Net) PublishEvidence(raw []byte) error { return n.enqueue(topicEvidence, raw) }

func (n *Net) enqueue(t topic, raw []byte) error {
	if len(raw) == 0 || len(raw) > topics[t].maxBytes {
		return fmt.Errorf("%w: %s of %d bytes", ErrSize, t, len(raw))
	}
	if n.ended() {
		return ErrClosed
	}
	if !offer(n.outbox, outgoing{t, raw}) {
		n.metrics.Messages.WithLabelValues(t.String(), "dropped").Inc()
		return ErrQueueFull
	}
	return nil
}

// publish sends what waits in the outbox.
func (n *Net) publish(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-n.outbox:
			n.send(ctx, m.topic, m.raw)
		}
	}
}

func (n *Net) sendBatch(ctx context.Context, batch []byte, items int) {
	n.metrics.BatchTransactions.Observe(float64(items))
	n.send(ctx, topicTx, batch)
}

func (n *Net) send(ctx context.Context, t topic, raw []byte) {
	if err := n.topics[t].Publish(ctx, raw); err != nil {
		if !n.ended() {
			n.log.Warn("message not published", "topic", t.String(), "bytes", len(raw), "err", err)
		}
		return
	}
	n.inbox.count(t, "published", len(raw))
}

// maxArrivals bounds the new connections that wait to be noticed.
const maxArrivals = 256

// Arrivals delivers the key of each peer that was not connected and is now. What nobody takes is dropped, and
// such a peer may be gone again.
func (n *Net) Arrivals() <-chan domain.PublicKey { return n.arrivals }

// Key is this node's key.
func (n *Net) Key() domain.PublicKey { return n.key }

// Addrs are this node's addresses with its peer id, as others write them in their bootstrap lists.
func (n *Net) Addrs() []string {
	var out []string
	for _, a := range n.host.Addrs() {
		out = append(out, a.Encapsulate(ma.StringCast("/p2p/"+n.host.ID().String())).String())
	}
	return out
}

// Connect dials a peer once, by a multiaddr with a /p2p/ part.
func (n *Net) Connect(ctx context.Context, addr string) error {
	infos, err := parsePeers([]string{addr})
	if err != nil {
		return err
	}
	return n.host.Connect(ctx, infos[0])
}

// SetMembers names the node keys of the present group: their connections are kept when others are trimmed,
// they are asked first, believed in peer exchange, and never banned.
func (n *Net) SetMembers(keys []domain.PublicKey) {
	came, went := n.ledger.setMembers(keys)
	for _, k := range came {
		n.host.ConnManager().Protect(PeerID(k), "member")
	}
	for _, k := range went {
		n.host.ConnManager().Unprotect(PeerID(k), "member")
	}
}

// Penalise books an offence that the caller found, such as an observation that does not follow. At
// banPoints a peer that is no member is shut out for banTime.
func (n *Net) Penalise(key domain.PublicKey, o Offence) {
	n.metrics.Offences.WithLabelValues(o.String()).Inc()
	if n.ledger.add(key, o, time.Now()) {
		n.shutOut(PeerID(key), "offences")
	}
}

// shutOut bans a peer and closes its connections.
func (n *Net) shutOut(id peer.ID, why string) {
	now := time.Now()
	if n.gate.isBanned(id, now) {
		return
	}
	n.gate.ban(id, now, now.Add(banTime))
	n.metrics.Bans.Inc()
	n.log.Warn("peer shut out", "peer", id.String(), "for", banTime, "why", why)
	// Closing waits for handlers of the connection, which may be the caller.
	if n.enter() {
		go func() {
			defer n.running.Done()
			n.host.Network().ClosePeer(id)
		}()
	}
}

// standing is the router's question about a neighbour.
func (n *Net) standing(id peer.ID) float64 {
	key, ok := NodeKey(id)
	if !ok {
		return graylistThreshold - 1
	}
	return n.ledger.standing(key, time.Now())
}

// inspect receives the router's scores every second. A neighbour below the gray list is no longer read;
// its connection is not needed either.
func (n *Net) inspect(scores map[peer.ID]float64) {
	kept := maps.Clone(scores)
	n.scores.Store(&kept)
	for id, s := range scores {
		key, ok := NodeKey(id)
		if ok && s < graylistThreshold && !n.ledger.isMember(key) && n.host.Network().Connectedness(id) == network.Connected {
			n.shutOut(id, "router score")
		}
	}
}

func (n *Net) connected(_ network.Network, c network.Conn) {
	n.gate.open.Add(1)
	n.countPeers()
	if first := n.present.enter(c); !first {
		return
	}
	if key, ok := NodeKey(c.RemotePeer()); ok {
		offer(n.arrivals, key)
	}
}

func (n *Net) disconnected(_ network.Network, c network.Conn) {
	n.gate.open.Add(-1)
	n.countPeers()
	n.present.leave(c)
	if n.host.Network().Connectedness(c.RemotePeer()) != network.Connected {
		n.keeper.disconnected(c.RemotePeer())
	}
}

// neighbours is how many peers are connected.
func (n *Net) neighbours() int { return len(n.host.Network().Peers()) }

func (n *Net) countPeers() { n.metrics.Peers.Set(float64(n.neighbours())) }
