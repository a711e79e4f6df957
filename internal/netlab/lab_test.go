package netlab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"
)

// hosts is a lab for a test. It takes root, so tests run where somebody asks for them: make partitions.
func hosts(t *testing.T, n int) *Lab {
	t.Helper()
	if os.Getenv("NOTARY_NETLAB") == "" {
		t.Skip("make partitions")
	}
	l, err := New(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// reach has a host connect to this machine and read a word: how long that took, and whether it did within some seconds.
func reach(l *Lab, host int, at netip.AddrPort, within string) (time.Duration, bool) {
	script := fmt.Sprintf("exec 3<>/dev/tcp/%s/%d; read -r word <&3; test $word = hello", at.Addr(), at.Port())
	line := l.Command(host, "timeout", within, "bash", "-c", script)
	start := time.Now()
	err := exec.Command(line[0], line[1:]...).Run()
	return time.Since(start), err == nil
}

// Hosts reach each other as the links say: at once, late, or not at all, each direction by itself.
func TestLinks(t *testing.T) {
	l := hosts(t, 2)
	here, err := net.Listen("tcp", netip.AddrPortFrom(l.Address(l.Here()), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	go func() {
		for {
			c, err := here.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("hello\n"))
			_ = c.Close()
		}
	}()
	at := here.Addr().(*net.TCPAddr).AddrPort()
	for host := range 2 {
		if _, ok := reach(l, host, at, "20"); !ok {
			t.Fatalf("host %d does not reach this machine", host)
		}
	}
	for name, c := range map[string]struct {
		from, to int
		link     Link
		ok       bool
		least    time.Duration
	}{
		"cut":            {0, l.Here(), Link{Cut: true}, false, 0},
		"cut on the way": {l.Here(), 0, Link{Cut: true}, false, 0},
		"all lost":       {0, l.Here(), Link{Loss: 1}, false, 0},
		"late":           {l.Here(), 0, Link{Delay: 200 * time.Millisecond, Jitter: time.Millisecond}, true, 400 * time.Millisecond},
		"of others":      {1, l.Here(), Link{Cut: true}, true, 0},
	} {
		l.Set(c.from, c.to, c.link)
		within := "1"
		if c.ok { // nobody waits for so long, unless the machine stands still
			within = "20"
		}
		if took, ok := reach(l, 0, at, within); ok != c.ok || took < c.least {
			t.Errorf("%s: reached %t after %v", name, ok, took)
		}
		l.Heal()
	}
}
