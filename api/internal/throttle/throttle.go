// Package throttle keeps clients from costing more than their share: two token buckets for each client, one for its calls, which are
// refused when it is empty, and one for work that is paid for as it is done, which waits; and a count of what it has open.
package throttle

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Local is the client behind a Unix socket or any other address without an IP. It has no limits.
const Local = "local"

// Client names the client behind an address: an IPv4 address, or the /64 prefix of an IPv6 address,
// since that is what one subscriber is usually given.
func Client(addr net.Addr) string {
	if addr == nil {
		return Local
	}
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return clientOf(tcp.AddrPort().Addr())
	}
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return Local
	}
	return clientOf(ap.Addr())
}

func clientOf(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() {
		return Local
	}
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil { // cannot be: 64 bits fit an IPv6 address
		panic(err)
	}
	return prefix.String()
}

// Limits are those of one client.
type Limits struct {
	// PerSecond and Burst shape both token buckets.
	PerSecond float64
	Burst     int
	// Calls and Streams are how many calls of any kind, and how many streams, may be open.
	Calls, Streams int
	// Clients is how many clients are remembered.
	Clients int
}

// Refusal says what a client has too much of.
type Refusal struct {
	// What is "rate", "calls" or "streams".
	What string
	// RetryAfter is when trying again makes sense.
	RetryAfter time.Duration
}

// busy is the retry delay for a client that has too much open: nobody knows when it will close some.
const busy = time.Second

// Table knows the clients.
type Table struct {
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	clients map[string]*client
	sweeps  time.Time // no sweep before
}

type client struct {
	calling        bucket // for calls
	working        bucket // for work that waits
	turn           chan struct{}
	calls, streams int
}

type bucket struct {
	tokens float64   // below zero: what is owed
	at     time.Time // when tokens was right
}

// refill gives a bucket what has come since it was looked at last.
func (b *bucket) refill(now time.Time, l *Limits) {
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(b.tokens+d.Seconds()*l.PerSecond, float64(l.Burst))
	}
	b.at = now
}

// full reports whether a bucket would be full if it were refilled.
func (b *bucket) full(now time.Time, l *Limits) bool {
	return b.tokens+now.Sub(b.at).Seconds()*l.PerSecond >= float64(l.Burst)
}

// New returns a table without clients. Now tells the time; its steps may be negative.
func New(limits Limits, now func() time.Time) *Table {
	return &Table{limits: limits, now: now, clients: map[string]*client{}}
}

// Open admits one call of a client that has taken its token, and returns what is to be called once when it has ended, or says
// why not.
func (t *Table) Open(name string, stream bool) (closed func(), refused *Refusal) {
	if name == Local {
		return func() {}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(name)
	if c == nil {
		return nil, &Refusal{"rate", busy}
	}
	if c.calls >= t.limits.Calls {
		return nil, &Refusal{"calls", busy}
	}
	if stream && c.streams >= t.limits.Streams {
		return nil, &Refusal{"streams", busy}
	}
	c.calls++
	if stream {
		c.streams++
	}
	return func() { t.close(c, stream) }, nil
}

// Take charges a token, or says why there is none.
func (t *Table) Take(name string) *Refusal {
	if name == Local {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(name)
	if c == nil {
		return &Refusal{"rate", busy}
	}
	return t.take(c)
}

// Charge takes tokens for what was done already, and reports whether any are left. What a client did not have it owes: it comes off
// what it gets.
func (t *Table) Charge(name string, tokens float64) (left bool) {
	if name == Local {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(name)
	if c == nil { // it was forgotten, and there is no room to remember what it owes
		return false
	}
	c.calling.refill(t.now(), &t.limits)
	c.calling.tokens -= tokens
	return c.calling.tokens > 0
}

// Work takes tokens for work of a client, out of the bucket that work alone takes from, and returns how long the client must wait until
// nothing is owed for it.
func (t *Table) Work(name string, tokens float64) (wait time.Duration) {
	if name == Local {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(name)
	if c == nil { // there is no room to remember what it owes
		return busy
	}
	c.working.refill(t.now(), &t.limits)
	c.working.tokens -= tokens
	return max(0, time.Duration(-c.working.tokens/t.limits.PerSecond*float64(time.Second)))
}

// Turn is where a client with an open call takes its turn, by sending, at work that is paid for when it is done; it is given back by
// receiving. Nil for who needs none.
func (t *Table) Turn(name string) chan struct{} {
	if name == Local {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[name]; c != nil {
		return c.turn
	}
	return nil
}

func (t *Table) close(c *client, stream bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.calls--
	if stream {
		c.streams--
	}
}

// take refills a bucket and takes one token out of it.
func (t *Table) take(c *client) *Refusal {
	b := &c.calling
	b.refill(t.now(), &t.limits)
	if b.tokens >= 1 {
		b.tokens--
		return nil
	}
	wait := time.Duration((1 - b.tokens) / t.limits.PerSecond * float64(time.Second))
	return &Refusal{"rate", max(wait, time.Millisecond)}
}

// client finds or makes a client's entry. It returns nil where the table is full of clients that are
// all in use: then strangers wait, and those already served go on.
func (t *Table) client(name string) *client {
	if c, ok := t.clients[name]; ok {
		return c
	}
	if len(t.clients) >= t.limits.Clients && !t.sweep() {
		return nil
	}
	fresh := bucket{tokens: float64(t.limits.Burst), at: t.now()}
	c := &client{calling: fresh, working: fresh, turn: make(chan struct{}, 1)}
	t.clients[name] = c
	return c
}

// sweep forgets the clients whose buckets have filled up and that have nothing open: remembering them
// changes nothing. It looks through the table at most once a second, so that a crowd of strangers does
// not make it the dearest thing there is.
func (t *Table) sweep() bool {
	now := t.now()
	if now.Before(t.sweeps) {
		return false
	}
	t.sweeps = now.Add(time.Second)
	for name, c := range t.clients {
		if c.calls == 0 && c.calling.full(now, &t.limits) && c.working.full(now, &t.limits) {
			delete(t.clients, name)
		}
	}
	return len(t.clients) < t.limits.Clients
}
