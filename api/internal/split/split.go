// Package split serves HTTP/2 and HTTP/1 on one port without TLS. It reads the first bytes of every
// connection: those that are the HTTP/2 connection preface (RFC 9113, section 3.4) go to one listener,
// all others, from the first byte that differs, to the other. The bytes read are given back.
package split

import (
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// preface is what an HTTP/2 client sends first. Its method, PRI, is reserved: no HTTP/1 request begins so.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Config is how a Splitter treats connections.
type Config struct {
	// Timeout is how long a connection may take until its protocol is known.
	Timeout time.Duration
	// Places bound the open connections, of all splitters that share them; what is above them is closed at once. Hosts are told apart
	// by Host.
	Places *Places
	Host   func(net.Addr) string
	// Event is told of every connection: "http2", "http1", "silent" (no protocol in time, or closed
	// before), "too_many".
	Event func(what string)
}

// Splitter accepts from one listener and offers two.
type Splitter struct {
	config Config
	inner  net.Listener
	http2  *branch
	http1  *branch

	mu     sync.Mutex
	closed bool
	unread map[net.Conn]struct{} // whose protocol is not known yet
	wait   sync.WaitGroup
}

// New returns a splitter of inner, which it owns from now on. Run must be called.
func New(inner net.Listener, config Config) *Splitter {
	return &Splitter{
		config: config, inner: inner,
		http2: newBranch(inner.Addr()), http1: newBranch(inner.Addr()),
		unread: map[net.Conn]struct{}{},
	}
}

// HTTP2 is the listener of connections that began with the preface.
func (s *Splitter) HTTP2() net.Listener { return s.http2 }

// HTTP1 is the listener of all others.
func (s *Splitter) HTTP1() net.Listener { return s.http1 }

// Run accepts until Close and returns nil then, or the error that ended it. Both branches are closed
// when it returns, and no connection of unknown protocol is left.
func (s *Splitter) Run() error {
	defer s.wait.Wait()
	defer s.Close()
	var pause time.Duration
	for {
		conn, err := s.inner.Accept()
		if err == nil {
			pause = 0
			s.take(conn)
			continue
		}
		if s.isClosed() {
			return nil
		}
		if !temporary(err) {
			return err
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.rest(pause)
	}
}

// temporary reports whether accepting may work again, as when file descriptors ran out.
func temporary(err error) bool {
	var e interface{ Temporary() bool }
	return errors.As(err, &e) && e.Temporary()
}

// rest waits, unless the splitter is closed meanwhile.
func (s *Splitter) rest(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.http1.done:
	}
}

// Close stops accepting and closes the connections whose protocol is not known yet. Those handed out
// stay open.
func (s *Splitter) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	unread := slices.Collect(maps.Keys(s.unread))
	s.mu.Unlock()
	for _, c := range unread { // not under the lock: closing gives back the connection's place
		c.Close()
	}
	s.http2.Close()
	s.http1.Close()
	return s.inner.Close()
}

func (s *Splitter) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// take admits a connection and starts to look at it.
func (s *Splitter) take(raw net.Conn) {
	host := s.config.Host(raw.RemoteAddr())
	if !s.config.Places.take(host) {
		raw.Close()
		if !s.isClosed() {
			s.config.Event("too_many")
		}
		return
	}
	c := &conn{Conn: raw, closed: func() { s.config.Places.leave(host) }}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.unread[c] = struct{}{}
	}
	s.mu.Unlock()
	if closed {
		c.Close()
		return
	}
	s.wait.Go(func() { s.route(c) })
}

// route finds out the protocol of a connection and hands it to its branch.
func (s *Splitter) route(c *conn) {
	is2, err := c.sniff(s.config.Timeout)
	s.mu.Lock()
	delete(s.unread, c)
	s.mu.Unlock()
	to, what := s.http1, "http1"
	if is2 {
		to, what = s.http2, "http2"
	}
	if err != nil || !to.offer(c) {
		c.Close()
		what = "silent"
	}
	s.config.Event(what)
}

// conn gives back what was read to find out its protocol.
type conn struct {
	net.Conn
	buf    [len(preface)]byte
	unread []byte // of buf
	once   sync.Once
	closed func()
}

// sniff reads until the first byte that differs from the preface, or all of it. Where the deadline
// cannot be taken back the connection has ended meanwhile, which its server finds out by reading on.
func (c *conn) sniff(timeout time.Duration) (http2 bool, err error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return false, err
	}
	n := 0
	for n < len(preface) {
		k, err := c.Conn.Read(c.buf[n:])
		same := string(c.buf[n:n+k]) == preface[n:n+k]
		n += k
		if k > 0 && !same {
			c.unread = c.buf[:n]
			c.Conn.SetReadDeadline(time.Time{})
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	c.unread = c.buf[:n]
	c.Conn.SetReadDeadline(time.Time{})
	return true, nil
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.unread) > 0 {
		n := copy(b, c.unread)
		c.unread = c.unread[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(c.closed)
	return c.Conn.Close()
}

// branch is a listener fed by a Splitter.
type branch struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newBranch(addr net.Addr) *branch {
	return &branch{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// offer hands a connection to whoever accepts, and reports false when the branch is closed.
func (b *branch) offer(c net.Conn) bool {
	select {
	case b.conns <- c:
		return true
	case <-b.done:
		return false
	}
}

// Accept implements net.Listener.
func (b *branch) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener; connections accepted before stay open.
func (b *branch) Close() error {
	b.once.Do(func() { close(b.done) })
	return nil
}

// Addr implements net.Listener.
func (b *branch) Addr() net.Addr { return b.addr }
