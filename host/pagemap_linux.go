package host

import (
	"encoding/binary"
	"os"
	goruntime "runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pagemap finds the pages of a private mapping that are the process's own copies, since they were written to. It is
// /proc/self/pagemap: Documentation/admin-guide/mm/pagemap.rst of Linux.
type pagemap struct {
	fd   int  // -1: there is none, and nothing is found
	scan bool // by PAGEMAP_SCAN, which Linux has since 6.7; else by reading an entry for each page
}

func openPagemap() *pagemap {
	fd, err := unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &pagemap{fd: -1}
	}
	return &pagemap{fd: fd, scan: true}
}

func (p *pagemap) close() {
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
		p.fd = -1
	}
}

// region is a range of bytes.
type region struct{ from, to int }

// regions is what a search finds, and what it needs to. It is used again for the next.
type regions struct {
	found  []region // in ascending order, of whole pages
	pages  int      // how many these are
	native [mostCopied]nativeRegion
	buffer [entriesRead * entryBytes]byte
}

func (r *regions) add(from, to, page int) {
	r.pages += (to - from) / page
	if last := len(r.found) - 1; last >= 0 && r.found[last].to == from {
		r.found[last].to = to
		return
	}
	r.found = append(r.found, region{from, to})
}

// find puts the copies in the memory into found, or returns false when it cannot or when they are more than mostCopied pages. The
// memory begins at a page and is as long as some.
func (p *pagemap) find(memory []byte, r *regions) bool {
	r.found, r.pages = r.found[:0], 0
	switch {
	case p.fd < 0:
		return false
	case p.scan:
		return p.findByScan(memory, r)
	default:
		return p.findByReading(memory, r)
	}
}

// nativeRegion is struct page_region of linux/fs.h.
type nativeRegion struct {
	start, end uint64 // addresses
	_          uint64 // categories
}

// scanArguments is struct pm_scan_arg of linux/fs.h.
type scanArguments struct {
	size, flags          uint64
	start, end           uint64
	walkEnd              uint64 // how far it came
	vector, vectorLen    uint64 // of native regions
	maxPages             uint64
	inverted, all, anyOf uint64 // categories of the pages that are wanted
	returned             uint64 // categories
}

const (
	ioctlScan = 0xc0606610 // PAGEMAP_SCAN

	pageIsFile    = 1 << 2
	pageIsPresent = 1 << 3
	pageIsSwapped = 1 << 4
)

// findByScan asks for the pages that are there, or in swap, and are not the file's.
func (p *pagemap) findByScan(memory []byte, r *regions) bool {
	start := address(memory)
	a := scanArguments{
		start: start, end: start + uint64(len(memory)),
		vector: uint64(uintptr(unsafe.Pointer(&r.native))), vectorLen: uint64(len(r.native)), //nolint:gosec // as the kernel wants it
		maxPages: mostCopied + 1,
		inverted: pageIsFile, all: pageIsFile, anyOf: pageIsPresent | pageIsSwapped, returned: pageIsFile,
	}
	a.size = uint64(unsafe.Sizeof(a))
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(p.fd), ioctlScan, uintptr(unsafe.Pointer(&a))) //nolint:gosec // as the kernel wants it
	goruntime.KeepAlive(r)                                                                             // the kernel wrote there
	if errno != 0 {
		return p.findByReading(memory, r)
	}
	if a.walkEnd < a.end {
		return false // there are more
	}
	for _, found := range r.native[:n] {
		r.add(int(found.start-a.start), int(found.end-a.start), os.Getpagesize())
	}
	return r.pages <= mostCopied
}

const (
	entryBytes  = 8
	entriesRead = 512 // at once

	entryIsPresent = 1 << 63
	entryIsSwapped = 1 << 62
	entryIsFile    = 1 << 61
)

// findByReading reads the entry of each page.
func (p *pagemap) findByReading(memory []byte, r *regions) bool {
	page := os.Getpagesize()
	first := int64(address(memory)) / int64(page)
	pages := len(memory) / page
	for n := 0; n < pages; n += entriesRead {
		entries := r.buffer[:min(entriesRead, pages-n)*entryBytes]
		if got, err := unix.Pread(p.fd, entries, (first+int64(n))*entryBytes); err != nil || got != len(entries) {
			return false
		}
		for at := 0; at < len(entries); at += entryBytes {
			e := binary.NativeEndian.Uint64(entries[at:])
			if e&(entryIsPresent|entryIsSwapped) != 0 && e&entryIsFile == 0 {
				from := (n + at/entryBytes) * page
				r.add(from, from+page, page)
			}
		}
		if r.pages > mostCopied {
			return false
		}
	}
	return true
}

func address(memory []byte) uint64 {
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(memory)))) //nolint:gosec // the kernel wants numbers
}
