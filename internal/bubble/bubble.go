// Package bubble runs tests under the fake clock of testing/synctest, also under the race detector.
package bubble

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// Test is synctest.Test. Under the race detector it leaves the process one processor meanwhile: Go's runtime
// has one race context for all timers of a bubble and lets processors that run its timers at once write into
// it, which ends the test's process within the detector (Go 1.26; on two processors TestManyTimers does it).
// Races are found as before: the detector compares what is ordered, not what ran at the same moment. Tests
// that call it must not be parallel.
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if Raced {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	synctest.Test(t, f)
}
