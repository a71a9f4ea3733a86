package pebblestore

import (
	"maps"
	"sync"
	"sync/atomic"
)

// maxNames bounds the names that are kept. Definitions hold far fewer; beyond it a name is a string of its own.
const maxNames = 4096

// names turns the bytes of workflow, status and handler names, which repeat in every row, into shared strings. Readers
// take no lock: the map is replaced, not changed.
type names struct {
	known atomic.Pointer[map[string]string]
	mu    sync.Mutex // held to replace the map
}

func (n *names) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if known := n.known.Load(); known != nil {
		if name, ok := (*known)[string(b)]; ok {
			return name
		}
	}
	return n.add(string(b))
}

func (n *names) add(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := make(map[string]string)
	if known := n.known.Load(); known != nil {
		if len(*known) >= maxNames {
			return name
		}
		next = maps.Clone(*known)
	}
	next[name] = name
	n.known.Store(&next)
	return name
}
