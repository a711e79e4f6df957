package growth

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Part is one kind of work.
type Part uint8

// The parts, in the order in which a transaction meets them.
const (
	Idle   Part = iota // not counted
	Decode             // decode and hash transactions
	Verify             // their signatures
	Judge              // look up what they spend, apply the rules, step the machine
	Vote               // guard, seal and sign this node's observation, hand it to the store
	Hear               // decode observations of others: encoding, leaves, merkle root
	Check              // their signatures
	Save               // follow their chains and hand them to the store
	Count              // count their votes and step the machines
	Commit             // hand finals to the store
	parts
)

// PartNames are the names in reports, by Part; Background is all that no part is: flushes, compactions and the
// log of the store, the collector.
var PartNames = [parts]string{"idle", "decode", "verify", "judge", "vote", "hear", "check", "save", "count", "commit"}

// Background is the name of what the goroutine that is measured did not do itself.
const Background = "background"

// meter charges processor time to parts. The goroutine that uses it must be locked to its thread.
type meter struct {
	spent   [parts]time.Duration
	part    Part
	since   time.Duration
	process time.Duration // of the whole process when it was last reset
	allocs  uint64
}

// reset starts anew, with nothing charged.
func (m *meter) reset() {
	*m = meter{since: threadCPU(), process: processCPU(), allocs: mallocs()}
}

// to charges what was used since the last call to the part that was on, and turns to another.
func (m *meter) to(p Part) {
	now := threadCPU()
	m.spent[m.part] += now - m.since
	m.part, m.since = p, now
}

// split is microseconds for each of n things, by part, with what else the process used under Background.
func (m *meter) split(n int) (us map[string]float64, sum float64) {
	us = make(map[string]float64, parts)
	rest := processCPU() - m.process
	for p, d := range m.spent {
		rest -= d
		if Part(p) != Idle {
			us[PartNames[p]] = microseconds(d) / float64(n)
		}
	}
	us[Background] = max(0, microseconds(rest)/float64(n))
	for _, v := range us {
		sum += v
	}
	return us, sum
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func threadCPU() time.Duration  { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }
func processCPU() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

func clock(id int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		panic(err) // never for these two
	}
	return time.Duration(t.Nano())
}

// mallocs is how many objects this process has allocated.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
