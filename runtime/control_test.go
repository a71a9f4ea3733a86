package runtime

import (
	"errors"
	"testing"
	"time"
)

// Every change of state from outside is allowed exactly when the table of transitions says so.
func TestControlFollowsTheTable(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, from := range RunStates() {
		for _, to := range []RunState{Paused, Running, Cancelled, RequestedDataDeleted} {
			rec := Record{
				RunID: NewRunID(at, 0, 1), State: from, Status: "s", Version: 4, Entry: 2, Task: 3, Attempt: 7, NotBefore: at, ResumeAt: at,
			}
			c := Control{To: to, Cause: CausePerson, By: "ann", Pause: PausedByPerson, Reason: "asked"}
			var next Record
			var b Batch
			err := c.apply(&rec, nil, nil, 9, at, Rules{}, &next, &b)
			want := from.CheckTransition(to) == nil && (to != Running || from == Paused)
			if (err == nil) != want {
				t.Errorf("%s to %s: %v, want allowed: %v", from, to, err, want)
			}
			var illegal *TransitionError
			if err != nil {
				if !errors.As(err, &illegal) || illegal.From != from || illegal.To != to {
					t.Errorf("%s to %s: %v", from, to, err)
				}
				continue
			}
			if next.State != to || next.Version != 5 || next.Reason != "asked" || next.Owner != 9 || next.Task != 3 {
				t.Errorf("%s to %s: %+v", from, to, next)
			}
			if next.Ready() != (to == Running) || to == Running && next.Attempt != 1 {
				t.Errorf("%s to %s: ready %v, attempt %d", from, to, next.Ready(), next.Attempt)
			}
			if h := b.History[0]; h.Version != 5 || h.Cause != CausePerson || h.By != "ann" || h.State != to || h.Reason != "asked" {
				t.Errorf("%s to %s: history %+v", from, to, h)
			}
		}
	}
}
