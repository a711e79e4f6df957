package split

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipes is a listener of connections in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial gives one end to the splitter and returns the other.
func (p *pipes) dial() net.Conn {
	a, b := net.Pipe()
	p.conns <- b
	return a
}

// start runs a splitter until the test ends and returns it with its events.
func start(t interface {
	Cleanup(func())
	Errorf(string, ...any)
}, inner net.Listener, timeout time.Duration, connections, perHost int) (*Splitter, chan string) {
	events := make(chan string, 1000)
	s := New(inner, Config{
		Timeout: timeout, Places: NewPlaces(connections, perHost),
		Host:  func(net.Addr) string { return "host" },
		Event: func(what string) { events <- what },
	})
	ended := make(chan error, 1)
	go func() { ended <- s.Run() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s, events
}

// TestEveryByteArrives: whatever is sent, in whatever pieces, reaches the right side whole.
func TestEveryByteArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{preface, "GET / HTTP/1.1\r\n\r\n", "P", ""}).Draw(t, "start") + rapid.String().Draw(t, "rest")
		if rapid.Bool().Draw(t, "cut") {
			text = text[:rapid.IntRange(0, len(text)).Draw(t, "at")]
		}
		sent := []byte(text)
		known := len(sent) >= len(preface) || !strings.HasPrefix(preface, text)
		want2 := bytes.HasPrefix(sent, []byte(preface))

		inner := newPipes()
		s, events := start(t, inner, 10*time.Second, 10, 10)
		c := inner.dial()
		go func() {
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 1+len(rest)/3)
				c.Write(rest[:n])
				rest = rest[n:]
			}
			c.Close()
		}()
		if !known {
			if what := <-events; what != "silent" {
				t.Fatalf("%q is %s", text, what)
			}
			return
		}
		listener, want := s.HTTP1(), "http1"
		if want2 {
			listener, want = s.HTTP2(), "http2"
		}
		got, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		all, err := io.ReadAll(got)
		if err != nil || !bytes.Equal(all, sent) {
			t.Fatalf("%q, %v; sent %q", all, err, sent)
		}
		if what := <-events; what != want {
			t.Fatalf("%q is %s", text, what)
		}
	})
}

func TestSilentConnectionsEnd(t *testing.T) {
	inner := newPipes()
	_, events := start(t, inner, time.Millisecond, 10, 10)
	for _, first := range []string{"", "P", preface[:23]} {
		c := inner.dial()
		if first != "" {
			go c.Write([]byte(first)) // the pipe has no buffer, so this may fail with the connection
		}
		if what := <-events; what != "silent" {
			t.Errorf("%q is %s", first, what)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%q: %v", first, err)
		}
		c.Close()
	}
}

// TestPlaces: connections above a limit are closed at once, and a place is free again after Close, which
// may be called twice.
func TestPlaces(t *testing.T) {
	for _, limits := range [][2]int{{2, 10}, {10, 2}} {
		inner := newPipes()
		s, events := start(t, inner, 10*time.Second, limits[0], limits[1])
		first, second := inner.dial(), inner.dial()
		third := inner.dial()
		if what := <-events; what != "too_many" {
			t.Errorf("the third is %s", what)
		}
		if _, err := third.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the third: %v", err)
		}
		go first.Write([]byte("GET"))
		served, err := s.HTTP1().Accept()
		if err != nil || <-events != "http1" {
			t.Fatal(err)
		}
		served.Close()
		served.Close()
		fourth := inner.dial()
		go fourth.Write([]byte("POST"))
		again, err := s.HTTP1().Accept()
		if err != nil || <-events != "http1" {
			t.Fatal(err)
		}
		fifth := inner.dial()
		if what := <-events; what != "too_many" {
			t.Errorf("the fifth is %s: closing twice gave back two places", what)
		}
		for _, c := range []net.Conn{second, third, fourth, fifth, again} {
			c.Close()
		}
	}
}

// TestCloseWithConnectionsOpen: those whose protocol is not known are closed, those handed out stay,
// those nobody accepts are closed too.
func TestCloseWithConnectionsOpen(t *testing.T) {
	inner := newPipes()
	s, events := start(t, inner, time.Hour, 10, 10)
	unknown, known, unclaimed := inner.dial(), inner.dial(), inner.dial()
	for held := 0; held < 3; time.Sleep(time.Millisecond) { // the last may be accepted and not looked at yet
		s.mu.Lock()
		held = len(s.unread)
		s.mu.Unlock()
	}
	go known.Write([]byte("GET"))
	served, err := s.HTTP1().Accept()
	if err != nil || <-events != "http1" {
		t.Fatal(err)
	}
	go unclaimed.Write([]byte("GET"))
	s.Close()
	for range 2 {
		if what := <-events; what != "silent" {
			t.Errorf("%s", what)
		}
	}
	for _, c := range []net.Conn{unknown, unclaimed} {
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	b := make([]byte, 3)
	if _, err := io.ReadFull(served, b); err != nil || string(b) != "GET" {
		t.Errorf("%q, %v", b, err)
	}
	served.Close()
	known.Close()
	if _, err := s.HTTP2().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// faulty fails to accept a few times.
type faulty struct {
	*pipes
	errs []error
}

func (f *faulty) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, err
	}
	return f.pipes.Accept()
}

type tooManyFiles struct{ error }

func (tooManyFiles) Temporary() bool { return true }

func TestAcceptErrors(t *testing.T) {
	passing := tooManyFiles{errors.New("too many open files")}
	inner := &faulty{newPipes(), []error{passing, passing}}
	s, events := start(t, inner, 10*time.Second, 10, 10)
	c := inner.dial()
	go c.Write([]byte("GET"))
	served, err := s.HTTP1().Accept()
	if err != nil || <-events != "http1" {
		t.Fatal(err)
	}
	served.Close()
	c.Close()

	gone := errors.New("gone")
	failing := New(&faulty{newPipes(), []error{gone}}, Config{})
	if err := failing.Run(); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	if _, err := failing.HTTP2().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}
