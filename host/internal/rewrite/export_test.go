package rewrite

import "math"

// Bounds returns those of the effort to compile: of one function, and of a module with so many bytes of code.
func Bounds(code int) (one, all int64) {
	g := usual()
	return g.maxEffort, g.maxEffortTotal + effortPerByte*int64(code)
}

// Efforts returns the greatest effort of one function of a module, and that of all.
func Efforts(raw []byte) (most, total int64, err error) {
	m := &module{granularity: usual(), limits: Limits{MemoryPages: maxPages, Depth: 1}, results: make(map[string]uint32), data: -1}
	if err := m.split(raw); err != nil {
		return 0, 0, err
	}
	for _, id := range order() {
		if _, err := m.section(id); err != nil {
			return 0, 0, err
		}
	}
	return m.mostEffort, m.effortTotal, nil
}

// Slack is how much a charge may exceed what is then run.
const Slack = 32

// RewriteExactly is Rewrite with a charge for each instruction where it is run, and no bound of the effort that this makes.
func RewriteExactly(raw []byte, l Limits) (*Module, error) {
	return rewrite(raw, l, granularity{slack: -1, maxEffort: math.MaxInt64, maxEffortTotal: math.MaxInt64 / 2})
}
