package runtimetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wfrt/wfrt/runtime"
)

// testLengths writes each name and ID as long as it may be, and a byte longer or without any.
func testLengths(s *storeTest) {
	text := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		what  string
		most  int
		empty bool // is allowed
		batch func(value string) (runtime.Shard, *runtime.Batch)
	}{
		{"workflow", runtime.MaxName, false, func(v string) (runtime.Shard, *runtime.Batch) {
			r := s.newRun(v, "1", "created")
			return s.shard(r), &runtime.Batch{Next: r}
		}},
		{"foreign ID", runtime.MaxForeignID, false, func(v string) (runtime.Shard, *runtime.Batch) {
			r := s.newRun("orders", v, "created")
			return s.shard(r), &runtime.Batch{Next: r}
		}},
		{"status", runtime.MaxName, false, func(v string) (runtime.Shard, *runtime.Batch) {
			r := s.newRun("orders", "1", v)
			return s.shard(r), &runtime.Batch{Next: r}
		}},
		{"task's name", runtime.MaxTaskName, true, func(v string) (runtime.Shard, *runtime.Batch) {
			r := s.newRun("orders", "1", "created")
			return s.shard(r), &runtime.Batch{AddTasks: []runtime.Task{{Due: s.now, Kind: runtime.TaskIntent, RunID: r.RunID, Version: 1, Name: v}}}
		}},
		{"task's workflow", runtime.MaxName, true, func(v string) (runtime.Shard, *runtime.Batch) {
			return 0, &runtime.Batch{AddTasks: []runtime.Task{{Due: s.now, Kind: runtime.TaskSchedule, Workflow: v, Name: text(runtime.MaxName), Slot: s.now}}}
		}},
		{"schedule's name", runtime.MaxName, false, func(v string) (runtime.Shard, *runtime.Batch) {
			sched := runtime.Schedule{ScheduleSpec: runtime.ScheduleSpec{Workflow: "orders", Name: v}}
			return runtime.ShardOf(runtime.SlotOf("orders", v), StoreShards), &runtime.Batch{NextSchedule: &sched}
		}},
		{"schedule's workflow", runtime.MaxName, false, func(v string) (runtime.Shard, *runtime.Batch) {
			sched := runtime.Schedule{ScheduleSpec: runtime.ScheduleSpec{Workflow: v, Name: "nightly"}}
			return runtime.ShardOf(runtime.SlotOf(v, "nightly"), StoreShards), &runtime.Batch{NextSchedule: &sched}
		}},
		{"schedule's foreign ID", runtime.MaxForeignID, true, func(v string) (runtime.Shard, *runtime.Batch) {
			sched := runtime.Schedule{ScheduleSpec: runtime.ScheduleSpec{Workflow: "orders", Name: fmt.Sprint("of-", len(v)), ForeignID: v}}
			home := v
			if home == "" {
				home = sched.Name
			}
			return runtime.ShardOf(runtime.SlotOf("orders", home), StoreShards), &runtime.Batch{NextSchedule: &sched}
		}},
		{"idempotency key", runtime.MaxIdempotencyKey, false, func(v string) (runtime.Shard, *runtime.Batch) {
			r := s.newRun("orders", "1", "created")
			key := runtime.Idempotency{Workflow: "orders", ForeignID: "1", Key: v, RunID: r.RunID, ExpiresAt: s.now}
			return s.shard(r), &runtime.Batch{Next: r, Remember: &key}
		}},
		{"idempotency key's workflow", runtime.MaxName, false, func(v string) (runtime.Shard, *runtime.Batch) {
			key := runtime.Idempotency{Workflow: v, ForeignID: "1", Key: "k", ExpiresAt: s.now}
			return runtime.ShardOf(runtime.SlotOf(v, "1"), StoreShards), &runtime.Batch{Remember: &key}
		}},
		{"idempotency key's foreign ID", runtime.MaxForeignID, false, func(v string) (runtime.Shard, *runtime.Batch) {
			key := runtime.Idempotency{Workflow: "orders", ForeignID: v, Key: "k", ExpiresAt: s.now}
			return runtime.ShardOf(runtime.SlotOf("orders", v), StoreShards), &runtime.Batch{Remember: &key}
		}},
		{"receipt's connector", runtime.MaxName, false, func(v string) (runtime.Shard, *runtime.Batch) {
			return 0, &runtime.Batch{Receipt: &runtime.Origin{Connector: v}}
		}},
		{"parked message's connector", runtime.MaxName, false, func(v string) (runtime.Shard, *runtime.Batch) {
			p := runtime.Parked{Origin: runtime.Origin{Connector: v}, Time: s.now, ParkedAt: s.now}
			return p.Home(StoreShards), &runtime.Batch{Park: &p}
		}},
	} {
		for _, n := range []int{0, 1, c.most, c.most + 1} {
			shard, b := c.batch(text(n))
			_, err := s.Apply(shard, s.epochs[shard], b)
			if allowed := n <= c.most && (n > 0 || c.empty); (err == nil) != allowed {
				s.Errorf("a %s of %d bytes: error is %v; want it written: %v", c.what, n, err, allowed)
			}
		}
	}

	// The name of a task that is composed of the longest that a plugin may give is found again.
	r := s.create("orders", "long", "created")
	want := runtime.Task{
		Due: s.now, Kind: runtime.TaskIntent, RunID: r.RunID, Version: 1, Name: "hook/" + text(runtime.MaxName) + "/4294967295",
		Intent: &runtime.Intent{Workflow: text(runtime.MaxName), ForeignID: text(runtime.MaxForeignID)},
	}
	s.apply(s.shard(r), &runtime.Batch{AddTasks: []runtime.Task{cloneTask(&want)}})
	ofRun := func() []runtime.Task {
		return slices.DeleteFunc(s.tasks(s.shard(r), s.now), func(t runtime.Task) bool { return t.RunID != r.RunID })
	}
	wantSame(s, "the longest task", ofRun(), []runtime.Task{want})
	s.apply(s.shard(r), &runtime.Batch{DropTask: &want})
	wantSame(s, "none once it is dropped", ofRun(), nil)
}
