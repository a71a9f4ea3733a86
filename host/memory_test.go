package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
)

// eachInstance is what an instance of a hand-written guest takes of the budget.
const eachInstance = 4*pageBytes + instanceCost

// within gives all plugins together room for three such instances, and a little.
func within(o *Options) { o.Limits.MemoryBytes, o.TotalMemoryBytes = 1<<20, 1<<20 }

// used returns what is taken of the budget.
func (r *rig) used() int64 {
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	return r.memory.used
}

// hold takes n instances of the module of a step out of its pool, making those that are not there, and returns them.
func (r *rig) hold(workflow string, n int) (*module, []*instance) {
	r.t.Helper()
	m := r.invocation(workflow, "closed", `{}`).Handler.Invoker.(*invoker).module
	var held []*instance
	for range n {
		i, _, err := m.pool.take(context.Background(), m.pool.runs)
		if err == nil && i == nil {
			i, err = m.newInstance(context.Background())
		}
		if err != nil {
			r.t.Fatal(err)
		}
		held = append(held, i)
	}
	return m, held
}

func doorNamed(name string) guest {
	g := doorGuest()
	g.manifest = workflowPart(name, "", []string{"closed>open"}, []string{"open"}, nil)
	return g
}

// TestIdleInstancesMakeRoom serves four plugins where there is room for the instances of three.
func TestIdleInstancesMakeRoom(t *testing.T) {
	r := newRig(t, within)
	for n := range 4 {
		r.put(fmt.Sprintf("d%d.wasm", n), doorNamed(fmt.Sprintf("d%d", n)).bytes())
	}
	r.load()
	for round := range 3 {
		instances := 0
		for n := range 4 {
			name := fmt.Sprintf("d%d", n)
			r.serves(name)
			in := r.invocation(name, "closed", `{}`)
			in.Handler.Invoker.(*invoker).id = 0
			var out runtime.Outcome
			if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); err != nil || out.Kind != runtime.OutcomeTo {
				t.Errorf("round %d, %s: %+v, %v; want it to work", round, name, out, err)
			}
		}
		for n := range 4 {
			instances += r.plugin(fmt.Sprintf("d%d", n)).Instances
		}
		if instances != 3 || r.used() != 3*eachInstance {
			t.Errorf("%d instances, %d bytes; want 3 at the end of a round", instances, r.used())
		}
	}
}

// growing is a guest whose step of the workflow of its name takes as much memory as it gets, and leads the run on.
func growing(name string) guest {
	g := doorNamed(name)
	body := g.invoke
	g.invoke = asm.Code(asm.Loop, asm.I32(1), asm.MemoryGrow, asm.I32(-1), asm.I32Ne, asm.BrIf(0), asm.End, body)
	return g
}

// refuses fails the test unless an invocation of a step is refused for want of memory, of which its plugin and a canary know nothing.
func (r *rig) refuses(name string) {
	r.t.Helper()
	in := r.invocation(name, "closed", `{}`)
	on := &trial{rules: CanaryRules{ErrorShare: 0.5, MinInvocations: 1, Window: time.Minute}, clock: r.options.Clock, failed: func() {}}
	before := r.plugin(name)
	var out runtime.Outcome
	err := on.watch(func(int32, StepLimits) runtime.Invoker { return in.Handler.Invoker })(0, StepLimits{}).Invoke(context.Background(), in, &out)
	if err == nil {
		r.t.Fatalf("%s: outcome %+v; want the invocation refused", name, out)
	}
	wantPieces(r.t, err.Error(), "no memory is left for another instance of "+name+".wasm",
		"all plugins together are at the limit of 1 MiB (plugins.limits.total_memory_bytes)")
	after := r.plugin(name)
	if after.Traps != before.Traps || after.Exceeded["total_memory_bytes"] != before.Exceeded["total_memory_bytes"]+1 || on.tally() != (tally{}) {
		r.t.Errorf("%+v, and the canary counts %+v; want no trap, nothing for a canary, and the limit counted", after, on.tally())
	}
}

// works fails the test unless an invocation of a step leads the run on.
func (r *rig) works(name string) {
	r.t.Helper()
	if out := r.invoke(name, "closed", `{}`); out.Kind != runtime.OutcomeTo {
		r.t.Errorf("%s: outcome %+v; want it to work", name, out)
	}
}

