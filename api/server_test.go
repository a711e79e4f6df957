package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func TestHealthFollowsReadiness(t *testing.T) {
	s := &script{}
	s.set("replaying 120 votes")
	n := serve(t, quick(), s)
	health := healthv1.NewHealthClient(n.conn)
	watch, err := health.Watch(within(t), &healthv1.HealthCheckRequest{Service: "notary.v1.NotaryService"})
	if err != nil {
		t.Fatal(err)
	}
	until := func(want healthv1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for {
			got, err := watch.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if got.GetStatus() == want {
				return
			}
		}
	}
	until(healthv1.HealthCheckResponse_NOT_SERVING)
	if r := n.rest("GET", "/readyz", ""); r.code != http.StatusServiceUnavailable || !strings.Contains(string(r.body), "replaying 120 votes") {
		t.Errorf("%d %s", r.code, r.body)
	}
	if r := n.rest("GET", "/livez", ""); r.code != http.StatusOK || r.json(t)["live"] != true {
		t.Errorf("%d %s", r.code, r.body)
	}
	s.set()
	until(healthv1.HealthCheckResponse_SERVING)
	if r := n.rest("GET", "/readyz", ""); r.code != http.StatusOK || r.json(t)["ready"] != true {
		t.Errorf("%d %s", r.code, r.body)
	}
	if got, err := health.Check(within(t), &healthv1.HealthCheckRequest{}); err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", got, err)
	}
	s.set("disk full")
	until(healthv1.HealthCheckResponse_NOT_SERVING)
	n.cancel()
	for {
		if _, err = watch.Recv(); err != nil {
			break
		}
	}
	wantReason(t, err, notaryv1.Reason_REASON_SHUTTING_DOWN)
}

func TestReflection(t *testing.T) {
	n := serve(t, quick(), &script{})
	stream, err := reflectionv1.NewServerReflectionClient(n.conn).ServerReflectionInfo(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, want := range []string{"notary.v1.NotaryService", "notary.v1.ExplorerService", "grpc.health.v1.Health"} {
		if !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("%s is not among %q", want, names)
		}
	}
	if strings.Contains(strings.Join(names, " "), "AdminService") {
		t.Errorf("the admin service is on the public port: %q", names)
	}
	stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "notary.v1.NotaryService"}})
	if answer, err = stream.Recv(); err != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("%v, %v", answer, err)
	}
}

// TestNotBuilt calls every unary method of every service with an empty request: exactly those on the
// list answer UNIMPLEMENTED, and name themselves. Without the backends that may be missing, and with them.
func TestNotBuilt(t *testing.T) {
	for _, bare := range []bool{false, true} {
		s := &script{drain: func(context.Context) (uint64, error) { return 0, nil }, stop: func() {}}
		s.told.absent = bare
		testNotBuilt(t, s)
	}
	if s := new(script); len(s.backends().NotBuilt()) != 3 {
		t.Errorf("%q", s.backends().NotBuilt())
	}
}

func testNotBuilt(t *testing.T, s *script) {
	n := serve(t, quick(), s)
	admin := n.dial("unix:" + n.socket)
	listed := map[string]bool{}
	for _, m := range s.backends().NotBuilt() {
		listed[m] = true
	}
	found := 0
	for _, desc := range []grpc.ServiceDesc{notaryv1.NotaryService_ServiceDesc, notaryv1.ExplorerService_ServiceDesc, notaryv1.AdminService_ServiceDesc} {
		conn := n.conn
		if desc.ServiceName == "notary.v1.AdminService" {
			conn = admin
		}
		service := must(protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(desc.ServiceName))).(protoreflect.ServiceDescriptor)
		for i := range service.Methods().Len() {
			m := service.Methods().Get(i)
			if m.IsStreamingClient() || m.IsStreamingServer() {
				continue
			}
			name := string(service.Name()) + "/" + string(m.Name())
			err := conn.Invoke(within(t), "/notary.v1."+name, message(t, m.Input()), message(t, m.Output()))
			if (status.Code(err) == codes.Unimplemented) != listed[name] {
				t.Errorf("%s: %v", name, err)
			}
			if listed[name] {
				found++
				wantReason(t, err, notaryv1.Reason_REASON_UNIMPLEMENTED)
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%s is not named in %v", name, err)
				}
			}
		}
	}
	if found != len(listed) {
		t.Errorf("%d of %d methods on the list exist", found, len(listed))
	}
}

func message(t *testing.T, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	return must(protoregistry.GlobalTypes.FindMessageByName(d.FullName())).New().Interface()
}

