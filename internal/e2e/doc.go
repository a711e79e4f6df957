// Package e2e tests whole networks: real nodes in one process, each with its own store on disk, libp2p
// over loopback and an API server on a port of its own, driven through gRPC and REST as clients do. It
// holds tests only.
package e2e
