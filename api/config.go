package api

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config is how the API serves. DefaultConfig is a good start for every field.
type Config struct {
	// Version of the software, shown in the OpenAPI document.
	Version string
	// Grace is how long calls may go on after a stop was asked for; streams of events end at once.
	Grace time.Duration
	// MaxWait bounds how long SubmitTransaction waits for a level, also where the client sets no deadline.
	MaxWait time.Duration
	// CORSOrigins are the origins (scheme://host[:port], or "*") whose pages may call the REST API from a
	// browser. None by default.
	CORSOrigins []string
	Limits      Limits
}

// Limits bound what clients may cost. A client is an IPv4 address or an IPv6 /64 prefix; the admin
// socket has no limits per client.
type Limits struct {
	// MessageBytes is the size of the largest request, in bytes.
	MessageBytes int
	// StreamsPerConnection is the number of concurrent gRPC calls on one connection.
	StreamsPerConnection uint32
	// Connections is the number of open connections to all public listeners together, in all and for one client.
	Connections, ConnectionsPerClient int
	// CallsPerSecond and CallBurst shape the token buckets of a client. Every call takes a token from one, also the opening of a
	// stream, and every transaction on a stream of submissions; what is read and computed takes tokens from another.
	CallsPerSecond float64
	CallBurst      int
	// CallsPerClient and OpenStreamsPerClient are the numbers of calls of any kind and of streams that
	// one client may have open.
	CallsPerClient, OpenStreamsPerClient int
	// SubmitWindow is how many transactions of one SubmitTransactions stream may be in flight; while it
	// is full the stream is not read.
	SubmitWindow int
	// Clients is how many clients are remembered at once.
	Clients int
	// SniffTimeout is how long a new connection may take to send its first bytes.
	SniffTimeout time.Duration
	// HTTPTimeout is how long an HTTP client may take to send a request, and to take each piece of the
	// answer.
	HTTPTimeout time.Duration
	// ReceiveTimeout is how long a gRPC client may take to send the request of a call that has one, from the call's head to its
	// last byte. What half requests take of the memory is what clients can send in this time.
	ReceiveTimeout time.Duration
	// IdleTimeout is how long a gRPC client may take to send the next message on a stream of messages while nothing is under way on it:
	// whether half of one has come nobody can tell.
	IdleTimeout time.Duration
	// PingInterval is the shortest interval at which a gRPC client may send keepalive pings.
	PingInterval time.Duration
}

// DefaultConfig suits a public node of two cores.
func DefaultConfig() Config {
	return Config{
		Version: "dev",
		Grace:   10 * time.Second,
		MaxWait: 2 * time.Minute,
		Limits: Limits{
			MessageBytes:         1_310_720, // 1.25 MiB
			StreamsPerConnection: 256,
			Connections:          4096,
			ConnectionsPerClient: 256,
			CallsPerSecond:       200,
			CallBurst:            400,
			CallsPerClient:       1024,
			OpenStreamsPerClient: 64,
			SubmitWindow:         1024,
			Clients:              16384,
			SniffTimeout:         5 * time.Second,
			HTTPTimeout:          30 * time.Second,
			ReceiveTimeout:       10 * time.Second,
			IdleTimeout:          2 * time.Minute,
			PingInterval:         10 * time.Second,
		},
	}
}

// Validate reports every field that makes no sense.
func (c Config) Validate() error {
	l := c.Limits
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("api: "+format, args...))
		}
	}
	check(c.Grace > 0, "grace must be positive, not %v", c.Grace)
	check(c.MaxWait > 0, "max_wait must be positive, not %v", c.MaxWait)
	check(l.MessageBytes >= maxTransactionBytes+1024, "message_bytes must hold a transaction of %d bytes, %d does not", maxTransactionBytes, l.MessageBytes)
	check(l.StreamsPerConnection > 0, "streams_per_connection must be positive")
	check(l.ConnectionsPerClient > 0, "connections_per_client must be positive, not %d", l.ConnectionsPerClient)
	check(l.Connections >= l.ConnectionsPerClient, "connections (%d) must not be below connections_per_client (%d)", l.Connections, l.ConnectionsPerClient)
	check(l.CallsPerSecond > 0, "calls_per_second must be positive, not %v", l.CallsPerSecond)
	check(l.CallBurst > 0, "call_burst must be positive, not %d", l.CallBurst)
	check(l.OpenStreamsPerClient > 0, "open_streams_per_client must be positive, not %d", l.OpenStreamsPerClient)
	check(l.CallsPerClient >= l.OpenStreamsPerClient, "calls_per_client (%d) must not be below open_streams_per_client (%d)", l.CallsPerClient, l.OpenStreamsPerClient)
	check(l.SubmitWindow > 0, "submit_window must be positive, not %d", l.SubmitWindow)
	check(l.Clients > 0, "clients must be positive, not %d", l.Clients)
	check(l.SniffTimeout > 0, "sniff_timeout must be positive, not %v", l.SniffTimeout)
	check(l.HTTPTimeout > 0, "http_timeout must be positive, not %v", l.HTTPTimeout)
	check(l.ReceiveTimeout > 0, "receive_timeout must be positive, not %v", l.ReceiveTimeout)
	check(l.IdleTimeout > 0, "idle_timeout must be positive, not %v", l.IdleTimeout)
	check(l.PingInterval > 0, "ping_interval must be positive, not %v", l.PingInterval)
	for _, o := range c.CORSOrigins {
		check(o == "*" || isOrigin(o), "cors_origins: %q is not scheme://host[:port] as browsers write it: in small letters, and without the scheme's own port", o)
	}
	return errors.Join(errs...)
}

// isOrigin reports whether a browser may name an origin so. One that is written otherwise would match none.
func isOrigin(o string) bool {
	u, err := url.Parse(o)
	if err != nil || u.Scheme == "" || u.Host == "" || o != strings.ToLower(u.Scheme+"://"+u.Host) {
		return false
	}
	port, own := u.Port(), map[string]string{"http": "80", "https": "443"}
	return !strings.HasSuffix(u.Host, ":") && (port == "" || port != own[u.Scheme])
}

// maxTransactionBytes is the largest transaction of the protocol (transaction.proto).
const maxTransactionBytes = 262_144
