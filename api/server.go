package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/notarynet/notaryd/api/internal/throttle"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// Server serves the API, once.
type Server struct {
	config   Config
	backends Backends
	metrics  *Metrics
	log      *slog.Logger
	guard    *guard
	openapi  []byte

	public, gateway, admin *grpc.Server
	health                 *health.Server
	served                 atomic.Bool
	endSoft, endHard       context.CancelFunc
}

// NewServer checks what it is given and makes a server that does nothing until Serve.
func NewServer(config Config, backends Backends, metrics *Metrics, log *slog.Logger) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if backends.Submitter == nil || backends.Reader == nil || backends.Accounts == nil || backends.Watcher == nil ||
		backends.Describer == nil || backends.Readiness == nil {
		return nil, errors.New("api: every backend down to Readiness is needed")
	}
	if metrics == nil || log == nil {
		return nil, errors.New("api: metrics and a logger are needed")
	}
	document, err := openAPI(config.Version, backends.NotBuilt())
	if err != nil {
		return nil, err
	}
	s := &Server{config: config, backends: backends, metrics: metrics, log: log, openapi: document, health: health.NewServer()}
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING) // until the node has said otherwise
	hard, endHard := context.WithCancel(context.Background())
	soft, endSoft := context.WithCancel(hard)
	s.endHard, s.endSoft = endHard, endSoft
	l := config.Limits
	s.guard = &guard{
		table: throttle.New(throttle.Limits{
			PerSecond: l.CallsPerSecond, Burst: l.CallBurst,
			Calls: l.CallsPerClient, Streams: l.OpenStreamsPerClient, Clients: l.Clients,
		}, time.Now),
		metrics: metrics, log: log, messageBytes: l.MessageBytes, receiveTimeout: l.ReceiveTimeout, idleTimeout: l.IdleTimeout, soft: soft, hard: hard, prefix: newPrefix(),
		submitting: map[string]bool{Domain + ".NotaryService/SubmitTransactions": true},
	}
	s.register()
	return s, nil
}

// register makes the three gRPC servers: for the public port, for the REST gateway in this process,
// and for the admin socket.
func (s *Server) register() {
	notary := &notaryService{
		backends: s.backends, maxWait: s.config.MaxWait, window: s.config.Limits.SubmitWindow,
		stopping: s.guard.soft.Done(), guard: s.guard,
	}
	l := s.config.Limits
	s.public = s.grpcServer(
		grpc.MaxConcurrentStreams(l.StreamsPerConnection),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: l.PingInterval, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 15 * time.Minute, Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.ConnectionTimeout(l.SniffTimeout),
	)
	public := guarded{s.public, s.guard}
	notaryv1.RegisterNotaryServiceServer(public, notary)
	explorer := &explorerService{backends: s.backends, guard: s.guard}
	notaryv1.RegisterExplorerServiceServer(public, explorer)
	healthv1.RegisterHealthServer(public, s.health)
	reflection.Register(public)

	// No limit on streams here: one connection carries all REST clients, and each has its own limits.
	s.gateway = s.grpcServer()
	notaryv1.RegisterNotaryServiceServer(guarded{s.gateway, s.guard}, notary)
	notaryv1.RegisterExplorerServiceServer(guarded{s.gateway, s.guard}, explorer)

	s.admin = s.grpcServer()
	admin := guarded{s.admin, s.guard}
	if s.backends.Operator != nil {
		notaryv1.RegisterAdminServiceServer(admin, &adminService{operator: s.backends.Operator, trust: s.backends.Trust})
	}
	healthv1.RegisterHealthServer(admin, s.health)
	reflection.Register(admin)
}

// The windows of the public port, in bytes: what a client may send on a stream, and on a connection, before it hears that the node has
// it. They are fixed. Those that gRPC makes fit the bandwidth grow to 16 MiB for each stream, also one that is not read, at the will of the client.
// At 100 ms to the client a stream brings 2.5 MB a second and a connection 10.
const (
	streamWindow = 256 << 10
	connWindow   = 1 << 20
)

// grpcServer makes a server with what all three have in common. WaitForHandlers: when Serve has
// returned, no handler uses a backend any more.
func (s *Server) grpcServer(options ...grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(options,
		grpc.ForceServerCodecV2(newEnvelopes()),
		grpc.MaxRecvMsgSize(2*s.config.Limits.MessageBytes), // above it gRPC answers, without a reason
		grpc.MaxHeaderListSize(16<<10),
		grpc.WaitForHandlers(true),
		grpc.UnknownServiceHandler(s.guard.stream("unknown", false, unknown)),
	)...)
}

// Listeners are what a Server serves on. It owns them from the call of Serve on.
type Listeners struct {
	// Public carry gRPC and REST without TLS.
	Public []net.Listener
	// Admin carries the admin service; nil for none. See ListenAdmin.
	Admin net.Listener
}

// Serve serves until ctx ends, then stops gracefully: no new connections, streams of events end at once
// with SHUTTING_DOWN, other calls go on for at most Config.Grace. It returns nil then, or the error of the listener
// that ended it; either way no goroutine, connection or call is left. It can be called once.
func (s *Server) Serve(ctx context.Context, listeners Listeners) error {
	if err := s.begin(listeners); err != nil {
		closeAll(listeners)
		return err
	}
	r, err := s.start(listeners)
	if err != nil {
		closeAll(listeners)
		return err
	}
	select {
	case <-ctx.Done():
	case err = <-r.failed:
	}
	s.stop(r)
	return err
}

func (s *Server) begin(l Listeners) error {
	switch {
	case s.served.Swap(true):
		return errors.New("api: a server serves once")
	case l.Admin != nil && s.backends.Operator == nil:
		return errors.New("api: an admin listener needs an Operator")
	case l.Admin == nil && len(l.Public) == 0:
		return errors.New("api: no listener")
	default:
		return nil
	}
}

func closeAll(l Listeners) {
	for _, public := range l.Public {
		public.Close()
	}
	if l.Admin != nil {
		l.Admin.Close()
	}
}

// httpServer makes the HTTP/1 server of the REST gateway. Time limits for bodies and answers are set
// request by request (deadlines), since streams may last.
func (s *Server) httpServer(handler http.Handler) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler: handler, Protocols: protocols,
		ReadHeaderTimeout: s.config.Limits.HTTPTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// watchReadiness keeps health and its metric in step with the node until ctx ends.
func (s *Server) watchReadiness(ctx context.Context) {
	last := "?"
	for {
		problems, changed := s.backends.Readiness.Ready()
		status, value := healthv1.HealthCheckResponse_SERVING, 1.0
		if len(problems) > 0 {
			status, value = healthv1.HealthCheckResponse_NOT_SERVING, 0
		}
		s.metrics.ready.Set(value)
		s.health.SetServingStatus("", status)
		s.health.SetServingStatus(notaryv1.NotaryService_ServiceDesc.ServiceName, status)
		if now := fmt.Sprint(problems); now != last {
			s.log.Info("readiness", "ready", len(problems) == 0, "problems", problems)
			last = now
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.health.Shutdown()
			s.metrics.ready.Set(0)
			return
		}
	}
}
