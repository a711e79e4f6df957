package e2e

import (
	"syscall"
	"testing"

	"github.com/notarynet/notaryd/client/runtimefile"
)

// TestPause: one process after the other is stopped by SIGSTOP under load. The others go on without it; when it
// goes on it accepts again, and in the end holds what they called final while it stood still.
func TestPause(t *testing.T) {
	p := startProcesses(t)
	owner, err := runtimefile.LoadKey(p.file.FaucetKey)
	if err != nil {
		t.Fatal(err)
	}
	coins := p.genesis.Doc.Allocations
	l := newLoad(purse{p.genesis.ID, owner, len(coins), coins[0].Amount}, 8, []*client{p.client(0), p.client(1), p.client(2), p.client(3)})
	said := func(v int) int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.said[v])
	}
	for v := range p.file.Nodes {
		eventually(t, "load to reach the node", func() bool { return said(v) >= 5 })
		l.lives(v, nil)
		pid := p.pid(t, v)
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) }) // else it would not end where the test fails
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		other := (v + 1) % len(p.file.Nodes)
		before := said(other)
		eventually(t, "the others to go on", func() bool { return said(other) >= before+10 })
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		l.lives(v, p.client(v)) // what it has said is counted anew; ten at most have waited for its answer meanwhile
		eventually(t, "the node to go on", func() bool { return said(v) >= 15 })
	}
	l.stop(t)
	if lost, contradictory := p.judge(t, l); lost > 0 || contradictory > 0 {
		t.Errorf("%d accepted transactions lost, %d contradictory votes", lost, contradictory)
	}
}
