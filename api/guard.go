package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/notarynet/notaryd/api/internal/throttle"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// guard is what every call of every service runs inside.
type guard struct {
	table   *throttle.Table
	metrics *Metrics
	log     *slog.Logger
	// messageBytes is the size of the largest request.
	messageBytes int
	// receiveTimeout is how long the request of a call may take to arrive.
	receiveTimeout time.Duration
	// idleTimeout is how long the next message of a stream may take while nothing is under way on it.
	idleTimeout time.Duration
	// soft ends when a stop is asked for, and with it the streams of events; hard ends when the grace
	// has passed, and with it everything.
	soft, hard context.Context
	// submitting are the streams of submissions: they take a token for each transaction themselves, and end by themselves after
	// soft, when what they have begun is done.
	submitting map[string]bool

	prefix string // of call ids, new with every process
	count  atomic.Uint64
}

// newPrefix makes the part of call ids that differs between processes.
func newPrefix() string {
	var b [4]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// guarded registers services so that each of their methods runs inside the guard.
type guarded struct {
	*grpc.Server
	guard *guard
}

// RegisterService implements grpc.ServiceRegistrar.
func (r guarded) RegisterService(desc *grpc.ServiceDesc, impl any) {
	d := *desc
	d.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		d.Methods[i] = grpc.MethodDesc{MethodName: m.MethodName, Handler: r.guard.unary(d.ServiceName+"/"+m.MethodName, m.Handler)}
	}
	d.Streams = make([]grpc.StreamDesc, len(desc.Streams))
	for i, m := range desc.Streams {
		d.Streams[i] = m
		d.Streams[i].Handler = r.guard.stream(d.ServiceName+"/"+m.StreamName, !m.ClientStreams, m.Handler)
	}
	r.Server.RegisterService(&d, impl)
}

// unary wraps the handler of a method with one request and one answer. The request is decoded inside,
// so that a client over its limit costs no decoding, and bytes that do not decode get their reason.
func (g *guard) unary(method string, next grpc.MethodHandler) grpc.MethodHandler {
	return func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (answer any, err error) {
		err = g.run(ctx, method, "call", func(ctx context.Context, c *call) error {
			answer, err = next(srv, ctx, func(m any) error {
				return g.receive(ctx, c, func() error {
					e := &envelope{message: m, limit: g.messageBytes}
					return c.received(e, decode(e))
				})
			}, nil)
			if err == nil {
				c.out.Add(1)
				g.answered(c, answer)
			}
			return err
		})
		return answer, err
	}
}

// stream wraps the handler of a streaming method; single says that the client sends one request.
func (g *guard) stream(method string, single bool, next grpc.StreamHandler) grpc.StreamHandler {
	return func(srv any, stream grpc.ServerStream) error {
		return g.run(stream.Context(), method, "stream", func(ctx context.Context, c *call) error {
			return next(srv, &guardedStream{ServerStream: stream, guard: g, ctx: ctx, call: c, single: single, pays: g.submitting[method]})
		})
	}
}

// run is a call from beginning to end.
func (g *guard) run(ctx context.Context, method, kind string, body func(context.Context, *call) error) error {
	c := &call{method: method, kind: kind, start: time.Now(), id: g.prefix + "-" + strconv.FormatUint(g.count.Add(1), 10)}
	c.identify(ctx)
	closed, over := g.admit(c)
	if over != nil {
		g.metrics.limited.WithLabelValues(over.What).Inc()
		return g.end(c, tooMuch(over))
	}
	defer closed()
	open := g.metrics.open.WithLabelValues(kind)
	open.Inc()
	defer open.Dec()

	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, callKey{}, c))
	defer cancel(nil)
	root := g.hard
	if kind == "stream" && !g.submitting[method] {
		root = g.soft
	}
	defer context.AfterFunc(root, func() { cancel(errStopping) })()
	return g.end(c, explain(ctx, g.protect(c, func() error { return body(ctx, c) })))
}

// admit takes a token for a call and opens it, or says why not. For one of REST the token was taken before its body was read.
func (g *guard) admit(c *call) (closed func(), over *throttle.Refusal) {
	if c.via != viaREST {
		if over = g.table.Take(c.client); over != nil {
			return nil, over
		}
	}
	return g.table.Open(c.client, c.kind == "stream")
}

