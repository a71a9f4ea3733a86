package runtime

import (
	"cmp"
	"fmt"
)

// MaxTaskName is how many bytes the name of a task may have: that of an intent is composed of its handler's name and a number.
const MaxTaskName = 2 * MaxName

// CheckLengths refuses a batch with a name or an ID that is empty or too long for the keys of a store. Every Writer refuses what it
// refuses.
func (b *Batch) CheckLengths() error {
	if r := b.Next; r != nil {
		if err := CheckScope(r.Workflow, r.ForeignID); err != nil {
			return fmt.Errorf("run %s: %w", r.RunID, err)
		}
		if err := checkLength("status", r.Status, 1, MaxName); err != nil {
			return fmt.Errorf("run %s: %w", r.RunID, err)
		}
	}
	for i := range b.AddTasks {
		t := &b.AddTasks[i]
		if err := cmp.Or(checkLength("workflow", t.Workflow, 0, MaxName), checkLength("name", t.Name, 0, MaxTaskName)); err != nil {
			return fmt.Errorf("task %d of run %s: %w", t.Kind, t.RunID, err)
		}
	}
	for _, s := range [...]*Schedule{b.PrevSchedule, b.NextSchedule} {
		if s == nil {
			continue
		}
		if err := cmp.Or(checkLength("name", s.Name, 1, MaxName), CheckScope(s.Workflow, s.foreignID())); err != nil {
			return fmt.Errorf("schedule %.70q: %w", s.Name, err)
		}
	}
	if i := b.Remember; i != nil {
		if err := cmp.Or(CheckScope(i.Workflow, i.ForeignID), checkLength("key", i.Key, 1, MaxIdempotencyKey)); err != nil {
			return fmt.Errorf("idempotency key: %w", err)
		}
	}
	return b.checkOrigins()
}

func (b *Batch) checkOrigins() error {
	origins := []*Origin{b.Receipt, b.DropReceipt, b.TrimReceipts, b.Unpark}
	if b.Park != nil {
		origins = append(origins, &b.Park.Origin)
	}
	for _, o := range origins {
		if o == nil {
			continue
		}
		if err := checkLength("connector", o.Connector, 1, MaxName); err != nil {
			return fmt.Errorf("message %.120s: %w", o, err)
		}
	}
	return nil
}

// CheckScope refuses a workflow or a foreign ID of a length that no run can have.
func CheckScope(workflow, foreignID string) error {
	return cmp.Or(checkLength("workflow", workflow, 1, MaxName), checkLength("foreign ID", foreignID, 1, MaxForeignID))
}

func checkLength(what, value string, least, most int) error {
	if n := len(value); n < least || n > most {
		return fmt.Errorf("%s of %d bytes: want %d to %d", what, n, least, most)
	}
	return nil
}
