package host

import (
	"reflect"

	"github.com/tetratelabs/wazero/api"
)

const (
	// freeStack is what the engine's stack of an instance may take without being counted; instanceCost is for it, too.
	freeStack = 64 << 10
	// keptStack is the largest stack of an instance that is used again. The engine never makes one smaller.
	keptStack = 1 << 20
)

// stack is what the engine keeps the calls of an instance in, outside the guest's memory. It grows, by doubling, up to some 100 MB, and
// the engine neither bounds it otherwise nor says how large it is.
type stack struct {
	bytes reflect.Value // the engine's slice; invalid: it has none, or another engine has it elsewhere
	each  int64         // bytes of an element
	paid  int64         // of the budget
}

// of looks at the stack that a function is called on. Each api.Function has one of its own.
func (s *stack) of(f api.Function) {
	s.bytes = reflect.Value{}
	if v := reflect.ValueOf(f); v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		if b := v.Elem().FieldByName("stack"); b.IsValid() && b.Kind() == reflect.Slice {
			s.bytes, s.each = b, int64(b.Type().Elem().Size())
		}
	}
}

// size returns how many bytes it has. Only the goroutine that calls the function may ask.
func (s *stack) size() int64 {
	if !s.bytes.IsValid() {
		return 0
	}
	return int64(s.bytes.Len()) * s.each
}

// checkStack ends the call when the stack, with the memory, takes more than the instance or all instances may.
func (i *instance) checkStack(guest api.Module) {
	size := i.stack.size()
	if size <= freeStack {
		return
	}
	if sum := size + int64(guest.Memory().Size()); sum > i.memory.limit {
		exceed(&LimitError{Limit: LimitMemory, Used: uint64(sum), Max: uint64(i.memory.limit), Of: "with the stack of its calls"})
	}
	if !i.payStack(size) {
		exceed(&LimitError{
			Limit: LimitTotalMemory, Used: uint64(i.memory.budget.taken(i.module.pool) + size - i.stack.paid), Max: uint64(i.memory.budget.limit),
			Of: "all plugins together, with the stacks of their calls",
		})
	}
}

// payStack takes what a stack of this size costs of the budget, unless it is paid, and reports whether there was as much.
func (i *instance) payStack(size int64) bool {
	more := size - freeStack - i.stack.paid
	if more <= 0 {
		return true
	}
	if !i.memory.budget.reserve(i.module.pool, more, 1) {
		return false
	}
	i.stack.paid += more
	return true
}

// keepsStack reports whether the stack is small enough for the instance to be used again.
func (i *instance) keepsStack() bool {
	size := i.stack.size()
	return size <= keptStack && i.payStack(size)
}
