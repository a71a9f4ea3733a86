package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero/experimental"
)

// instanceCost is what an instance takes of the budget besides its memory, so that instances without memory are not free.
const instanceCost = 64 << 10

// budget bounds the memory of the instances of all modules together: Limits.TotalMemoryBytes. When it is exhausted, idle
// instances make room for what is needed now.
type budget struct {
	limit int64

	mu    sync.Mutex // guards the fields below; never held together with a pool's
	used  int64
	pools map[*pool]bool // those whose idle instances may be closed
}

func newBudget(limit int64) *budget { return &budget{limit: limit, pools: make(map[*pool]bool)} }

// reserve takes n bytes of the budget, if need be by closing idle instances, and reports whether there were as many.
func (b *budget) reserve(n int64) bool {
	if b.take(n) {
		return true
	}
	b.mu.Lock()
	pools := slices.Collect(maps.Keys(b.pools))
	b.mu.Unlock()
	for _, p := range pools {
		for p.closeOldest(1) > 0 {
			if b.take(n) {
				return true
			}
		}
	}
	return b.take(n)
}

func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.limit-b.used {
		return false
	}
	b.used += n
	return true
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
}

// memory is the linear memory of one instance, which pays for its growth out of the budget. It belongs to the instance's owner.
type memory struct {
	budget  *budget
	space   space
	limit   int64 // of bytes
	paid    int64 // of the budget
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

// newMemory pays for an instance whose memory begins with a number of bytes, or returns nil when the budget is exhausted. The space
// then remains the caller's.
func newMemory(b *budget, s space, initial, limit int64) *memory {
	if !b.reserve(initial + instanceCost) {
		return nil
	}
	return &memory{budget: b, space: s, limit: limit, paid: initial + instanceCost}
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
		if !m.budget.reserve(more) {
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
	m.budget.give(m.paid)
	m.paid = 0
	m.space.free()
}
