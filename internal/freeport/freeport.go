// Package freeport finds TCP ports for tests that must know a port before they listen on it, because
// others are told of it first, or because a node comes back on it.
package freeport

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
)

// Ports lie below those that systems give to outgoing connections (32768 on Linux), so that none of these
// takes one between two lives of a node. Where the search begins is far apart for processes that were
// started one after the other, as the tests of several packages are. Those of a devnet lie below.
const (
	lowest = 12_000
	count  = 20_000
	stride = 7_919 // prime
)

var (
	mu   sync.Mutex
	next = os.Getpid() * stride % count
)

// Port is a port of 127.0.0.1 that nobody listens on, another one with each call.
func Port(t testing.TB) int {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	for range count {
		port := lowest + next
		next = (next + 1) % count
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port")
	return 0
}

// Ports are several.
func Ports(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		ports[i] = Port(t)
	}
	return ports
}