// await takes a token for something on a stream: a client that is faster than it may waits for it.
func (g *guard) await(ctx context.Context, c *call) error {
	for over := g.table.Take(c.client); over != nil; over = g.table.Take(c.client) {
		select {
		case <-time.After(over.RetryAfter):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// protect turns a panic into an error, and logs where it came from.
func (g *guard) protect(c *call, body func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			g.metrics.panics.Inc()
			g.log.Error("panic in a call", "method", c.method, "call", c.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return body()
}

// explain says SHUTTING_DOWN where a call failed because the server stops.
func explain(ctx context.Context, err error) error {
	if err == nil || !errors.Is(context.Cause(ctx), errStopping) {
		return err
	}
	if !errors.Is(err, context.Canceled) && status.Code(err) != codes.Canceled {
		return err
	}
	var w withStatus
	if errors.As(err, &w) {
		return withStatus{errStopping, w.status}
	}
	return errStopping
}

// end writes what is left of a call: its status, its metrics, its line in the log.
func (g *guard) end(c *call, err error) error {
	st := toStatus(err, c.id)
	code, reason, took := st.Code(), "", time.Since(c.start)
	if info := infoOf(st); info != nil {
		reason = info.GetReason()
	}
	g.metrics.calls.WithLabelValues(c.method, code.String(), reason).Inc()
	g.metrics.messages.WithLabelValues(c.method, "in").Add(float64(c.in.Load()))
	g.metrics.messages.WithLabelValues(c.method, "out").Add(float64(c.out.Load()))
	if c.kind == "call" {
		g.metrics.seconds.WithLabelValues(c.method).Observe(took.Seconds())
	}
	level := c.level(code, reason)
	if !g.log.Enabled(context.Background(), level) {
		return st.Err()
	}
	attrs := append([]slog.Attr{
		slog.String("method", c.method), slog.String("code", code.String()), slog.String("call", c.id),
		slog.String("client", c.client), slog.String("via", c.via), slog.String("agent", c.agent),
		slog.Duration("took", took), slog.Uint64("in", c.in.Load()), slog.Uint64("in_bytes", c.bytes.Load()), slog.Uint64("out", c.out.Load()),
	}, c.notes...)
	if err != nil {
		attrs = append(attrs, slog.String("reason", reason), slog.String("error", err.Error()))
	}
	g.log.LogAttrs(context.Background(), level, "call", attrs...)
	return st.Err()
}

// tooMuch is the refusal of a client that is over one of its limits.
func tooMuch(over *throttle.Refusal) error {
	text := map[string]string{
		"rate":    "too many calls from this address; slow down",
		"calls":   "too many open calls from this address",
		"streams": "too many open streams from this address",
	}[over.What]
	return delayed{refusal.New(notaryv1.Reason_REASON_RATE_LIMITED, "", "%s", text), over.RetryAfter}
}

// unknown answers calls of methods that do not exist.
func unknown(_ any, stream grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(stream)
	name = strings.TrimPrefix(name, "/")
	return refusal.New(notaryv1.Reason_REASON_UNIMPLEMENTED, "", "there is no method %.128q", name)
}

// guardedStream is a stream whose context ends with the server, and which counts its messages.
type guardedStream struct {
	grpc.ServerStream
	guard  *guard
	ctx    context.Context
	call   *call
	single bool // the client sends one request
	pays   bool // the handler takes a token for what comes
	in     envelope
}

// Context implements grpc.ServerStream.
func (s *guardedStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *guardedStream) RecvMsg(m any) error {
	if s.single {
		return s.guard.receive(s.ctx, s.call, func() error { return s.recv(m) })
	}
	if s.pays { // and ends the stream where nothing comes
		return s.recv(m)
	}
	first := s.call.in.Load() == 0 // it is what the token of the call was for
	if err := s.guard.receiveNext(s.ctx, s.call, func() error { return s.recv(m) }); err != nil || first {
		return err
	}
	return s.guard.await(s.ctx, s.call)
}

func (s *guardedStream) recv(m any) error {
	s.in = envelope{message: m, limit: s.guard.messageBytes}
	return s.call.received(&s.in, s.ServerStream.RecvMsg(&s.in))
}

// SendMsg implements grpc.ServerStream.
func (s *guardedStream) SendMsg(m any) error {
	if err := s.ServerStream.SendMsg(m); err != nil {
		return err
	}
	s.call.out.Add(1)
	return nil
}
