package gossip

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
)

func TestIdentityBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := domain.NewPrivateKey([32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")))
		k, err := hostKey(key)
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		if got := PeerID(key.Public()); got != id {
			t.Fatalf("peer id %s, want %s", got, id)
		}
		if got, ok := NodeKey(id); !ok || got != key.Public() {
			t.Fatalf("node key %s, %v", got, ok)
		}
		if k.Type() != crypto.Ed25519 {
			t.Fatal("not Ed25519")
		}
	})
	for _, id := range []peer.ID{"", "x", PeerID(domain.PublicKey{})[:37], PeerID(domain.PublicKey{}) + "x", "\x12\x20" + peer.ID(strings.Repeat("h", 36))} {
		if _, ok := NodeKey(id); ok {
			t.Errorf("%q is no node", string(id))
		}
	}
}

func TestConfigValidate(t *testing.T) {
	good := testConfig(0)
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, break_ := range map[string]func(*Config){
		"network":     func(c *Config) { c.Network = domain.Hash{} },
		"connections": func(c *Config) { c.MaxConnections = 1 },
		"subnet":      func(c *Config) { c.MaxPerSubnet = 0 },
		"memory":      func(c *Config) { c.Memory = 1 << 20 },
		"heartbeat":   func(c *Config) { c.Heartbeat = 0 },
		"validation":  func(c *Config) { c.ValidateTimeout = 0 },
		"queue":       func(c *Config) { c.Queue = 0 },
		"coalescing":  func(c *Config) { c.CoalesceWait = time.Second },
		"coalesced":   func(c *Config) { c.CoalesceBytes = MaxBatch },
		"hedge":       func(c *Config) { c.PullHedge = c.PullTimeout },
		"pulls":       func(c *Config) { c.PullsPerPeer = 0 },
		"rate":        func(c *Config) { c.PullRate = 1 << 19 },
		"listen":      func(c *Config) { c.Listen = []string{"nonsense"} },
		"announce":    func(c *Config) { c.Announce = []string{"/ip4/300.0.0.1"} },
		"bootstrap":   func(c *Config) { c.Bootstrap = []string{"/ip4/127.0.0.1/tcp/1"} },
		"direct":      func(c *Config) { c.Direct = []string{"/ip4/127.0.0.1/tcp/1"} },
		"not a node": func(c *Config) {
			c.Bootstrap = []string{"/ip4/127.0.0.1/tcp/1/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC"}
		},
	} {
		c := testConfig(0)
		break_(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := New(context.Background(), c, judge{}, Metrics{}, discard()); err == nil {
			t.Errorf("%s: started", name)
		}
	}
}

func TestLedger(t *testing.T) {
	l, now, key := newLedger(), time.Unix(1e9, 0), testKey(1).Public()
	for i := range 3 {
		if l.add(key, OffenceWrong, now) {
			t.Fatalf("banned after %d", i+1)
		}
	}
	if got := l.points(key, now.Add(pointsHalfLife)); got < 37.4 || got > 37.6 {
		t.Errorf("75 points became %v in one half-life", got)
	}
	if l.standing(key, now) != -75 {
		t.Errorf("standing %v", l.standing(key, now))
	}
	came, went := l.setMembers([]domain.PublicKey{key, key})
	if len(came) != 1 || len(went) != 0 || l.standing(key, now) != memberBonus-75 {
		t.Errorf("came %d, went %d, standing %v", len(came), len(went), l.standing(key, now))
	}
	if l.add(key, OffenceWrong, now) {
		t.Error("a member was banned")
	}
	came, went = l.setMembers(nil)
	if len(came) != 0 || len(went) != 1 || l.isMember(key) {
		t.Errorf("came %d, went %d", len(came), len(went))
	}
	if !l.add(key, OffenceSlow, now) {
		t.Error("101 points and not banned")
	}
	for i := range 2 * maxRecords {
		l.add(testKey(i+10).Public(), OffenceSlow, now)
	}
	if len(l.records) > maxRecords {
		t.Errorf("%d records", len(l.records))
	}
	if l.points(key, now) < 100 {
		t.Error("the guiltiest was forgotten first")
	}
	l.add(testKey(5).Public(), OffenceSlow, now.Add(time.Hour))
	if len(l.records) > 2 {
		t.Errorf("%d records an hour later", len(l.records))
	}
}

// TestLeaver: who makes room is drawn from the worse half of those that are not members, not configured and not new.
func TestLeaver(t *testing.T) {
	now := time.Now()
	peer := func(i int, score float64, age time.Duration) Peer {
		return Peer{Key: testKey(i).Public(), Score: score, Since: now.Add(-age)}
	}
	member, configured, fresh := peer(1, -9, time.Hour), peer(2, -9, time.Hour), peer(3, -9, rotateGrace/2)
	member.Member = true
	kept := func(p Peer) bool { return p.Key == configured.Key }
	stay := []Peer{member, configured, fresh}
	if p, ok := leaver(slices.Clone(stay), kept, now, func(int) int { return 0 }); ok {
		t.Errorf("%v has to go", p)
	}
	all := append(stay, peer(4, 3, time.Hour), peer(5, 1, time.Hour), peer(6, 2, time.Hour))
	for at, want := range []int{5, 6} {
		p, ok := leaver(slices.Clone(all), kept, now, func(n int) int {
			if n != 2 {
				t.Errorf("drawn from %d", n)
			}
			return at
		})
		if !ok || p.Key != testKey(want).Public() {
			t.Errorf("draw %d: score %v", at, p.Score)
		}
	}
}

func TestGate(t *testing.T) {
	c := testConfig(0)
	c.MaxConnections = 100
	c.Banned = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	friend, other := PeerID(testKey(3).Public()), PeerID(testKey(4).Public())
	g := newGate(&c, func(id peer.ID) bool { return id == friend })
	for open, want := range map[int64]bool{74: true, 75: false} {
		g.open.Store(open)
		if got := g.InterceptSecured(network.DirInbound, other, nil); got != want {
			t.Errorf("with %d connections: %v", open, got)
		}
		if away := g.turnedAway.Swap(false); away == want {
			t.Errorf("with %d connections: turned away %v", open, away)
		}
		if !g.InterceptSecured(network.DirInbound, friend, nil) || !g.InterceptSecured(network.DirOutbound, other, nil) {
			t.Error("the rest is for friends and for whom we dial")
		}
	}
	now, id := time.Now(), PeerID(testKey(1).Public())
	g.ban(id, now, now.Add(time.Hour))
	if !g.isBanned(id, now) || g.isBanned(id, now.Add(time.Hour)) || g.InterceptPeerDial(id) || g.InterceptSecured(0, id, nil) {
		t.Error("a ban holds for its time")
	}
	if !g.InterceptPeerDial(PeerID(testKey(2).Public())) || g.InterceptPeerDial("other kind of id") {
		t.Error("nodes may be dialled, others not")
	}
	for a, want := range map[string]bool{
		"/ip4/10.1.2.3/tcp/1":            false,
		"/ip4/11.1.2.3/tcp/1":            true,
		"/ip6/2001:db8::1/tcp/1":         false,
		"/ip6/2001:db9::1/udp/1/quic-v1": true,
		"/ip6/::ffff:10.0.0.1/tcp/1":     false,
		"/dns4/example.org/tcp/1":        true,
	} {
		if got := g.InterceptAddrDial(id, ma.StringCast(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	for i := range maxBans + 10 {
		g.ban(PeerID(testKey(i+5).Public()), now, now.Add(2*time.Hour))
	}
	if len(g.banned) > maxBans || g.isBanned(id, now) {
		t.Errorf("%d bans, the first to end still among them: %v", len(g.banned), g.isBanned(id, now))
	}
}

func TestSlots(t *testing.T) {
	s, key := newSlots(2), testKey(1).Public()
	a, ok1 := s.try(key)
	b, ok2 := s.try(key)
	if _, ok3 := s.try(key); !ok1 || !ok2 || ok3 {
		t.Fatal("two places")
	}
	if c, ok := s.try(testKey(2).Public()); !ok {
		t.Fatal("each peer has its own")
	} else {
		c()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.wait(ctx, key); err == nil {
		t.Fatal("waited for ever")
	}
	got := make(chan func())
	go func() {
		release, _ := s.wait(context.Background(), key)
		got <- release
	}()
	a()
	release := receive(t, got)
	release()
	b()
	if len(s.peers) != 0 {
		t.Errorf("%d slots left behind", len(s.peers))
	}
}

func TestBudgetsBounded(t *testing.T) {
	b, now := newBudgets(1000), time.Unix(1e9, 0)
	debtor := b.of(testKey(0).Public(), now)
	debtor.ReserveN(now, 4000)
	for i := range 2 * maxBudgets {
		b.of(testKey(i+1).Public(), now)
	}
	if len(b.peers) > maxBudgets {
		t.Errorf("%d budgets", len(b.peers))
	}
	if b.of(testKey(0).Public(), now) != debtor {
		t.Error("a debt was forgotten")
	}
}

// Ids differ by topic and by content, and nothing else.
func TestMessageID(t *testing.T) {
	id := func(topic, data string) string {
		return messageID(&pb.Message{Topic: proto.String(topic), Data: []byte(data), From: []byte("any"), Seqno: []byte("any")})
	}
	if id("a", "x") == id("b", "x") || id("a", "x") == id("a", "y") {
		t.Error("two messages, one id")
	}
	if messageID(&pb.Message{Topic: proto.String("a"), Data: []byte("x")}) != id("a", "x") {
		t.Error("one message, two ids")
	}
}

func TestFullOutboxRefuses(t *testing.T) {
	n := &Net{quit: make(chan struct{}), outbox: make(chan outgoing, 1), metrics: NewMetrics(nil),
		coalescer: &coalescer{in: make(chan [][]byte, 1)}}
	for i, want := range []error{nil, ErrQueueFull} {
		if err := n.PublishObservation([]byte("raw")); !isErr(err, want) {
			t.Errorf("observation %d: %v", i, err)
		}
		if err := n.PublishTransactions([][]byte{[]byte("raw")}); !isErr(err, want) {
			t.Errorf("transactions %d: %v", i, err)
		}
	}
	if n.outcomes(topicObs, "dropped") != 1 || n.outcomes(topicTx, "dropped") != 1 {
		t.Error("drops are not counted")
	}
}
