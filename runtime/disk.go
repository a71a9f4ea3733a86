package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// DiskOptions says when the disk of the store is short of space, and so what goes on. Below the high mark no run begins: triggers,
// schedules, intents and connectors are held. Below the hard mark no step, timeout, callback or hook is done either; what is under
// way ends, and the relay, control and erasures go on in what the mark has reserved. A mark is left when a quarter more than it is
// free.
type DiskOptions struct {
	// Free returns the bytes that are free on the disk. Defaults to none: no mark is ever reached.
	Free func() (int64, error)
	// Hard is the lower mark, in bytes. 0: none.
	Hard int64
	// High is the upper mark, in bytes. 0: none.
	High int64
	// Every is how often the disk is looked at. Defaults to 1 second.
	Every time.Duration
}

func (o *DiskOptions) ensureDefaults() {
	if o.Every == 0 {
		o.Every = time.Second
	}
}

func (o *DiskOptions) validate() error {
	if o.Hard < 0 || o.High < 0 || o.Every < 0 || o.Hard > o.High {
		return errors.New("runtime: options: Disk's Hard, High and Every must not be negative, nor Hard above High")
	}
	return nil
}

// DiskMark says how short of space the disk is. Higher is shorter.
type DiskMark uint8

// Disk marks.
const (
	DiskWell DiskMark = 0
	DiskHigh DiskMark = 1 // no run begins
	DiskHard DiskMark = 2 // no step is done either
)

// DiskState is a moment of the disk.
type DiskState struct {
	Mark DiskMark
	Free int64 // bytes, when it was looked at last; 0 before
}

// mark returns the mark that free bytes mean, from the one before.
func (o *DiskOptions) mark(before DiskMark, free int64) DiskMark {
	reached := func(m DiskMark, bytes int64) bool {
		if before >= m {
			bytes += bytes / 4
		}
		return bytes > 0 && free < bytes
	}
	switch {
	case reached(DiskHard, o.Hard):
		return DiskHard
	case reached(DiskHigh, o.High):
		return DiskHigh
	default:
		return DiskWell
	}
}

// DiskError says that the disk is short of space.
type DiskError struct {
	Free int64 // bytes
	Mark int64 // bytes: below it this is refused
}

func (e *DiskError) Error() string {
	return fmt.Sprintf("the server's disk has %d MiB free, and below %d MiB nothing new is taken", e.Free>>20, e.Mark>>20)
}

// disk is what is known of the disk.
type disk struct {
	mark atomic.Uint32 // a DiskMark
	free atomic.Int64

	mu   sync.Mutex
	left chan struct{} // closed when the high mark is left; nil: it is not reached
}

// spaced waits until the high mark is not reached. It reports whether it waited, and whether ctx still lives.
func (d *disk) spaced(ctx context.Context) (waited, alive bool) {
	if !d.at(DiskHigh) {
		return false, true
	}
	d.mu.Lock()
	left := d.left
	d.mu.Unlock()
	if left == nil {
		return false, true
	}
	select {
	case <-left:
		return true, true
	case <-ctx.Done():
		return true, false
	}
}

// set takes in a mark, and lets go on who waits for the high one to be left.
func (d *disk) set(m DiskMark) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mark.Store(uint32(m))
	switch {
	case m >= DiskHigh && d.left == nil:
		d.left = make(chan struct{})
	case m < DiskHigh && d.left != nil:
		close(d.left)
		d.left = nil
	}
}

func (d *disk) state() DiskState {
	return DiskState{Mark: DiskMark(d.mark.Load()), Free: d.free.Load()}
}

func (d *disk) at(m DiskMark) bool { return DiskMark(d.mark.Load()) >= m }

// DiskLow returns a *DiskError while the disk has reached a mark, else nil. What begins runs from outside holds meanwhile.
func (e *Engine) DiskLow(m DiskMark) error {
	if !e.disk.at(m) {
		return nil
	}
	bytes := e.opt.Disk.High
	if m == DiskHard {
		bytes = e.opt.Disk.Hard
	}
	return &DiskError{Free: e.disk.free.Load(), Mark: bytes}
}

// guard looks at the disk and at the outbox until the engine stops.
func (e *Engine) guard() {
	if e.opt.Disk.Free == nil && e.opt.Streamer == nil {
		return
	}
	late, blind := false, false
	for {
		if e.opt.Disk.Free != nil {
			free, err := e.opt.Disk.Free()
			if err == nil {
				e.look(free)
			} else if !blind {
				e.opt.Logger.Error("the free space of the disk cannot be read; its marks are not kept", "error", err)
			}
			blind = err != nil
		}
		if e.opt.Streamer != nil {
			age, now := e.outboxAge()
			if now && !late {
				e.opt.Logger.Warn("events wait to be published for longer than outbox.lag_alert", "oldest", age.Round(time.Second),
					"error", e.outboxFault(age))
			}
			late = now
		}
		if !e.pause(e.ctx, e.opt.Disk.Every) {
			return
		}
	}
}

// look takes in how much is free, and lets go on what a mark has held when it is left.
func (e *Engine) look(free int64) {
	before := e.disk.state().Mark
	now := e.opt.Disk.mark(before, free)
	e.disk.free.Store(free)
	e.disk.set(now)
	if now == before {
		return
	}
	switch now {
	case DiskHard:
		e.opt.Logger.Error("the disk is nearly full: no steps are done until there is more space", "free_mib", free>>20, "mark_mib", e.opt.Disk.Hard>>20)
	case DiskHigh:
		e.opt.Logger.Warn("the disk is short of space: no runs begin until there is more", "free_mib", free>>20, "mark_mib", e.opt.Disk.High>>20)
	default:
		e.opt.Logger.Info("the disk has space again", "free_mib", free>>20)
	}
	if now < before {
		e.tasks.release()
		for _, s := range e.shards {
			s.startTimers()
		}
	}
}
