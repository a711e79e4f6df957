package throttle

import (
	"fmt"
	"math"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClient(t *testing.T) {
	text := func(s string) net.Addr { return &net.UnixAddr{Name: s, Net: "tcp"} }
	for want, addrs := range map[string][]net.Addr{
		"192.0.2.7":         {&net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 5}, text("192.0.2.7:99"), &net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.7")}},
		"2001:db8:1:2::/64": {&net.TCPAddr{IP: net.ParseIP("2001:db8:1:2:3::4")}, &net.TCPAddr{IP: net.ParseIP("2001:db8:1:2:ffff::")}, text("[2001:db8:1:2::9]:1")},
		"fe80::/64":         {&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"}, text("[fe80::2%eth0]:1")},
		Local:               {nil, &net.UnixAddr{Name: "@", Net: "unix"}, &net.TCPAddr{}},
	} {
		for _, addr := range addrs {
			if got := Client(addr); got != want {
				t.Errorf("Client(%v) = %q, want %q", addr, got, want)
			}
		}
	}
}

// clock is a clock that stands still.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func TestLocalHasNoLimits(t *testing.T) {
	table := New(Limits{PerSecond: 1, Burst: 1, Calls: 1, Streams: 1, Clients: 1}, (&clock{}).Now)
	for range 100 {
		if _, refused := table.Open(Local, true); refused != nil || table.Take(Local) != nil {
			t.Fatal(refused)
		}
	}
}

// TestBucket holds a client's admissions against a twin that counts each over all windows of time: no
// more than burst + rate * window, and never a refusal while the window's budget is unspent.
func TestBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{PerSecond: float64(rapid.IntRange(1, 50).Draw(t, "rate")), Burst: rapid.IntRange(1, 20).Draw(t, "burst"), Calls: 1, Streams: 1, Clients: 1}
		c := &clock{time.Unix(1e9, 0)}
		table := New(limits, c.Now)
		var admitted []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			c.now = c.now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "ms")) * time.Millisecond)
			// The twin: room is the least, over the past, of what a window ending now may still take.
			room := float64(limits.Burst)
			for i, at := range admitted {
				budget := float64(limits.Burst) + c.now.Sub(at).Seconds()*limits.PerSecond
				room = math.Min(room, budget-float64(len(admitted)-i))
			}
			refused := table.Take("a")
			switch {
			case room >= 1+1e-6 && refused != nil:
				t.Fatalf("refused with room for %v", room)
			case room < 1-1e-6 && refused == nil:
				t.Fatalf("admitted with room for %v", room)
			case refused != nil:
				if refused.What != "rate" || refused.RetryAfter < time.Millisecond || refused.RetryAfter > time.Second {
					t.Fatalf("%+v", refused)
				}
				again := c.now
				c.now = c.now.Add(refused.RetryAfter + time.Microsecond)
				if table.Take("a") != nil {
					t.Fatalf("refused again %v after %v", refused.RetryAfter, again)
				}
				admitted = append(admitted, c.now)
			default:
				admitted = append(admitted, c.now)
			}
		}
	})
}

// TestOpen holds the counts against a plain list of what is open.
func TestOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{PerSecond: 1, Burst: 1000, Calls: rapid.IntRange(1, 6).Draw(t, "calls"), Streams: rapid.IntRange(1, 4).Draw(t, "streams"), Clients: 2}
		table := New(limits, (&clock{time.Unix(1e9, 0)}).Now)
		type entry struct {
			client string
			stream bool
			close  func()
		}
		var open []entry
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			if len(open) > 0 && rapid.Bool().Draw(t, "close") {
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				open[i].close()
				open = append(open[:i], open[i+1:]...)
				continue
			}
			e := entry{client: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "client"), stream: rapid.Bool().Draw(t, "stream")}
			calls, streams := 0, 0
			for _, o := range open {
				if o.client == e.client {
					calls++
					if o.stream {
						streams++
					}
				}
			}
			want := ""
			switch {
			case calls >= limits.Calls:
				want = "calls"
			case e.stream && streams >= limits.Streams:
				want = "streams"
			}
			closed, refused := table.Open(e.client, e.stream)
			if refused != nil && refused.What != want || refused == nil && want != "" {
				t.Fatalf("%+v with %d calls and %d streams open: %+v, want %q", e, calls, streams, refused, want)
			}
			if refused == nil {
				e.close = closed
				open = append(open, e)
			}
		}
	})
}