// TestGrowthLeavesOthersTheirLastInstance has a plugin take all the memory that it gets, beside one with idle instances.
func TestGrowthLeavesOthersTheirLastInstance(t *testing.T) {
	r := newRig(t, within)
	r.put("good.wasm", doorNamed("good").bytes())
	r.put("hog.wasm", growing("hog").bytes())
	r.load()
	m, held := r.hold("good", 2)
	for _, i := range held {
		m.pool.put(i, m.pool.runs)
	}
	for range 3 {
		r.works("hog")
		if n := r.plugin("good").Instances; n != 1 {
			t.Fatalf("%d idle instances are left of the other plugin; want its last", n)
		}
		r.works("good")
	}
	// Nor does a second instance take it.
	hog, held := r.hold("hog", 1)
	if _, err := hog.newInstance(context.Background()); err == nil {
		t.Error("a plugin gets a second instance in the place of another's last")
	}
	r.works("good")
	hog.pool.put(held[0], hog.pool.runs)
}

// TestAPluginWithoutAnInstanceIsNext when memory is given back: those that have instances get no more, do not grow, and give theirs back.
func TestAPluginWithoutAnInstanceIsNext(t *testing.T) {
	r := newRig(t, within)
	r.put("good.wasm", doorNamed("good").bytes())
	r.put("hog.wasm", growing("hog").bytes())
	r.load()
	hog, held := r.hold("hog", 2)
	r.put("late.wasm", doorNamed("late").bytes()) // the first instance of it takes the last of good
	r.load()
	late, others := r.hold("late", 1)
	r.refuses("good")
	r.refuses("good")
	if c := r.memory.claims; len(c) != 1 || c[0].bytes != eachInstance {
		t.Errorf("claims %+v; want one, of one instance", c)
	}
	hog.pool.put(held[1], hog.pool.runs)
	r.works("hog") // it did not grow, and its instance is given back
	if n := r.plugin("hog").Instances; n != 1 || r.used() != 2*eachInstance {
		t.Errorf("%d instances, %d bytes; want the second closed, and it not grown", n, r.used())
	}
	var limit *LimitError
	if _, err := hog.newInstance(context.Background()); !errors.As(err, &limit) || limit.Used <= limit.Max {
		t.Errorf("%v; want no instance made of what the other plugin claims, and more asked for than there is", err)
	}
	r.works("good")
	if len(r.memory.claims) != 0 || r.memory.claimed.Load() {
		t.Error("the claim outlives the instance")
	}
	hog.pool.put(held[0], hog.pool.runs)
	late.pool.put(others[0], late.pool.runs)
}

// TestAClaimEndsWithItsModule leaves nothing claimed for a plugin that is replaced while it waits for memory.
func TestAClaimEndsWithItsModule(t *testing.T) {
	b, pools := budgetOf(100, runtime.SystemClock{}, 2)
	p, q := pools[0], pools[1]
	if !b.open(p, 60) || b.open(q, 60) || b.reserve(p, 30, 1) || !b.wanted(p) {
		t.Error("want one instance, a claim of the other, and no growth")
	}
	b.leave(q)
	if b.wanted(p) || !b.reserve(p, 30, 1) || b.open(q, 60) || b.wanted(p) {
		t.Error("want no claim of a module that is retired, before or after")
	}
}

// budgetOf returns a budget, and pools without idle instances that share it.
func budgetOf(limit int64, clock runtime.Clock, n int) (*budget, []*pool) {
	b := newBudget(limit, clock)
	pools := make([]*pool, n)
	for at := range pools {
		pools[at] = newPool(1, clock)
		b.enter(pools[at])
	}
	return b, pools
}

