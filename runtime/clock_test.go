package runtime_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/wfrt/wfrt/runtime"
)

// Calls that are due at once are made, from many goroutines at a time, and leave the race detector whole.
func TestClockCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock runtime.SystemClock
		var calls atomic.Int64
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for range 2000 {
					clock.AfterFunc(0, func() { calls.Add(1) })
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if n := calls.Load(); n != 16*2000 {
			t.Errorf("%d calls, want %d", n, 16*2000)
		}
	})
}
