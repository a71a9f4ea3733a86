package host

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// freeze returns an image of the content. Its spaces are mapped copy-on-write.
func freeze(content []byte) (image, error) { return mapImage(content, openPagemap()) }

// mapped is an image in memory of its own, which has no name anywhere and is as long as it lives.
type mapped struct {
	fd      int
	content []byte   // the same memory, to read; empty when freed
	copies  *pagemap // finds what spaces have written to
}

func mapImage(content []byte, copies *pagemap) (image, error) {
	m := &mapped{fd: -1, copies: copies}
	if err := m.fill(content); err != nil {
		m.free()
		return nil, err
	}
	return m, nil
}

// fill writes the content, and leaves out pages that are zero.
func (m *mapped) fill(content []byte) (err error) {
	if m.fd, err = unix.MemfdCreate("wfrt-snapshot", unix.MFD_CLOEXEC); err != nil {
		m.fd = -1
		return fmt.Errorf("memfd_create: %w", err)
	}
	if err := unix.Ftruncate(m.fd, int64(len(content))); err != nil {
		return fmt.Errorf("ftruncate: %w", err)
	}
	for at := 0; at < len(content); at += zeroPage {
		page := content[at:min(at+zeroPage, len(content))]
		if isZero(page) {
			continue
		}
		if n, err := unix.Pwrite(m.fd, page, int64(at)); err != nil || n != len(page) {
			return fmt.Errorf("pwrite of %d bytes: %d were written: %w", len(page), n, err)
		}
	}
	if len(content) == 0 {
		return nil
	}
	if m.content, err = unix.Mmap(m.fd, 0, len(content), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("mmap of the image to read: %w", err)
	}
	return nil
}

const zeroPage = 4096

func isZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

func (m *mapped) size() int { return len(m.content) }

func (m *mapped) free() {
	if m.content != nil {
		_ = unix.Munmap(m.content)
		m.content = nil
	}
	if m.fd >= 0 {
		_ = unix.Close(m.fd)
		m.fd = -1
	}
	m.copies.close()
}

func (m *mapped) space(limit int64) (restorable, error) {
	all, err := reserve(max(limit, int64(len(m.content)), zeroPage))
	if err != nil {
		return nil, err
	}
	return &mappedSpace{reserved: *all, image: m}, nil
}

// mappedSpace is a memory whose beginning is mapped copy-on-write from the image, and whose rest is anonymous.
type mappedSpace struct {
	reserved
	image  *mapped
	laid   bool    // the image is mapped
	copied regions // what restore finds
}

// mostCopied is how many pages a space keeps of its own. To copy one takes a tenth of a microsecond, and to have one dropped some ten
// times as much when it is written to again; but what is kept is copied after every call, whether this one wrote to it or not.
const mostCopied = 256

// restore writes the image over the pages that were written to. They stay with the space, so that the next call writes to them without
// a page fault. When they are too many, or cannot be found, all are dropped, and come from the image again.
func (s *mappedSpace) restore() error {
	if s.image.size() == 0 {
		return nil
	}
	if !s.laid {
		return s.lay()
	}
	if mine := s.all[:s.image.size()]; !s.image.copies.find(mine, &s.copied) {
		if err := unix.Madvise(mine, unix.MADV_DONTNEED); err != nil {
			return fmt.Errorf("madvise: %w", err)
		}
		return nil
	}
	for _, r := range s.copied.found {
		copy(s.all[r.from:r.to], s.image.content[r.from:r.to])
	}
	return nil
}

// lay maps the image.
func (s *mappedSpace) lay() error {
	_, err := unix.MmapPtr(s.image.fd, 0, unsafe.Pointer(&s.all[0]), uintptr(s.image.size()), //nolint:gosec // ours
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("mmap of the image: %w", err)
	}
	s.laid = true
	return nil
}