// TestClaimsAreServedInOrder has three plugins share the place of one, of which the last served always asks again first.
func TestClaimsAreServedInOrder(t *testing.T) {
	b, pools := budgetOf(100, stillClock{}, 3)
	if !b.open(pools[0], 60) || b.open(pools[1], 60) || b.open(pools[2], 60) {
		t.Fatal("want an instance of the first, and claims of the others")
	}
	for turn := range 9 {
		has, next, last := pools[turn%3], pools[(turn+1)%3], pools[(turn+2)%3]
		if !b.wanted(has) {
			t.Fatalf("turn %d: the instance is not wanted", turn)
		}
		b.close(has, 60)
		if b.open(has, 60) || b.open(last, 60) || b.reserve(has, 50, 0) {
			t.Fatalf("turn %d: who comes first gets what another claims", turn)
		}
		if !b.open(next, 60) {
			t.Fatalf("turn %d: whose turn it is, is refused", turn)
		}
	}
}

// TestAClaimLapses when its plugin no longer asks, and not before.
func TestAClaimLapses(t *testing.T) {
	clock := settableClock{now: new(atomic.Int64)}
	b, pools := budgetOf(100, clock, 2)
	p, q := pools[0], pools[1]
	if !b.open(p, 60) {
		t.Fatal("want an instance")
	}
	for range 3 { // each refusal renews it
		if b.open(q, 60) {
			t.Fatal("want it refused")
		}
		clock.now.Add(int64(claimFor - 1))
		if !b.wanted(p) || b.reserve(p, 30, 1) {
			t.Error("the claim ends though its plugin still asks")
		}
	}
	clock.now.Add(1)
	if b.wanted(p) || b.claimed.Load() || !b.reserve(p, 30, 1) {
		t.Error("the claim goes on though its plugin asks no more")
	}
}

// TestWhatCannotComeIsNotClaimed keeps so much for as long as modules live that one plugin can have no instance beside it.
func TestWhatCannotComeIsNotClaimed(t *testing.T) {
	b, pools := budgetOf(100, stillClock{}, 2)
	p, q := pools[0], pools[1]
	if !b.open(p, 40) || b.open(q, 70) || !b.wanted(p) || !b.keep(nil, 40) {
		t.Fatal("want an instance of one, a claim of the other, and what is kept beside them")
	}
	if b.open(q, 70) || b.wanted(p) {
		t.Error("want no claim to more than there can be")
	}
	b.drop(40)
	if b.open(q, 70) || !b.wanted(p) {
		t.Error("want a claim to what there can be again")
	}
}

// TestRoomIsMadeOfWhatIsSpare before any plugin's last instance, and of nothing when it cannot suffice.
func TestRoomIsMadeOfWhatIsSpare(t *testing.T) {
	r := newRig(t, within)
	r.put("few.wasm", doorNamed("few").bytes())
	r.put("many.wasm", doorNamed("many").bytes())
	r.load()
	m, held := r.hold("many", 2)
	instances := func(few, many int) {
		t.Helper()
		if a, b := r.plugin("few").Instances, r.plugin("many").Instances; a != few || b != many {
			t.Errorf("%d and %d instances; want %d and %d", a, b, few, many)
		}
	}
	if r.memory.reserve(nil, 2*eachInstance, 0) {
		t.Error("want it refused while two of three are in use")
	}
	instances(1, 2) // none is closed in vain
	for _, i := range held {
		m.pool.put(i, m.pool.runs)
	}
	if !r.memory.reserve(nil, eachInstance, 0) {
		t.Error("want room made")
	}
	instances(1, 1)
	if r.memory.reserve(nil, eachInstance, 1) {
		t.Error("want growth refused")
	}
	instances(1, 1)
	if !r.memory.reserve(nil, 2*eachInstance, 0) {
		t.Error("want room made of the last instances")
	}
	instances(0, 0)
}

// onClose calls close once, when an instance of any plugin is closed.
type onClose struct {
	NoMeter
	close func()
}

func (m *onClose) Plugin(string) PluginMeter { return m }

func (m *onClose) Instances(delta int) {
	if f := m.close; delta < 0 && f != nil {
		m.close = nil
		f()
	}
}

