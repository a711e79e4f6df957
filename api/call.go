package api

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/notarynet/notaryd/api/internal/throttle"
)

// Metadata keys that the REST gateway sets on its calls in process. They mean nothing in calls that
// come over the network.
const (
	keyClient = "notary-rest-client"
	keyAgent  = "notary-rest-agent"
)

// How calls come.
const (
	viaGRPC  = "grpc"
	viaREST  = "rest"
	viaAdmin = "admin"
)

// call is one call of a method, from its first to its last byte.
type call struct {
	id      string
	method  string // "notary.v1.NotaryService/GetNetwork"
	kind    string // "call" or "stream"
	client  string // as throttle names it
	via     string
	agent   string
	start   time.Time
	in, out atomic.Uint64 // messages
	bytes   atomic.Uint64 // of the messages in
	notes   []slog.Attr   // of the handler's goroutine
}

// received counts a message that came in an envelope, and says why it is none.
func (c *call) received(e *envelope, err error) error {
	if err != nil {
		return err
	}
	c.bytes.Add(uint64(e.size))
	if e.refused == nil {
		c.in.Add(1)
	}
	return e.refused
}

type callKey struct{}

// callOf is the call that a context belongs to; every handler runs in one.
func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// note adds to the call's log line. Only the handler's own goroutine may.
func note(ctx context.Context, attrs ...slog.Attr) {
	c := callOf(ctx)
	c.notes = append(c.notes, attrs...)
}

// identify finds out who calls, and how.
func (c *call) identify(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	first := func(key string) string {
		if v := md.Get(key); len(v) > 0 {
			return v[0]
		}
		return ""
	}
	p, _ := peer.FromContext(ctx)
	switch {
	case p == nil || p.Addr == nil:
		c.client, c.via = throttle.Local, viaGRPC
	case p.Addr.Network() == "bufconn": // the gateway
		c.client, c.via, c.agent = first(keyClient), viaREST, first(keyAgent)
	case strings.HasPrefix(p.Addr.Network(), "unix"):
		c.client, c.via, c.agent = throttle.Local, viaAdmin, first("user-agent")
	default:
		c.client, c.via, c.agent = throttle.Client(p.Addr), viaGRPC, first("user-agent")
	}
	c.agent = c.agent[:min(len(c.agent), 128)]
}

// level is how loud a call's end is: our own mistakes are errors; what went well, probes and what a flood can make are
// for debugging.
func (c *call) level(code codes.Code, reason string) slog.Level {
	switch {
	case code == codes.Internal || code == codes.Unknown:
		return slog.LevelError
	case code == codes.OK || reason == "RATE_LIMITED" || !strings.HasPrefix(c.method, Domain+"."):
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}
