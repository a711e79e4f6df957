package bubble

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// Under the race detector, this ends the process within milliseconds when two processors run the timers.
func TestManyTimers(t *testing.T) {
	procs := runtime.GOMAXPROCS(0)
	var fired int
	Test(t, func(*testing.T) {
		var every sync.WaitGroup
		var mu sync.Mutex
		for range 50 {
			every.Go(func() {
				for i := range 400 {
					wait := time.Duration(i%3) * time.Millisecond
					unread := time.NewTimer(wait)
					done := make(chan struct{})
					time.AfterFunc(wait, func() { close(done) })
					<-done
					unread.Stop()
					mu.Lock()
					fired++
					mu.Unlock()
				}
			})
		}
		every.Wait()
	})
	if fired != 50*400 {
		t.Errorf("%d timers fired", fired)
	}
	if now := runtime.GOMAXPROCS(0); now != procs {
		t.Errorf("%d processors after, %d before", now, procs)
	}
}
