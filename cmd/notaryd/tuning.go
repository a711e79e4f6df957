package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// gcPercent lets the heap grow to three times what lives before it is collected: a node allocates much that lives
// for a moment. With five times, four nodes in a closed loop settled as many transactions a second, at the same cost, in 1.4 GB each where they take 1.0.
const gcPercent = 200

// tuneProcessors has one goroutine more run at a time than there are processors: one that waits for a synced write counts as
// running until the runtime notices, which takes it up to 10 ms, and a node nearly always syncs something. GOMAXPROCS in the
// environment has the last word.
func tuneProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// tuneCollector trades memory for time as far as half of the machine's memory; beyond that the collector works
// harder. GOGC and GOMEMLIMIT in the environment have the last word.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		if total := memoryOf("/proc/meminfo"); total > 0 {
			debug.SetMemoryLimit(total / 2)
		}
	}
}

// memoryOf reads the machine's memory in bytes, 0 where the file does not tell.
func memoryOf(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0 // no Linux: no limit
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				kb, err := strconv.ParseInt(f[0], 10, 64)
				if err != nil {
					return 0
				}
				return kb << 10
			}
		}
	}
	return 0
}
