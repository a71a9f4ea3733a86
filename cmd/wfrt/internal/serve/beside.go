package serve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// errLate is the cause of the end of what lateAfter returns.
var errLate = errors.New("server.shutdown_timeout is over")

// lateAfter returns a context that ends when all that is under way must have ended: a while after ctx does. The caller cancels it.
func lateAfter(ctx context.Context, timeout func() time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() {
		over := time.NewTimer(timeout())
		defer over.Stop()
		select {
		case <-over.C:
			cancel(errLate)
		case <-late.Done():
		}
	})
	return late, func() {
		forget()
		cancel(nil)
	}
}

// beside is what goes on beside the requests, and what of it has not ended. A plugin that is being compiled cannot be stopped, so whoever
// waits for it waits only so long.
type beside struct {
	mu    sync.Mutex // guards the fields below
	left  map[string]bool
	ended chan struct{} // closed when there is nothing left, and made anew for what begins then
}

func newBeside() *beside { return &beside{left: make(map[string]bool)} }

// start runs do, which has a name of its own, in a goroutine.
func (b *beside) start(name string, do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.left) == 0 {
		b.ended = make(chan struct{})
	}
	b.left[name] = true
	go func() {
		do()
		b.mu.Lock()
		defer b.mu.Unlock()
		if delete(b.left, name); len(b.left) == 0 {
			close(b.ended)
		}
	}()
}

// wait waits until all has ended, and when late ends first says what has not. Nothing is started meanwhile.
func (b *beside) wait(late context.Context) error {
	b.mu.Lock()
	ended := b.ended
	b.mu.Unlock()
	if ended == nil {
		return nil
	}
	select {
	case <-ended:
		return nil
	case <-late.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.left) == 0 {
		return nil
	}
	return fmt.Errorf("serve: %w, and this has not ended: %s", context.Cause(late), strings.Join(slices.Sorted(maps.Keys(b.left)), ", "))
}
