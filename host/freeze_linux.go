package host

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// freeze returns an image of the content. Its spaces are mapped copy-on-write.
func freeze(content []byte) (image, error) { return mapImage(content) }

// mapped is an image in memory of its own, which has no name anywhere and is as long as it lives.
type mapped struct {
	fd     int
	length int
}

func mapImage(content []byte) (image, error) {
	fd, err := unix.MemfdCreate("wfrt-snapshot", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	m := &mapped{fd: fd, length: len(content)}
	if err := m.fill(content); err != nil {
		m.free()
		return nil, err
	}
	return m, nil
}

// fill writes the content, and leaves out pages that are zero.
func (m *mapped) fill(content []byte) error {
	if err := unix.Ftruncate(m.fd, int64(m.length)); err != nil {
		return fmt.Errorf("ftruncate: %w", err)
	}
	for at := 0; at < m.length; at += osPage {
		page := content[at:min(at+osPage, m.length)]
		if isZero(page) {
			continue
		}
		if n, err := unix.Pwrite(m.fd, page, int64(at)); err != nil || n != len(page) {
			return fmt.Errorf("pwrite of %d bytes: %d were written: %w", len(page), n, err)
		}
	}
	return nil
}

const osPage = 4096

func isZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

func (m *mapped) size() int { return m.length }
func (m *mapped) free()     { _ = unix.Close(m.fd) }

// space reserves addresses for the limit, of which none can be used until extend.
func (m *mapped) space(limit int64) (restorable, error) {
	limit = max(limit, int64(m.length), osPage)
	all, err := unix.Mmap(-1, 0, int(limit), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("mmap of %d bytes: %w", limit, err)
	}
	return &mappedSpace{image: m, all: all}, nil
}

// mappedSpace is a memory whose beginning is mapped copy-on-write from the image, and whose rest is anonymous.
type mappedSpace struct {
	image  *mapped
	all    []byte // the addresses; nil when freed
	usable int    // of them
	laid   bool   // the image is mapped
}

func (s *mappedSpace) extend(size int) []byte {
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

func (s *mappedSpace) restore() error {
	if s.image.length == 0 {
		return nil
	}
	if s.laid {
		// The pages that were written to are dropped, and come from the image again.
		if err := unix.Madvise(s.all[:s.image.length], unix.MADV_DONTNEED); err != nil {
			return fmt.Errorf("madvise: %w", err)
		}
		return nil
	}
	_, err := unix.MmapPtr(s.image.fd, 0, unsafe.Pointer(&s.all[0]), uintptr(s.image.length), //nolint:gosec // ours
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("mmap of the image: %w", err)
	}
	s.laid = true
	return nil
}

func (s *mappedSpace) free() {
	if s.all != nil {
		_ = unix.Munmap(s.all)
		s.all = nil
	}
}