// TestOneOfTheFirstInstancesIsTheFirst has a plugin make two at the same time, each of which could be its first: only one of them takes
// the last instances of others.
func TestOneOfTheFirstInstancesIsTheFirst(t *testing.T) {
	meter := &onClose{}
	r := newRig(t, within, func(o *Options) { o.Meter = meter })
	for n := range 3 {
		r.put(fmt.Sprintf("d%d.wasm", n), doorNamed(fmt.Sprintf("d%d", n)).bytes())
	}
	r.load()
	p := newPool(2, r.options.Clock)
	r.memory.enter(p)
	second := true
	meter.close = func() { second = r.memory.open(p, 2*eachInstance) } // while the first has closed one of two that it needs
	if !r.memory.open(p, 2*eachInstance) || second {
		t.Errorf("want the first made, and not the second: %v", second)
	}
	instances := 0
	for n := range 3 {
		instances += r.plugin(fmt.Sprintf("d%d", n)).Instances
	}
	if instances != 1 || len(r.memory.claims) != 0 {
		t.Errorf("%d instances are left of three plugins, and %d claims; want one and none", instances, len(r.memory.claims))
	}
}

// TestAnInitialisationThatMemoryDoesNotSufficeFor is no fault of the plugin's either.
func TestAnInitialisationThatMemoryDoesNotSufficeFor(t *testing.T) {
	g := doorGuest()
	g.initialize = asm.Code(asm.I32(1), asm.MemoryGrow, asm.I32(-1), asm.I32Eq, asm.If, asm.Unreachable, asm.End)
	r := serveGuest(t, g, within)
	const each = eachInstance + pageBytes // what follows the first is paid as a whole
	if r.used() != each {
		t.Fatalf("%d bytes are used; want those of one that has grown", r.used())
	}
	m, held := r.hold("door", 2)
	r.refuses("door")
	if r.used() != 2*each {
		t.Errorf("%d bytes are used; want nothing of the third", r.used())
	}
	for _, i := range held {
		m.pool.put(i, m.pool.runs)
	}
	r.works("door")
}

func TestNoMemoryIsLeft(t *testing.T) {
	r := serveGuest(t, doorGuest(), within)
	m, held := r.hold("door", 3)
	r.refuses("door")
	for _, i := range held {
		m.pool.put(i, m.pool.runs)
	}
	if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeTo {
		t.Errorf("outcome %+v; want it to work again", out)
	}
	// A plugin that comes when all memory is in use is refused, and tells why.
	_, held = r.hold("door", 3)
	r.put("late.wasm", doorNamed("late").bytes())
	r.load()
	r.refused("late", "no memory is left for another instance of late.wasm")
	for _, i := range held {
		m.pool.put(i, m.pool.runs)
	}
}

// TestGrowthEndsWhereAllPluginsEnd grows a memory whose own limit is out of reach, since another instance is in use.
func TestGrowthEndsWhereAllPluginsEnd(t *testing.T) {
	grow := doorNamed("grow")
	grow.invoke = asm.Code(asm.Loop, asm.I32(1), asm.MemoryGrow, asm.I32(-1), asm.I32Ne, asm.BrIf(0), asm.End, asm.Unreachable)
	r := newRig(t, within)
	r.put("door.wasm", doorGuest().bytes())
	r.put("grow.wasm", grow.bytes())
	r.load()
	m, held := r.hold("door", 1)
	out := r.invoke("grow", "closed", `{}`)
	wantPieces(t, out.Reason, "the plugin trapped: unreachable", "; total_memory_bytes: all plugins together: it asked for 1,114,112 bytes of 1,048,576 bytes")
	if r.used() != eachInstance {
		t.Errorf("%d bytes are used; want what the trapped instance took given back", r.used())
	}
	m.pool.put(held[0], m.pool.runs)
}

// TestMemoryIsGivenBack fails, replaces and closes modules in every way there is.
func TestMemoryIsGivenBack(t *testing.T) {
	r := newRig(t)
	for _, g := range []guest{
		{manifest: door, startsWith: asm.Unreachable},
		{manifest: door, initialize: asm.Unreachable},
		{manifest: door, manifestFn: asm.Unreachable},
		{manifest: `{}`},
	} {
		r.put("door.wasm", g.bytes())
		r.load()
		r.refused("door")
		if r.used() != 0 {
			t.Errorf("%d bytes are used after %q; want none", r.used(), r.plugin("door").Error)
		}
	}
	for n := range 3 {
		r.put("door.wasm", generation(n))
		r.load()
		r.serves("door")
	}
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r.used() != 0 || len(r.memory.pools) != 0 {
		t.Errorf("%d bytes are used by %d pools after the end; want none", r.used(), len(r.memory.pools))
	}
}