func TestUnknownMethods(t *testing.T) {
	n := serve(t, quick(), &script{})
	for _, method := range []string{"/notary.v1.NotaryService/Nothing", "/other.Service/Method"} {
		err := n.conn.Invoke(within(t), method, &notaryv1.GetNetworkRequest{}, &notaryv1.GetNetworkResponse{})
		wantReason(t, err, notaryv1.Reason_REASON_UNIMPLEMENTED)
		if !strings.Contains(err.Error(), method[1:]) {
			t.Errorf("%v", err)
		}
	}
}

func TestAdmin(t *testing.T) {
	stopped := make(chan struct{})
	n := serve(t, quick(), &script{
		drain: func(ctx context.Context) (uint64, error) {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the client's deadline did not arrive")
			}
			return 3, nil
		},
		stop: func() { close(stopped) },
	})
	info := must(os.Stat(n.socket))
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v", info.Mode())
	}
	admin := notaryv1.NewAdminServiceClient(n.dial("unix:" + n.socket))
	if got, err := admin.Drain(within(t), &notaryv1.DrainRequest{}); err != nil || got.GetInFlight() != 3 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := admin.SetLogLevel(within(t), &notaryv1.SetLogLevelRequest{Level: "debug"}); err != nil || got.GetPrevious() != "info" || n.level.Level() != slog.LevelDebug {
		t.Errorf("%v, %v", got, err)
	}
	_, err := admin.SetLogLevel(within(t), &notaryv1.SetLogLevelRequest{Level: "loud"})
	wantReason(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT)
	if got, err := admin.Backup(within(t), &notaryv1.BackupRequest{Directory: "/a/../b"}); err != nil || got.GetBytes() != 2 {
		t.Errorf("%v, %v", got, err)
	}
	_, err = admin.Backup(within(t), &notaryv1.BackupRequest{Directory: "b"})
	wantReason(t, err, notaryv1.Reason_REASON_INVALID_ARGUMENT)
	prune := &notaryv1.PruneRequest{OlderThanMs: 7, KeepAddresses: []string{"a", "b"}}
	if got, err := admin.Prune(within(t), prune); err != nil || got.GetBeforeMs() != 7 || got.GetProofsKept() != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := admin.Stop(within(t), &notaryv1.StopRequest{}); err != nil {
		t.Error(err)
	}
	<-stopped
	public := notaryv1.NewAdminServiceClient(n.conn)
	_, err = public.Stop(within(t), &notaryv1.StopRequest{})
	wantReason(t, err, notaryv1.Reason_REASON_UNIMPLEMENTED)
}

func TestListenAdmin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	first := must(ListenAdmin(path))
	if _, err := ListenAdmin(path); !errors.Is(err, ErrSocketInUse) {
		t.Errorf("while it is served: %v", err)
	}
	dead := first.(*adminListener).UnixListener // closed as by a crash: the file stays
	dead.Close()
	second := must(ListenAdmin(path))
	first.Close()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the first listener took away the second one's file: %v", err)
	}
	second.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file stays behind: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenAdmin(path); err == nil || string(must(os.ReadFile(path))) != "precious" {
		t.Errorf("a file that is no socket: %v", err)
	}
	if left := must(os.ReadDir(filepath.Dir(path))); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// TestGracefulStop: watches end at once and say why; what is in flight gets its answer; new calls and
// connections are refused; then nothing is left.
func TestGracefulStop(t *testing.T) {
	g := newGate()
	n := serve(t, quick(), &script{
		submit: g.submit,
		watchAcceptances: func(ctx context.Context, _ string, _ bool, _ uint64) iter.Seq2[*notaryv1.WatchAcceptancesResponse, error] {
			return func(yield func(*notaryv1.WatchAcceptancesResponse, error) bool) {
				if yield(&notaryv1.WatchAcceptancesResponse{Cursor: "1"}, nil) {
					<-ctx.Done()
					yield(nil, ctx.Err())
				}
			}
		},
	})
	watch := must(n.client.WatchAcceptances(within(t), &notaryv1.WatchAcceptancesRequest{}))
	must(watch.Recv())
	rest := must(http.Get("http://" + n.address + "/v1/acceptances:watch"))
	defer rest.Body.Close()
	lines := bufio.NewReader(rest.Body)
	must(lines.ReadString('\n'))

	unary := make(chan error, 1)
	go func() {
		_, err := n.client.SubmitTransaction(within(t), &notaryv1.SubmitTransactionRequest{Transaction: []byte("a"), WaitFor: levelFinal})
		unary <- err
	}()
	stream := must(n.client.SubmitTransactions(within(t)))
	stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: 8, Transaction: []byte("b")})
	<-g.arrived
	<-g.arrived

	n.cancel()
	_, err := watch.Recv()
	wantReason(t, err, notaryv1.Reason_REASON_SHUTTING_DOWN)
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "SHUTTING_DOWN") {
		t.Errorf("REST stream ends with %q, %v", line, err)
	}
	close(g.door("a"))
	close(g.door("b"))
	if err := <-unary; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	answer, err := stream.Recv()
	if err != nil || answer.GetSequence() != 8 || answer.GetStatus().GetState() != stateFinal {
		t.Errorf("the transaction in flight: %v, %v", answer, err)
	}
	_, err = stream.Recv()
	wantReason(t, err, notaryv1.Reason_REASON_SHUTTING_DOWN)
	if err := n.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if conn, err := net.Dial("tcp", n.address); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
	if _, err := os.Stat(n.socket); !errors.Is(err, os.ErrNotExist) {
		t.Error("the admin socket is still there")
	}
}

