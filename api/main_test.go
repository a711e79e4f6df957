package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is every backend at once; a test sets what it needs, the rest refuses with NOT_FOUND.
type script struct {
	submit           func(ctx context.Context, origin string, raw []byte, level notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error)
	validate         func(ctx context.Context, raw []byte) (domain.Hash, error)
	transaction      func(ctx context.Context, id domain.Hash) (*notaryv1.TransactionStatus, []byte, error)
	proof            func(ctx context.Context, id domain.Hash, with bool, known uint64) ([]byte, error)
	compact          func(ctx context.Context, id domain.Hash, with bool, known uint64) ([]byte, error)
	unspent          func(ctx context.Context, address, token string, limit int) ([]*notaryv1.UnspentOutput, string, error)
	balance          func(ctx context.Context, address string) ([]*notaryv1.ProductBalance, error)
	watchTransaction func(ctx context.Context, id domain.Hash) iter.Seq2[*notaryv1.TransactionStatus, error]
	watchAcceptances func(ctx context.Context, cursor string, proofs bool, known uint64) iter.Seq2[*notaryv1.WatchAcceptancesResponse, error]
	watchAddress     func(ctx context.Context, address, cursor string) iter.Seq2[*notaryv1.WatchAddressResponse, error]
	network          func(ctx context.Context) (*notaryv1.GetNetworkResponse, error)
	drain            func(ctx context.Context) (uint64, error)
	stop             func()
	told             told
	costs            []int // what is paid for each call, and for each element of a stream, in bytes

	mu       sync.Mutex
	problems []string
	changed  chan struct{}
	level    slog.LevelVar
}

var errScript = refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "", "not in the script")

func (s *script) Submit(ctx context.Context, origin string, raw []byte, level notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
	if s.submit == nil {
		return nil, errScript
	}
	return s.submit(ctx, origin, raw, level)
}

// Begin submits in a goroutine, whether or not load is shed. A panic there is one of Result.
func (s *script) Begin(ctx context.Context, origin string, raw []byte, level notaryv1.WaitLevel, _ bool, ready func()) (Pending, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &scripted{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer cancel()
		func() {
			defer func() { p.panicked = recover() }()
			p.status, p.err = s.Submit(ctx, origin, raw, level)
		}()
		close(p.done)
		if p.told.CompareAndSwap(false, true) {
			ready()
		}
	}()
	return p, nil
}

// scripted implements Pending.
type scripted struct {
	cancel   context.CancelFunc
	told     atomic.Bool // ready is called, or never will be
	done     chan struct{}
	status   *notaryv1.TransactionStatus
	err      error
	panicked any
}

func (p *scripted) Result() (*notaryv1.TransactionStatus, error) {
	if p.panicked != nil {
		panic(p.panicked)
	}
	return p.status, p.err
}

func (p *scripted) Status(context.Context) *notaryv1.TransactionStatus { return p.status }

func (p *scripted) Leave() bool {
	if !p.told.CompareAndSwap(false, true) {
		return false
	}
	p.cancel()
	<-p.done
	return true
}

func (s *script) Validate(ctx context.Context, raw []byte, _ Pay) (domain.Hash, error) {
	if s.validate == nil {
		return domain.Hash{}, errScript
	}
	return s.validate(ctx, raw)
}

func (s *script) Transaction(ctx context.Context, id domain.Hash) (*notaryv1.TransactionStatus, []byte, error) {
	if s.transaction == nil {
		return nil, nil, errScript
	}
	return s.transaction(ctx, id)
}

func (s *script) Proof(ctx context.Context, id domain.Hash, with bool, known uint64) ([]byte, error) {
	if s.proof == nil {
		return nil, errScript
	}
	return s.proof(ctx, id, with, known)
}

func (s *script) CompactProof(ctx context.Context, id domain.Hash, with bool, known uint64, _ Pay) ([]byte, error) {
	if s.compact == nil {
		return nil, errScript
	}
	return s.compact(ctx, id, with, known)
}

