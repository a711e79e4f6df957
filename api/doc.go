// Package api is the node's door: the public services over gRPC and REST on one port, and the admin
// service on a Unix socket.
//
// A connection to the public port is given to the gRPC server when its first bytes are the HTTP/2
// preface and to the REST gateway otherwise (package api/internal/split). REST is translated to gRPC in
// process, so that limits, errors, logs and metrics are those of one code path: every call of every
// service runs inside one guard, which finds out the client, charges its token bucket (a REST request was
// charged before its body was read), counts its open streams, recovers panics, turns errors into google.rpc.Status, and writes one log line and the
// metrics.
//
// The package knows nothing of nodes. It declares the interfaces it needs (Backends), over notaryv1
// messages and raw bytes, and refuses in their place what can be refused cheaply: requests that are too
// large, lack a field or are badly formed.
//
// Client facing documentation: docs/guides/api.md.
package api