// TestTableIsBounded: strangers wait while the table is full of clients that are in use or have spent
// tokens; idle ones make room, but not more than once a second.
func TestTableIsBounded(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	table := New(Limits{PerSecond: 1, Burst: 2, Calls: 1, Streams: 1, Clients: 3}, c.Now)
	closed, _ := table.Open("busy", false)
	table.Take("x")
	table.Take("y")
	if r := table.Take("stranger"); r == nil || r.What != "rate" {
		t.Fatalf("%+v", r)
	}
	if _, r := table.Open("stranger", false); r == nil || r.What != "rate" {
		t.Fatalf("%+v", r)
	}
	if r := table.Take("x"); r != nil {
		t.Fatalf("one already known: %+v", r)
	}
	c.now = c.now.Add(10 * time.Second)
	if r := table.Take("stranger"); r != nil {
		t.Fatalf("after the others were idle: %+v", r)
	}
	if len(table.clients) != 2 { // busy and stranger
		t.Errorf("%d remembered", len(table.clients))
	}
	closed()
	c.now = c.now.Add(-time.Hour) // a clock that is set back neither fills nor empties buckets
	if r := table.Take("stranger"); r != nil {
		t.Errorf("%+v", r)
	}
	if r := table.Take("stranger"); r == nil {
		t.Error("the third token of two")
	}
}

// TestCharge: what was done already is charged whatever a client has, and comes off what it gets; it gets no more credit for having stood
// still than anybody.
func TestCharge(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	table := New(Limits{PerSecond: 2, Burst: 4, Calls: 1, Streams: 1, Clients: 2}, c.Now)
	for _, step := range []struct {
		after time.Duration
		cost  float64
		left  bool
	}{{0, 0.5, true}, {0, 3, true}, {0, 0.5, false}, {0, 6, false}, {time.Second, 0, false}, {3 * time.Second, 1, true}} {
		c.now = c.now.Add(step.after)
		if left := table.Charge("a", step.cost); left != step.left {
			t.Errorf("%+v: %v", step, left)
		}
	}
	if r := table.Take("a"); r != nil { // 4 - 10 + 2 + 6 - 1
		t.Errorf("the last token: %+v", r)
	}
	table.Charge("a", 9)
	if r := table.Take("a"); r == nil || r.RetryAfter != 5*time.Second {
		t.Errorf("with 9 owed: %+v", r)
	}
	if !table.Charge(Local, 1e9) {
		t.Error("the operator's socket has limits")
	}
	table.Charge("b", 1)
	if table.Charge("stranger", 1) {
		t.Error("a client that there is no room for may go on")
	}
}

// TestWork: work takes from a bucket of its own, may owe, and is told how long until it has paid; a client that owes is not forgotten.
func TestWork(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	table := New(Limits{PerSecond: 2, Burst: 4, Calls: 1, Streams: 1, Clients: 1}, c.Now)
	for i, want := range []time.Duration{0, 0, time.Second, 2500 * time.Millisecond} { // at three tokens each, but for the first
		tokens := 3.0
		if i == 0 {
			tokens = 0
		}
		if got := table.Work("a", tokens); got != want {
			t.Errorf("%d: %v, want %v", i, got, want)
		}
		if table.Take("a") != nil {
			t.Errorf("%d: work takes the tokens of calls", i)
		}
	}
	c.now = c.now.Add(2 * time.Second) // the calls are paid for, the work is not
	if table.Work("b", 1) == 0 || table.Take("b") == nil {
		t.Error("who owes was forgotten")
	}
	c.now = c.now.Add(4 * time.Second)
	if wait := table.Work("b", 1); wait != 0 {
		t.Errorf("after everything was paid: %v", wait)
	}
	if table.Work(Local, 1e9) != 0 || table.Turn(Local) != nil || table.Turn("b") == nil {
		t.Error("turns")
	}
}

func BenchmarkOpen(b *testing.B) {
	table := New(Limits{PerSecond: 1e12, Burst: 1e9, Calls: 1e6, Streams: 1e6, Clients: 1024}, time.Now)
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		closed, refused := table.Open(names[i%1000], false)
		if refused != nil {
			b.Fatal(refused)
		}
		closed()
	}
}
