package netlab

import (
	"math/rand/v2"
	"os"
	"time"
)

// port is where a host hangs on the switch.
type port struct {
	file  *os.File
	space string // its namespace; empty for this machine
}

// maxFrame is more than an Ethernet frame of the usual MTU takes.
const maxFrame = 2048

// carry takes what one port sends to where it goes, until the port is closed. Addresses are not learnt: the last byte of
// each is the number of its host.
func (l *Lab) carry(from int) {
	frame := make([]byte, maxFrame)
	for {
		n, err := l.ports[from].file.Read(frame)
		if err != nil {
			return
		}
		switch {
		case n < 14:
		case frame[0]&1 == 1: // to all
			for to := range l.ports {
				if to != from {
					l.pass(from, to, frame[:n])
				}
			}
		case int(frame[5]) < len(l.ports) && int(frame[5]) != from:
			l.pass(from, int(frame[5]), frame[:n])
		}
	}
}

// pass does to a frame what the link says.
func (l *Lab) pass(from, to int, frame []byte) {
	l.mu.Lock()
	link := l.links[[2]int{from, to}]
	l.mu.Unlock()
	if link.Cut || link.Loss > 0 && rand.Float64() < link.Loss {
		return
	}
	wait := link.Delay
	if link.Jitter > 0 {
		wait += rand.N(link.Jitter)
	}
	if wait == 0 {
		l.deliver(to, frame)
		return
	}
	later := append([]byte(nil), frame...)
	time.AfterFunc(wait, func() { l.deliver(to, later) })
}

// deliver hands a frame to a host; one that takes no more loses it, as a host does.
func (l *Lab) deliver(to int, frame []byte) { _, _ = l.ports[to].file.Write(frame) }
