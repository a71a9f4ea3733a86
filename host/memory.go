package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/wfrt/wfrt/runtime"
)

// instanceCost is what an instance takes of the budget besides its memory, so that instances without memory are not free.
const instanceCost = 64 << 10

// claimFor is how long a claim lasts after the last refusal. A run that is refused comes again after a second.
const claimFor = 5 * time.Second

// budget bounds the memory of the instances of all modules together: Limits.TotalMemoryBytes. When it is exhausted, idle
// instances make room for what is needed now, if closing them suffices. No plugin takes another's last place for good:
//
//   - the last idle instance of a pool makes room for the first instance of another only, not for its growth nor for more of them;
//   - a pool that has no instance, and was refused one, has a claim until it gets one, leaves, or no longer asks (claimFor).
//     Claims are served in their order, and before all others: what is claimed, nobody grows into nor makes instances of, and
//     while there is not enough each instance is closed after its invocation (wanted).
//
// A module that is being loaded, or is retired, has no runs that could come again, and goes before the claims. A memory that has
// grown stays as large as it is until its invocation ends, which takes Limits.Invocation at most: what a claim waits for comes.
type budget struct {
	limit   int64
	clock   runtime.Clock
	claimed atomic.Bool // there are claims; changed under mu

	mu     sync.Mutex // guards the fields below; never held together with a pool's
	used   int64
	kept   int64          // of used: what lasts as long as modules do
	pools  map[*pool]bool // those of modules in use, whose idle instances may be closed
	made   map[*pool]int  // the instances of each, with those that are being made; zero is not in it
	claims []claim        // in their order, of pools that are in pools and have no instance
}

// claim is a pool's to what its first instance needs.
type claim struct {
	pool  *pool
	bytes int64
	until time.Time
}

func newBudget(limit int64, clock runtime.Clock) *budget {
	return &budget{limit: limit, clock: clock, pools: make(map[*pool]bool), made: make(map[*pool]int)}
}

// reserve takes n bytes of the budget for a pool, if need be by closing idle instances of which each pool keeps some, and reports
// whether there were as many. It closes nothing in vain, and no pool's last while there are others.
func (b *budget) reserve(p *pool, n int64, keeps int) bool {
	if b.take(p, n) {
		return true
	}
	b.mu.Lock()
	pools := slices.Collect(maps.Keys(b.pools))
	b.mu.Unlock()
	for kept := 1; kept >= keeps; kept-- {
		if !b.suffices(p, n, pools, kept) {
			continue
		}
		for _, other := range pools {
			for other.closeOldest(1, kept) > 0 {
				if b.take(p, n) {
					return true
				}
			}
		}
	}
	return b.take(p, n)
}

// suffices reports whether a pool gets n bytes when pools close their idle instances but some.
func (b *budget) suffices(p *pool, n int64, pools []*pool, keeps int) bool {
	b.mu.Lock()
	free := b.free(p)
	b.mu.Unlock()
	for _, other := range pools {
		free += other.idleBytes(keeps)
	}
	return n <= free
}

func (b *budget) take(p *pool, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.free(p) {
		return false
	}
	b.used += n
	return true
}

// free returns how much of the budget a pool may take: what is left but for the claims before its own. Less than zero are missing.
// REQUIRES: b.mu.
func (b *budget) free(p *pool) int64 {
	free := b.limit - b.used
	if !b.pools[p] || len(b.claims) == 0 {
		return free
	}
	now := b.clock.Now()
	b.forgo(func(c claim) bool { return !now.Before(c.until) })
	for _, c := range b.claims {
		if c.pool == p {
			break
		}
		free -= c.bytes
	}
	return free
}

// open takes n bytes for another instance of a pool, and reports whether there were as many. One that is refused its first has a
// claim, unless it waits for what modules keep.
func (b *budget) open(p *pool, n int64) bool {
	b.mu.Lock()
	keeps := min(b.made[p], 1)
	b.made[p]++ // also while it is made: of several at a time one is the first
	b.mu.Unlock()
	got := b.reserve(p, n, keeps)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !got {
		b.unmake(p)
	}
	switch {
	case !got && b.made[p] > 0: // a claim that another has stays
	case !got && b.pools[p] && n <= b.limit-b.kept:
		b.claim(p, n)
	default:
		b.forgo(func(c claim) bool { return c.pool == p })
	}
	return got
}

// unmake counts an instance out. REQUIRES: b.mu.
func (b *budget) unmake(p *pool) {
	if b.made[p]--; b.made[p] == 0 {
		delete(b.made, p)
	}
}

// claim makes or renews a pool's claim, whose place in the order stays. REQUIRES: b.mu.
func (b *budget) claim(p *pool, n int64) {
	c := claim{pool: p, bytes: n, until: b.clock.Now().Add(claimFor)}
	if at := slices.IndexFunc(b.claims, func(c claim) bool { return c.pool == p }); at >= 0 {
		b.claims[at] = c
		return
	}
	b.claims = append(b.claims, c)
	b.claimed.Store(true)
}

// forgo ends claims. REQUIRES: b.mu.
func (b *budget) forgo(which func(claim) bool) {
	b.claims = slices.DeleteFunc(b.claims, which)
	b.claimed.Store(len(b.claims) > 0)
}

// wanted reports whether there is less left than is claimed, so that a pool has to close an instance that it has used.
func (b *budget) wanted(p *pool) bool {
	if !b.claimed.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free(p) < 0
}

// keep takes n bytes for a module of a pool, as reserve does for a first instance, until drop.
func (b *budget) keep(p *pool, n int64) bool {
	if !b.reserve(p, n, 0) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept += n
	return true
}

// drop gives back what keep took.
func (b *budget) drop(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.kept -= n
}

// close gives back what an instance of a pool had.
func (b *budget) close(p *pool, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.unmake(p)
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
}

// taken returns what is taken of the budget, or claimed before a pool.
func (b *budget) taken(p *pool) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit - b.free(p)
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
	b.forgo(func(c claim) bool { return c.pool == p })
}

// memory is the linear memory of one instance, which pays for its growth out of the budget. It belongs to the instance's owner.
type memory struct {
	budget  *budget
	pool    *pool // that of the instance
	space   space
	limit   int64 // of bytes
	most    int64 // of bytes during the call at hand; limit at most
	paid    int64 // of the budget; zero when it is freed
	wanted  int64 // what was refused once because it is above most
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
	return &memory{budget: b, pool: p, space: s, limit: limit, most: limit, paid: initial + instanceCost}
}

// during returns a context that makes wazero back the next instance with the memory.
func (m *memory) during(ctx context.Context) context.Context {
	return experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(
		func(uint64, uint64) experimental.LinearMemory { return m }))
}

// begin begins a call that may have the memory grow to so many bytes.
func (m *memory) begin(most int64) { m.most, m.wanted, m.refused = most, 0, 0 }

// Reallocate implements experimental.LinearMemory.
func (m *memory) Reallocate(size uint64) []byte {
	if int64(size) > m.most {
		m.wanted = int64(size)
		return nil
	}
	if more := int64(size) + instanceCost - m.paid; more > 0 {
		if !m.budget.reserve(m.pool, more, 1) {
			m.refused = m.budget.taken(m.pool) + more
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
		return &LimitError{Limit: LimitMemory, Used: uint64(m.wanted), Max: uint64(m.most)}
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
