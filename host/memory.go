package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
)

// instanceCost is what an instance takes of the budget besides its memory, so that instances without memory are not free.
const instanceCost = 64 << 10

// budget bounds the memory of the instances of all modules together: Limits.TotalMemoryBytes. When it is exhausted, idle
// instances make room for what is needed now. No plugin takes another's last place by that:
//
//   - the last idle instance of a pool makes room for the first instance of another only, not for its growth nor for more of them;
//   - a pool that has no instance, and was refused one, has a claim until it gets one: meanwhile no other grows into what is free or
//     gets more instances, and while there is not enough each instance is closed after its invocation (wanted).
//
// A memory that has grown stays as large as it is until its invocation ends, which takes Limits.Invocation at most.
type budget struct {
	limit   int64
	claimed atomic.Int64 // the sum of claims; changed under mu

	mu     sync.Mutex // guards the fields below; never held together with a pool's
	used   int64
	pools  map[*pool]bool  // those whose idle instances may be closed
	made   map[*pool]int   // the instances of each; zero is not in it
	claims map[*pool]int64 // by pools that are in pools and not in made
}

func newBudget(limit int64) *budget {
	return &budget{limit: limit, pools: make(map[*pool]bool), made: make(map[*pool]int), claims: make(map[*pool]int64)}
}

// reserve takes n bytes of the budget, if need be by closing idle instances of which each pool keeps some, and reports whether there
// were as many. Who keeps none may also have what is claimed.
func (b *budget) reserve(n int64, keeps int) bool {
	if b.take(n, keeps == 0) {
		return true
	}
	b.mu.Lock()
	pools := slices.Collect(maps.Keys(b.pools))
	b.mu.Unlock()
	for _, p := range pools {
		for p.closeOldest(1, keeps) > 0 {
			if b.take(n, keeps == 0) {
				return true
			}
		}
	}
	return b.take(n, keeps == 0)
}

func (b *budget) take(n int64, claimed bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	free := b.limit - b.used
	if !claimed {
		free -= b.claimed.Load()
	}
	if n > free {
		return false
	}
	b.used += n
	return true
}

// open takes n bytes for another instance of a pool, and reports whether there were as many. One that is refused its first has a
// claim.
func (b *budget) open(p *pool, n int64) bool {
	b.mu.Lock()
	first := b.made[p] == 0
	b.mu.Unlock()
	keeps := 1
	if first {
		keeps = 0
	}
	got := b.reserve(n, keeps)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case got:
		b.made[p]++
		b.claim(p, 0)
	case b.made[p] == 0 && b.pools[p]:
		b.claim(p, n)
	}
	return got
}

// claim sets what a pool claims. REQUIRES: b.mu.
func (b *budget) claim(p *pool, n int64) {
	b.claimed.Add(n - b.claims[p])
	if b.claims[p] = n; n == 0 {
		delete(b.claims, p)
	}
}

// wanted reports whether there is less left than is claimed.
func (b *budget) wanted() bool {
	if b.claimed.Load() == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit-b.used < b.claimed.Load()
}

// close gives back what an instance of a pool had.
func (b *budget) close(p *pool, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.made[p]--; b.made[p] == 0 {
		delete(b.made, p)
	}
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
}

// total returns what is taken of the budget.
func (b *budget) total() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// String returns the limit as people read it.
func (b *budget) String() string { return fmt.Sprintf("%d MiB", b.limit>>20) }

func (b *budget) enter(p *pool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pools[p] = true
}

func (b *budget) leave(p *pool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.pools, p)
	b.claim(p, 0)
}

// memory is the linear memory of one instance, which pays for its growth out of the budget. It belongs to the instance's owner.
type memory struct {
	budget  *budget
	pool    *pool // that of the instance
	space   space
	limit   int64 // of bytes
	paid    int64 // of the budget; zero when it is freed
	wanted  int64 // what was refused once because it is above limit
	refused int64 // what the budget would have come to when it once had no more
}

var _ experimental.LinearMemory = (*memory)(nil)

// space is where the bytes of a memory lie.
type space interface {
	// extend returns the first size bytes, or nil when they cannot be had. What was not in the last answer is zero. It never
	// gets a smaller size than before.
	extend(size int) []byte
	// free lets go of the bytes. It may be called again.
	free()
}

// heap is a space of Go's.
type heap struct{ bytes []byte }

func (h *heap) extend(size int) []byte {
	h.bytes = append(h.bytes, make([]byte, size-len(h.bytes))...)
	return h.bytes
}

func (h *heap) free() { h.bytes = nil }

// newMemory pays for an instance of a pool, whose memory has a number of bytes when it is made, or returns nil when the budget is
// exhausted. The space then remains the caller's.
func newMemory(b *budget, p *pool, s space, initial, limit int64) *memory {
	if !b.open(p, initial+instanceCost) {
		return nil
	}
	return &memory{budget: b, pool: p, space: s, limit: limit, paid: initial + instanceCost}
}

// during returns a context that makes wazero back the next instance with the memory.
func (m *memory) during(ctx context.Context) context.Context {
	return experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(
		func(uint64, uint64) experimental.LinearMemory { return m }))
}

// Reallocate implements experimental.LinearMemory.
func (m *memory) Reallocate(size uint64) []byte {
	if int64(size) > m.limit {
		m.wanted = int64(size)
		return nil
	}
	if more := int64(size) + instanceCost - m.paid; more > 0 {
		if !m.budget.reserve(more, 1) {
			m.refused = m.budget.total() + more
			return nil
		}
		m.paid += more
	}
	return m.space.extend(int(size))
}

// exceeded returns the limit that kept the memory from growing, or nil.
func (m *memory) exceeded() *LimitError {
	switch {
	case m.wanted > 0:
		return &LimitError{Limit: LimitMemory, Used: uint64(m.wanted), Max: uint64(m.limit)}
	case m.refused > 0:
		return &LimitError{
			Limit: LimitTotalMemory, Used: uint64(m.refused), Max: uint64(m.budget.limit), Of: "all plugins together",
		}
	default:
		return nil
	}
}

// Free implements experimental.LinearMemory. It may be called again.
func (m *memory) Free() {
	if m.paid > 0 {
		m.budget.close(m.pool, m.paid)
		m.paid = 0
	}
	m.space.free()
}

// memoryError says that there is no memory for another instance. It is no fault of the plugin's: an invocation that meets it has not
// begun.
type memoryError struct {
	file  string
	limit *LimitError
}

func (e *memoryError) Error() string {
	return fmt.Sprintf("no memory is left for another instance of %s: the instances of all plugins together are at the limit of %d MiB "+
		"(plugins.limits.%s); it is tried again", e.file, e.limit.Max>>20, e.limit.Limit)
}

func (e *memoryError) Unwrap() error { return e.limit }

// blameless makes a *memoryError of the error of an instance that could not be made because of what all instances have together.
func (m *module) blameless(err error) error {
	var limit *LimitError
	if errors.As(err, &limit) && limit.Limit == LimitTotalMemory {
		return &memoryError{file: m.file, limit: limit}
	}
	return err
}