func (s *script) Unspent(ctx context.Context, address, token string, limit int, pay Pay) ([]*notaryv1.UnspentOutput, string, error) {
	if s.unspent == nil {
		return nil, "", errScript
	}
	if err := s.cost(pay); err != nil {
		return nil, "", err
	}
	return s.unspent(ctx, address, token, limit)
}

func (s *script) Balance(ctx context.Context, address string, pay Pay) ([]*notaryv1.ProductBalance, error) {
	if s.balance == nil {
		return nil, errScript
	}
	if err := s.cost(pay); err != nil {
		return nil, err
	}
	return s.balance(ctx, address)
}

func (s *script) WatchTransaction(ctx context.Context, id domain.Hash) iter.Seq2[*notaryv1.TransactionStatus, error] {
	if s.watchTransaction == nil {
		return failing[*notaryv1.TransactionStatus](errScript)
	}
	return s.watchTransaction(ctx, id)
}

func (s *script) WatchAcceptances(ctx context.Context, cursor string, proofs bool, known uint64, pay Pay) iter.Seq2[*notaryv1.WatchAcceptancesResponse, error] {
	if s.watchAcceptances == nil {
		return failing[*notaryv1.WatchAcceptancesResponse](errScript)
	}
	return paid(s, s.watchAcceptances(ctx, cursor, proofs, known), pay)
}

func (s *script) WatchAddress(ctx context.Context, address, cursor string, pay Pay) iter.Seq2[*notaryv1.WatchAddressResponse, error] {
	if s.watchAddress == nil {
		return failing[*notaryv1.WatchAddressResponse](errScript)
	}
	return paid(s, s.watchAddress(ctx, address, cursor), pay)
}

// cost pays what a call costs.
func (s *script) cost(pay Pay) error {
	for _, bytes := range s.costs {
		if err := pay(bytes); err != nil {
			return err
		}
	}
	return nil
}

// paid pays for each element before it yields it.
func paid[T any](s *script, all iter.Seq2[T, error], pay Pay) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for v, err := range all {
			if err == nil {
				err = s.cost(pay)
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

func failing[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		yield(zero, err)
	}
}

func (s *script) Network(ctx context.Context) (*notaryv1.GetNetworkResponse, error) {
	if s.network == nil {
		return &notaryv1.GetNetworkResponse{Name: "scripted"}, nil
	}
	return s.network(ctx)
}

func (s *script) Ready() ([]string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.problems, s.changed
}

// set changes readiness.
func (s *script) set(problems ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = problems
	if s.changed != nil {
		close(s.changed)
	}
	s.changed = make(chan struct{})
}

func (s *script) Drain(ctx context.Context) (uint64, error) { return s.drain(ctx) }
func (s *script) Stop()                                     { s.stop() }

func (s *script) Backup(_ context.Context, dir string) (uint64, error) { return uint64(len(dir)), nil }

func (s *script) Prune(_ context.Context, olderThanMS uint64, keep []string) (*notaryv1.PruneResponse, error) {
	return &notaryv1.PruneResponse{BeforeMs: olderThanMS, ProofsKept: uint64(len(keep))}, nil
}

func (s *script) SetLogLevel(level slog.Level) slog.Level {
	previous := s.level.Level()
	s.level.Set(level)
	return previous
}

// node is a server under test on a real loopback port.
type node struct {
	*script
	t       *testing.T
	server  *Server
	address string
	socket  string
	conn    *grpc.ClientConn
	client  notaryv1.NotaryServiceClient
	logs    *logs
	stopped chan error // what Serve returned
	cancel  context.CancelFunc
}

// logs collects the lines of a node.
type logs struct {
	mu    sync.Mutex
	lines []map[string]any
}

func (l *logs) Write(b []byte) (int, error) {
	var line map[string]any
	if err := json.Unmarshal(b, &line); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return len(b), nil
}

// find returns the lines with a message.
func (l *logs) find(message string) (found []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

// quick is a configuration for tests: it waits for nothing that a test does not ask for.
func quick() Config {
	c := DefaultConfig()
	c.Grace = 5 * time.Second
	return c
}

// serve starts a server with a script and stops it when the test ends. It serves on a port of loopback, and on what else is given.
func serve(t *testing.T, config Config, s *script, more ...net.Listener) *node {
	t.Helper()
	public, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "admin.sock")
	admin, err := ListenAdmin(socket)
	if err != nil {
		t.Fatal(err)
	}
	n := serveOn(t, config, s, Listeners{Public: append([]net.Listener{public}, more...), Admin: admin})
	n.address, n.socket = public.Addr().String(), socket
	n.connect(n.dial("passthrough:///" + n.address))
	return n
}

// serveInMemory is serve in a bubble, where time stands still while there is anything to do. It has no address.
func serveInMemory(t *testing.T, config Config, s *script) *node {
	t.Helper()
	pipe := bufconn.Listen(1 << 20)
	n := serveOn(t, config, s, Listeners{Public: []net.Listener{pipe}})
	n.connect(n.dial("passthrough:///memory", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) })))
	return n
}

