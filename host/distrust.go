package host

// distrust looks which of the modules that are in use would not be trusted now: their keys may have been taken away, or they may
// have been signed anew. They go on, as without them runs would have no step; their plugins say so, loudly. REQUIRES: h.change.
func (h *Host) distrust() {
	keys := h.tuned.Load().TrustedKeys
	h.mu.Lock()
	var used []partOf
	for p := range h.modules {
		used = append(used, p)
	}
	h.mu.Unlock()
	found := make(map[partOf]error)
	for _, p := range used {
		raw, err := h.archive.get(p.Digest)
		if err == nil {
			err = h.archive.verify(p.Digest, raw, keys)
		}
		if err != nil && len(keys) > 0 {
			found[p] = err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for p, err := range found {
		if h.distrusted[p] == nil {
			h.options.Logger.Error("a module that is not trusted any more goes on until the next start", "plugin", p.Plugin,
				"digest", digestOf(p.Digest), "error", err)
		}
	}
	h.distrusted = found
}

// isDistrusted reports whether a module in use would not be trusted now.
func (h *Host) isDistrusted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.distrusted) > 0
}
