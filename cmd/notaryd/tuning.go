package main

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/notarynet/notaryd/internal/hugepages"
)

// tuneProcessors has one goroutine more run at a time than there are processors: one that waits for a synced write counts as
// running until the runtime notices, which takes it up to 10 ms, and a node nearly always syncs something. GOMAXPROCS in the
// environment has the last word.
func tuneProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// tuneCollector has the collector work harder where the heap takes more than half of the memory that there is. GOMEMLIMIT in the environment
// has the last word. How far the heap may grow between two collections is the runtime's own choice: with three times as far four nodes took
// 5 % more time where a page of memory is dear.
func tuneCollector() {
	if os.Getenv("GOMEMLIMIT") == "" {
		if total := machineMemory(); total > 0 {
			debug.SetMemoryLimit(total / 2)
		}
	}
}

// What memory.huge_pages may be.
const (
	hugeAuto   = "auto"
	hugeAlways = "always"
	hugeNever  = "never"
)

// hugeMost is how much of the heap lies in large pages at the most, and no more than an eighth of the memory that there is.
const hugeMost = 2 << 30

// tuneHugePages has the heap lie in large pages, always or where small ones are dear.
func tuneHugePages(mode string, log *slog.Logger) {
	size := int(min(hugeMost, machineMemory()/8))
	switch mode {
	case hugeAlways:
		if reserved, err := hugepages.Reserve(size); err != nil {
			log.Warn("the heap lies in small pages", "error", err)
		} else {
			log.Info("the heap lies in large pages", "bytes", reserved)
		}
	case hugeAuto:
		fault, reserved, err := hugepages.WhereDear(size)
		switch {
		case reserved > 0:
			log.Info("the heap lies in large pages, since small ones are dear here", "fault", fault, "bytes", reserved)
		case fault >= hugepages.Dear:
			log.Warn("small pages are dear here, and there are no large ones", "fault", fault, "error", err)
		case err != nil && !errors.Is(err, hugepages.ErrNone):
			log.Warn("what a page takes is not known", "error", err)
		}
	}
}

// machineMemory is what this process may use, in bytes: what the machine has, or the limit of its control group (a container's or a
// service's) where that is less. 0 where nobody tells.
func machineMemory() int64 { return least(memlimit.FromSystem, memlimit.FromCgroup) }

// least is the lowest limit that is known; one that cannot be read counts as none.
func least(limits ...memlimit.Provider) (bytes int64) {
	for _, limit := range limits {
		if n, err := limit(); err == nil && n > 0 && n <= math.MaxInt64 && (bytes == 0 || int64(n) < bytes) {
			bytes = int64(n)
		}
	}
	return bytes
}