func serveOn(t *testing.T, config Config, s *script, listeners Listeners) *node {
	t.Helper()
	n := &node{script: s, t: t, logs: &logs{}, stopped: make(chan error, 1)}
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(n.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n.server, err = NewServer(config, s.backends(), metrics, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() { n.stopped <- n.server.Serve(ctx, listeners) }()
	t.Cleanup(func() { n.end() })
	return n
}

// connect has the node's own calls go that way.
func (n *node) connect(conn *grpc.ClientConn) {
	n.conn, n.client = conn, notaryv1.NewNotaryServiceClient(conn)
}

// end stops the server and returns what Serve returned.
func (n *node) end() error {
	n.cancel()
	n.conn.Close()
	err := <-n.stopped
	n.stopped <- err // for the next caller
	http.DefaultClient.CloseIdleConnections()
	return err
}

func (n *node) dial(target string, options ...grpc.DialOption) *grpc.ClientConn {
	n.t.Helper()
	conn, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	return conn
}

// reply is an answer of the REST API.
type reply struct {
	code   int
	header http.Header
	body   []byte
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("%q: %v", r.body, err)
	}
	return v
}

func (n *node) rest(method, path, body string) reply {
	n.t.Helper()
	req, err := http.NewRequest(method, "http://"+n.address+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	return n.do(req)
}

func (n *node) do(req *http.Request) reply {
	n.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, b}
}

// detail finds a detail of a type in an error.
func detail[D any](err error) (found D) {
	for _, d := range status.Convert(err).Details() {
		if v, ok := d.(D); ok {
			return v
		}
	}
	return found
}

// reasonIn is the reason in an error's ErrorInfo.
func reasonIn(err error) string { return detail[*errdetails.ErrorInfo](err).GetReason() }

// wantReason fails unless err carries a reason.
func wantReason(t *testing.T, err error, want notaryv1.Reason) {
	t.Helper()
	if got := reasonIn(err); got != refusal.Name(want) {
		t.Fatalf("got reason %q (%v), want %s", got, err, refusal.Name(want))
	}
}

// hash is a transaction id for tests.
func hash(b byte) domain.Hash { return domain.Hash(bytes.Repeat([]byte{b}, domain.Size)) }

// statusOf is a transaction's status for tests.
func statusOf(id domain.Hash, state notaryv1.TransactionState) *notaryv1.TransactionStatus {
	return &notaryv1.TransactionStatus{TransactionId: id[:], State: state, QuorumWeight: 666_666_666}
}

// within is a context that ends with the test, or in time to say where a test hangs.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

var errBoom = errors.New("disk /secret/path broke")

const (
	levelNone  = notaryv1.WaitLevel_WAIT_LEVEL_NONE
	levelFinal = notaryv1.WaitLevel_WAIT_LEVEL_FINAL
	stateFinal = notaryv1.TransactionState_TRANSACTION_STATE_FINAL
)

// serveForFuzz is the REST handler of a node that knows nothing and has no limits to speak of.
func serveForFuzz(f *testing.F) http.Handler {
	config := quick()
	config.Limits.CallsPerSecond, config.Limits.CallBurst = 1e9, 1e9
	s := &script{}
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		f.Fatal(err)
	}
	server, err := NewServer(config, s.backends(), metrics, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	r, err := server.start(Listeners{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { server.stop(r) })
	return r.http.Handler
}
