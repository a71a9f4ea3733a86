package host

import (
	goruntime "runtime"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/host/internal/rewrite"
)

// What host functions cost, in fuel: about the time that they take, at an instruction of the guest for each.
const fuelOfCall = 100 // and one for each rewrite.BytesPerFuel that go between guest and host

// A guest's code has no point at which the Go scheduler or the garbage collector could stop it. So fuel comes in slices: at the
// end of one the guest calls yield. A slice is as much as the guest computed in sliceTime before, because an instruction may take
// a third of a nanosecond or, when memory is far, a hundred.
const (
	sliceTime  = 250 * time.Microsecond // at a yield of some 100 ns
	mostSlice  = 2_000_000
	leastSlice = 200_000 // a tenth of a millisecond, and 4 where every load waits for memory; also the first

	// turnAfter is how long a call computes before it takes turns with others like it.
	turnAfter = time.Millisecond
)

// fuel is what one call of a guest has and uses. The guest counts what it has in a global, from the slice downwards; below zero
// it yields.
type fuel struct {
	gauge   api.MutableGlobal // nil until the module's functions run for the first time
	budget  uint64            // of the call
	granted uint64            // to the guest, in slices; what is left in the gauge is not used
	charged uint64            // for host functions
	slice   uint64            // the length of one
	before  uint64            // what of granted was used before this slice
	since   time.Time         // when it began, zero for unknown; not of Options.Clock: it paces the processor, and no guest sees it
	ran     time.Duration     // in slices that have ended
	turn    bool              // the call holds one of host.turns
}

// begin gives a call its budget.
func (f *fuel) begin(budget uint64) {
	f.budget, f.granted, f.charged, f.ran = budget, 0, 0, 0
	f.slice = leastSlice // most calls end within it
	f.since = time.Time{}
	if f.gauge != nil {
		f.grant()
	}
}

// grant gives the guest another slice. The gauge is empty, and the budget is not used up.
func (f *fuel) grant() {
	f.before, f.since = f.granted, time.Now()
	n := min(f.slice, f.budget-f.granted-f.charged)
	f.granted += n
	f.gauge.Set(n)
}

// settle takes what the gauge shows as used, and leaves it empty.
func (f *fuel) settle() {
	if f.gauge != nil {
		f.granted -= f.gauge.Get() // it may be negative: the last charge went below zero
		f.gauge.Set(0)
	}
}

// used returns what the call has used so far.
func (f *fuel) used() uint64 {
	if f.gauge == nil {
		return f.charged
	}
	return f.granted - f.gauge.Get() + f.charged
}

// yield is yield(reason): the guest has no fuel in its gauge, or its calls are too deep.
func yield(i *instance, guest api.Module, stack []uint64) {
	if uint32(stack[0]) == rewrite.YieldDepth {
		exceed(&LimitError{Limit: LimitDepth, Used: uint64(i.call.limits.CallDepth) + 1, Max: uint64(i.call.limits.CallDepth)})
	}
	f := &i.fuel
	if f.gauge == nil {
		f.find(guest)
	}
	f.settle()
	f.pace()
	i.checkFuel()
	if f.ran >= turnAfter {
		i.takeTurn()
		goruntime.Gosched()
		i.checkpoint()
	}
	f.grant()
}

// find has the gauge of a module that runs for the first time.
func (f *fuel) find(guest api.Module) {
	f.gauge, _ = guest.ExportedGlobal(rewrite.FuelGlobal).(api.MutableGlobal)
}

// pace fits the length of the next slice to the time that this one took.
func (f *fuel) pace() {
	if f.since.IsZero() {
		return
	}
	took := max(time.Since(f.since), time.Microsecond)
	f.ran += took
	fitting := float64(f.granted-f.before) * float64(sliceTime) / float64(took)
	f.slice = max(leastSlice, min(mostSlice, 2*f.slice, uint64(fitting)))
}

// checkFuel ends the call when it has used its budget.
func (i *instance) checkFuel() {
	if used := i.fuel.used(); used >= i.fuel.budget {
		i.exceed(&LimitError{Limit: LimitFuel, Used: used, Max: i.fuel.budget})
	}
}

// chargeCall counts the call of a host function.
func (i *instance) chargeCall() {
	if i.call.hostCalls++; i.call.hostCalls > i.call.limits.HostCalls {
		i.exceed(&LimitError{Limit: LimitHostCalls, Used: uint64(i.call.hostCalls), Max: uint64(i.call.limits.HostCalls)})
	}
	i.charge(fuelOfCall)
}

// chargeBytes counts bytes that go between the guest and a host function. It comes before what it counts is done.
func (i *instance) chargeBytes(n int) {
	if i.call.hostBytes += int64(n); i.call.hostBytes > i.call.limits.HostBytes {
		i.exceed(&LimitError{Limit: LimitHostBytes, Used: uint64(i.call.hostBytes), Max: uint64(i.call.limits.HostBytes)})
	}
	i.charge(uint64(n) / rewrite.BytesPerFuel)
}

// charge takes fuel for a host function. The gauge is only looked at when the budget may be used up.
func (i *instance) charge(n uint64) {
	f := &i.fuel
	if f.charged += n; f.granted+f.charged > f.budget {
		i.checkFuel()
	}
}
