package runtime

import "time"

// Clock tells the time and calls back when it has come. Both methods may be called from many goroutines.
type Clock interface {
	// Now returns the present time.
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own once d has passed, unless the timer is stopped first.
	AfterFunc(d time.Duration, f func()) ClockTimer
}

// ClockTimer is a call that Clock.AfterFunc has promised.
type ClockTimer interface {
	// Stop prevents the call, and reports whether it did so in time.
	Stop() bool
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc implements Clock.
func (SystemClock) AfterFunc(d time.Duration, f func()) ClockTimer {
	if d <= 0 { // and not time.AfterFunc: RATIONALE.md has why
		go f()
		return begun{}
	}
	return time.AfterFunc(d, f)
}

// begun is a timer whose call has begun.
type begun struct{}

// Stop implements ClockTimer.
func (begun) Stop() bool { return false }