// TestGraceEnds: calls that do not end by themselves are told SHUTTING_DOWN, clients that do not read
// are cut off.
func TestGraceEnds(t *testing.T) {
	config := quick()
	config.Grace = 20 * time.Millisecond
	g := newGate()
	var pulled atomic.Int64
	closed := make(chan struct{}, 1)
	n := serve(t, config, &script{submit: g.submit, watchAcceptances: endless(&pulled, closed)})
	slow := must(n.client.WatchAcceptances(within(t), &notaryv1.WatchAcceptancesRequest{}))
	must(slow.Recv()) // and no more
	unary := make(chan error, 1)
	go func() {
		_, err := n.client.SubmitTransaction(within(t), &notaryv1.SubmitTransactionRequest{Transaction: []byte("a"), WaitFor: levelFinal})
		unary <- err
	}()
	<-g.arrived
	n.cancel()
	wantReason(t, <-unary, notaryv1.Reason_REASON_SHUTTING_DOWN)
	if err := <-n.stopped; err != nil {
		t.Error(err)
	}
	n.stopped <- nil
	<-closed
}

func TestServeOnce(t *testing.T) {
	n := serve(t, quick(), &script{})
	must(n.client.GetNetwork(within(t), &notaryv1.GetNetworkRequest{})) // it does
	again := must(net.Listen("tcp", "127.0.0.1:0"))
	if err := n.server.Serve(within(t), Listeners{Public: []net.Listener{again}}); err == nil {
		t.Error("served twice")
	}
	if _, err := again.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener that is not served: %v", err)
	}
}

// broken is a listener whose network is gone.
type broken struct{ net.Listener }

var errGone = errors.New("the network is gone")

func (broken) Accept() (net.Conn, error) { return nil, errGone }

func TestServeEndsWhereAListenerFails(t *testing.T) {
	metrics := must(NewMetrics(prometheus.NewRegistry()))
	s := &script{}
	server := must(NewServer(quick(), Backends{Submitter: s, Reader: s, Accounts: s, Watcher: s, Describer: s, Readiness: s}, metrics, slog.New(slog.NewTextHandler(io.Discard, nil))))
	inner := must(net.Listen("tcp", "127.0.0.1:0"))
	if err := server.Serve(within(t), Listeners{Public: []net.Listener{broken{inner}}}); !errors.Is(err, errGone) {
		t.Errorf("%v", err)
	}
}

func TestNewServerChecks(t *testing.T) {
	s := &script{}
	all := s.backends()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	metrics := must(NewMetrics(prometheus.NewRegistry()))
	if _, err := NewServer(Config{}, all, metrics, log); err == nil {
		t.Error("an empty configuration passed")
	}
	missing := all
	missing.Watcher = nil
	if _, err := NewServer(quick(), missing, metrics, log); err == nil {
		t.Error("a missing backend passed")
	}
	if _, err := NewServer(quick(), all, nil, log); err == nil {
		t.Error("missing metrics passed")
	}
	registry := prometheus.NewRegistry()
	must(NewMetrics(registry))
	if _, err := NewMetrics(registry); err == nil {
		t.Error("registered twice")
	}
	all.Operator = nil
	server := must(NewServer(quick(), all, metrics, log))
	socket := must(ListenAdmin(filepath.Join(t.TempDir(), "s")))
	if err := server.Serve(within(t), Listeners{Admin: socket}); err == nil {
		t.Error("an admin listener without an operator passed")
	}
}