// TestGrownMemoryIsZero checks what memory.grow brings, in the buffer that the budget's memory makes.
func TestGrownMemoryIsZero(t *testing.T) {
	for name, s := range spaces(t) {
		t.Run(name, func(t *testing.T) { growMemoryIn(t, s) })
	}
}

// spaces are those that a memory may lie in, by name.
func spaces(t *testing.T) map[string]space {
	t.Helper()
	s, err := newSpace(40 * pageBytes)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]space{"of this system": s, "of Go": &heap{}}
}

func growMemoryIn(t *testing.T, s space) {
	t.Helper()
	m := newMemory(newBudget(1<<30, runtime.SystemClock{}), newPool(1, runtime.SystemClock{}), s, pageBytes, 39*pageBytes)
	for pages := uint64(1); pages < 40; pages++ {
		b := m.Reallocate(pages * pageBytes)
		if uint64(len(b)) != pages*pageBytes {
			t.Fatalf("%d bytes; want %d pages", len(b), pages)
		}
		fresh := b[(pages-1)*pageBytes:]
		for at, v := range fresh {
			if v != 0 {
				t.Fatalf("byte %d of page %d is %d; want 0", at, pages, v)
			}
			fresh[at] = 0xff
		}
	}
	if m.Reallocate(40*pageBytes) != nil || m.exceeded() == nil || m.exceeded().Limit != LimitMemory {
		t.Errorf("it grew beyond its limit; want it refused")
	}
	if want := int64(39*pageBytes + instanceCost); m.budget.used != want {
		t.Errorf("%d bytes are paid; want %d", m.budget.used, want)
	}
	m.Free()
	m.Free()
	if m.budget.used != 0 {
		t.Errorf("%d bytes are paid after Free; want none", m.budget.used)
	}
}

// handClock calls what is due when the test says so.
type handClock struct {
	runtime.SystemClock
	mu  sync.Mutex
	due []*handTimer
}

type handTimer struct {
	clock *handClock
	after time.Duration
	f     func()
}

func (c *handClock) AfterFunc(d time.Duration, f func()) runtime.ClockTimer {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := &handTimer{clock: c, after: d, f: f}
	c.due = append(c.due, timer)
	return timer
}

func (h *handTimer) Stop() bool {
	h.clock.mu.Lock()
	defer h.clock.mu.Unlock()
	for n, timer := range h.clock.due {
		if timer == h {
			h.clock.due = append(h.clock.due[:n], h.clock.due[n+1:]...)
			return true
		}
	}
	return false
}

// fire calls the only timer that is set, or returns false when none is.
func (c *handClock) fire(t *testing.T) bool {
	t.Helper()
	c.mu.Lock()
	due := c.due
	c.due = nil
	c.mu.Unlock()
	if len(due) > 1 || len(due) == 1 && due[0].after != shrinkAfter {
		t.Fatalf("%d timers are set; want at most one, of a minute", len(due))
	}
	for _, timer := range due {
		timer.f()
	}
	return len(due) == 1
}

func TestAnIdlePoolShrinks(t *testing.T) {
	clock := &handClock{}
	r := serveGuest(t, doorGuest(), func(o *Options) { o.Clock, o.Limits.Instances = clock, 8 })
	use := func(n int) {
		m, held := r.hold("door", n)
		for _, i := range held {
			m.pool.put(i, m.pool.runs)
		}
	}
	instances := func(want int) {
		t.Helper()
		if got := r.plugin("door").Instances; got != want {
			t.Errorf("%d instances; want %d", got, want)
		}
	}
	use(1)
	if clock.fire(t) {
		t.Error("a timer is set though there is nothing to shrink")
	}
	use(5)
	instances(5)
	use(2)
	clock.fire(t) // the timer was set when two of the five were back: those at the bottom
	instances(3)
	use(2)
	clock.fire(t)
	instances(2)
	clock.fire(t)
	instances(1)
	if clock.fire(t) {
		t.Error("a timer is set on an idle server")
	}
	if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeTo {
		t.Errorf("outcome %+v; want the last instance to work", out)
	}
	use(4)
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if clock.fire(t) {
		t.Error("a timer is set after the end")
	}
}
