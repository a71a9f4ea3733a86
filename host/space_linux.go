package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// newSpace reserves addresses for the memory of an instance. Nothing of it is Go's: it costs the collector nothing, and what the
// guest never touches is never there.
func newSpace(limit int64) (space, error) { return reserve(limit) }

// reserved is a space of addresses that belong to it, of which none can be used until extend.
type reserved struct {
	all    []byte // nil when freed
	usable int    // of all
}

func reserve(limit int64) (*reserved, error) {
	all, err := unix.Mmap(-1, 0, int(limit), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("mmap of %d bytes: %w", limit, err)
	}
	return &reserved{all: all}, nil
}

func (s *reserved) extend(size int) []byte {
	if size > len(s.all) {
		return nil
	}
	if size > s.usable {
		if unix.Mprotect(s.all[s.usable:size], unix.PROT_READ|unix.PROT_WRITE) != nil {
			return nil
		}
		s.usable = size
	}
	return s.all[:size]
}

// free unmaps the addresses. A guest that still used them would end the process: see instance.close.
func (s *reserved) free() {
	if s.all != nil {
		_ = unix.Munmap(s.all)
		s.all = nil
	}
}
