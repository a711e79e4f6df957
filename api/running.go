package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/notarynet/notaryd/api/internal/split"
	"github.com/notarynet/notaryd/api/internal/throttle"
)

// running is what a Server has going between start and stop.
type running struct {
	splitters []*split.Splitter
	http      *http.Server
	pipe      *bufconn.Listener // to the gateway's gRPC server
	conn      *grpc.ClientConn  // the gateway's end of it
	failed    chan error        // the first listener that fails
	wait      sync.WaitGroup
}

// start sets everything going.
func (s *Server) start(listeners Listeners) (*running, error) {
	r := &running{pipe: bufconn.Listen(1 << 20), failed: make(chan error, 1)}
	conn, err := grpc.NewClient("passthrough:///gateway",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return r.pipe.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)))
	if err != nil {
		return nil, err
	}
	r.conn = conn
	handler, err := s.handler(conn)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	r.http = s.httpServer(handler)
	r.goServe(func() error { return s.gateway.Serve(r.pipe) })
	places := split.NewPlaces(s.config.Limits.Connections, s.config.Limits.ConnectionsPerClient)
	for _, public := range listeners.Public {
		sp := split.New(public, split.Config{
			Timeout: s.config.Limits.SniffTimeout,
			Places:  places,
			Host:    throttle.Client,
			Event:   s.metrics.connection,
		})
		r.splitters = append(r.splitters, sp)
		r.goServe(sp.Run)
		r.goServe(func() error { return s.public.Serve(sp.HTTP2()) })
		r.goServe(func() error { return r.http.Serve(sp.HTTP1()) })
		s.log.Info("serving", "what", "grpc and rest", "address", public.Addr().String())
	}
	if listeners.Admin != nil {
		r.goServe(func() error { return s.admin.Serve(listeners.Admin) })
		s.log.Info("serving", "what", "admin", "address", listeners.Admin.Addr().String())
	}
	r.wait.Go(func() { s.watchReadiness(s.guard.soft) })
	return r, nil
}

// maxAnswerBytes bounds an answer inside this process; the largest are proofs.
const maxAnswerBytes = 64 << 20

// goServe runs a serving loop; the first that fails ends the server.
func (r *running) goServe(serve func() error) {
	r.wait.Go(func() {
		err := serve()
		if err == nil || errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case r.failed <- err:
		default:
		}
	})
}

// afterHard is how long calls have to say SHUTTING_DOWN when the grace is over and before their
// connections are closed.
const afterHard = time.Second

// stop ends what start began.
func (s *Server) stop(r *running) {
	began := time.Now()
	s.endSoft()
	for _, sp := range r.splitters {
		sp.Close()
	}
	over := time.AfterFunc(s.config.Grace, s.endHard)
	defer over.Stop()
	cut, endCut := context.WithTimeout(context.Background(), s.config.Grace+afterHard)
	defer endCut()

	var ends sync.WaitGroup
	ends.Go(func() {
		if r.http.Shutdown(cut) != nil {
			r.http.Close()
		}
	})
	ends.Go(func() { stopGRPC(cut, s.public) })
	ends.Go(func() { stopGRPC(cut, s.admin) })
	ends.Wait()
	stopGRPC(cut, s.gateway) // after HTTP, which calls it
	s.endHard()
	r.conn.Close()
	r.pipe.Close()
	r.wait.Wait()
	s.log.Info("stopped serving", "took", time.Since(began))
}

// stopGRPC lets a server's calls end until cut is done, then cuts their connections.
func stopGRPC(cut context.Context, server *grpc.Server) {
	defer context.AfterFunc(cut, server.Stop)()
	server.GracefulStop()
}
