package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// Bounds of the wait between two attempts.
const (
	firstWait   = 50 * time.Millisecond
	longestWait = time.Second
)

// Persist calls try until it succeeds, fails for another reason than a server that is away or busy, or patience has passed
// since its first such failure in a row. A server that is killed and started again thus costs time and nothing else; try must
// be safe to repeat. It returns try's last error.
func Persist(ctx context.Context, patience time.Duration, try func(context.Context) error) error {
	var since time.Time
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		err := try(ctx)
		if err == nil || !passing(err) {
			return err
		}
		now := time.Now()
		if since.IsZero() {
			since = now
		}
		if now.Sub(since) >= patience {
			return err
		}
		// Between half and all of it, so that those who failed together do not come back together.
		timer := time.NewTimer(wait/2 + rand.N(wait/2)) //nolint:gosec // not a secret
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}
