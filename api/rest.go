package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	gateway "github.com/notarynet/notaryd/api/gateway/notary/v1"
	"github.com/notarynet/notaryd/api/internal/throttle"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// handler makes the HTTP side of the public port; conn leads to the gateway's gRPC server.
func (s *Server) handler(conn *grpc.ClientConn) (http.Handler, error) {
	translate := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
			MarshalOptions:   protojson.MarshalOptions{EmitUnpopulated: true},
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
		}),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingHeaderMatcher(func(key string) (string, bool) {
			return http.CanonicalHeaderKey(key), key == headerNotBuilt
		}),
		runtime.WithMetadata(restMetadata),
		runtime.WithErrorHandler(restError),
		runtime.WithStreamErrorHandler(func(_ context.Context, err error) *status.Status { return decorate(status.Convert(err), "") }),
		runtime.WithRoutingErrorHandler(restRoutingError),
		runtime.WithDisablePathLengthFallback(),
	)
	if err := gateway.RegisterNotaryServiceHandlerClient(context.Background(), translate, notaryv1.NewNotaryServiceClient(conn)); err != nil {
		return nil, err
	}
	if err := gateway.RegisterExplorerServiceHandlerClient(context.Background(), translate, notaryv1.NewExplorerServiceClient(conn)); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"live": true})
	})
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /openapi.json", s.charged(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(s.openapi)
	})))
	mux.Handle("/", s.charged(s.body(textOnly(hexIDs(translate)))))
	guarded, err := cors(s.config.CORSOrigins, mux)
	if err != nil {
		return nil, err
	}
	return s.deadlines(s.recovering(guarded)), nil
}

// readyz says whether the node serves and what is in the way.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	problems, _ := s.backends.Readiness.Ready()
	if s.guard.soft.Err() != nil {
		problems = append(problems, "shutting down")
	}
	code := http.StatusOK
	if len(problems) > 0 {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, map[string]any{"ready": len(problems) == 0, "problems": append([]string{}, problems...)})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v)
}

// restMetadata tells the guard who is behind a call of the gateway. Headers of clients are not passed
// on, so nobody else can say it.
func restMetadata(_ context.Context, r *http.Request) metadata.MD {
	return metadata.Pairs(keyClient, clientOf(r), keyAgent, printable(r.UserAgent()))
}

func clientOf(r *http.Request) string { return throttle.Client(address(r.RemoteAddr)) }

// address is a remote address as net/http has it.
type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

// printable keeps what gRPC metadata may hold.
func printable(s string) string {
	b := []byte(s[:min(len(s), 128)])
	for i := range b {
		if b[i] < 0x20 || b[i] > 0x7e {
			b[i] = '?'
		}
	}
	return string(b)
}

// restError writes an error as the JSON of its google.rpc.Status, with Retry-After where it has a RetryInfo.
func restError(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	httpStatus := 0
	var fixed *runtime.HTTPStatusError
	if errors.As(err, &fixed) {
		httpStatus, err = fixed.HTTPStatus, fixed.Err
	}
	st := decorate(status.Convert(err), "")
	for _, d := range st.Details() {
		if retry, ok := d.(*errdetails.RetryInfo); ok {
			seconds := math.Ceil(retry.GetRetryDelay().AsDuration().Seconds())
			w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
		}
	}
	if infoOf(st).GetReason() == refusal.Name(notaryv1.Reason_REASON_TOO_LARGE) {
		httpStatus = http.StatusRequestEntityTooLarge
	}
	err = st.Err()
	if httpStatus != 0 {
		err = &runtime.HTTPStatusError{HTTPStatus: httpStatus, Err: err}
	}
	runtime.DefaultHTTPErrorHandler(ctx, mux, m, w, r, err)
}

// restRoutingError answers requests that fit no path or method.
func restRoutingError(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	code := codes.InvalidArgument
	switch httpStatus {
	case http.StatusNotFound:
		code = codes.NotFound
	case http.StatusMethodNotAllowed:
		code = codes.Unimplemented
	}
	err := status.Error(code, fmt.Sprintf("%s %.256s: no such method; /openapi.json lists them", r.Method, r.URL.Path))
	restError(ctx, mux, m, w, r, &runtime.HTTPStatusError{HTTPStatus: httpStatus, Err: err})
}

// writeError answers a request that does not reach the gateway.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	restError(r.Context(), runtime.NewServeMux(), &runtime.JSONPb{}, w, r, toStatus(err, "").Err())
}

// body reads the whole body before a request is looked at, within the limits of size and time.
func (s *Server) body(next http.Handler) http.Handler {
	limit := int64(s.config.Limits.MessageBytes)
	tooLarge := refusal.New(notaryv1.Reason_REASON_TOO_LARGE, "", "a request has at most %d bytes", limit)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			writeError(w, r, tooLarge)
			return
		}
		control := http.NewResponseController(w)
		if r.Body == nil || r.Body == http.NoBody {
			control.SetReadDeadline(time.Time{})
			next.ServeHTTP(w, r)
			return
		}
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
		var over *http.MaxBytesError
		switch {
		case errors.As(err, &over):
			writeError(w, r, tooLarge)
			return
		case err != nil:
			w.Header().Set("Connection", "close")
			writeError(w, r, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "", "the request's body did not arrive"))
			return
		}
		control.SetReadDeadline(time.Time{})
		r.Body = io.NopCloser(bytes.NewReader(b))
		next.ServeHTTP(w, r)
	})
}

// charged takes a token of the client before anything of a request but its head is read: what it sends costs it more than it
// costs the node. The call that a request becomes takes none (guard.admit).
func (s *Server) charged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if over := s.guard.table.Take(clientOf(r)); over != nil {
			s.metrics.limited.WithLabelValues(over.What).Inc()
			writeError(w, r, tooMuch(over))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// recovering turns a panic outside of a call into INTERNAL.
func (s *Server) recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				s.metrics.panics.Inc()
				s.log.Error("panic in a request", "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				writeError(w, r, fmt.Errorf("panic: %v", p))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// deadlines gives the client a while to send its request, and to take each piece of an answer, however long the whole may last.
// The first ends when the body is here (body); where nobody reads one, the HTTP server does, to use the connection again.
func (s *Server) deadlines(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := &deadlineWriter{ResponseWriter: w, control: http.NewResponseController(w), timeout: s.config.Limits.HTTPTimeout}
		d.control.SetReadDeadline(time.Now().Add(d.timeout))
		d.extend()
		next.ServeHTTP(d, r)
	})
}

// deadlineWriter moves the write deadline on with every piece.
type deadlineWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (d *deadlineWriter) extend() error { return d.control.SetWriteDeadline(time.Now().Add(d.timeout)) }

// Write implements http.ResponseWriter.
func (d *deadlineWriter) Write(b []byte) (int, error) {
	if err := d.extend(); err != nil {
		return 0, err
	}
	return d.ResponseWriter.Write(b)
}

// FlushError is what http.ResponseController calls.
func (d *deadlineWriter) FlushError() error {
	if err := d.extend(); err != nil {
		return err
	}
	return d.control.Flush()
}

// Unwrap is what http.ResponseController calls for the rest.
func (d *deadlineWriter) Unwrap() http.ResponseWriter { return d.ResponseWriter }
