package host

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/wfrt/wfrt/host/signature"
	"github.com/wfrt/wfrt/runtime"
)

// source is the content of a module file as it lay on disk at one moment.
type source struct {
	file   string // the file's name without its directory
	raw    []byte
	digest runtime.Digest

	signature []byte // of raw; nil: there is none, or nobody asks
}

// stamp tells one state of a file, and of the signature beside it, from another without reading it: by its size, its time, and
// which file it is, so that a file renamed into place is noticed even within one tick of the clock. The zero stamp is no state.
type stamp struct {
	info      os.FileInfo
	signature os.FileInfo // nil: there is none, or none is wanted
}

func (s stamp) same(other stamp) bool {
	return s.info != nil && other.info != nil && sameState(s.info, other.info) &&
		(s.signature == nil) == (other.signature == nil) && (s.signature == nil || sameState(s.signature, other.signature))
}

// changedSince reports whether any of it may have changed at or after a moment.
func (s stamp) changedSince(t time.Time) bool {
	return !s.info.ModTime().Before(t) || s.signature != nil && !s.signature.ModTime().Before(t)
}

func sameState(a, b os.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

// errUnfinished says that a file changed while it was read, or ends before its content does.
var errUnfinished = errors.New("the file is not complete: write it under another name and rename it, or wait for the copy " +
	"to end")

// readSource reads a module file as a whole. A file that changes meanwhile, or whose last section is cut off, is not a
// source.
func readSource(path, file string, limit int64) (*source, error) {
	f, before, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if before.Size() > limit {
		return nil, fmt.Errorf("it has %d bytes; the limit is %d: build it smaller, or raise plugins.limits", before.Size(), limit)
	}
	raw := make([]byte, before.Size())
	if _, err := io.ReadFull(f, raw); err != nil {
		return nil, fmt.Errorf("read: %w", errors.Join(err, errUnfinished))
	}
	// The path is looked up again: a file renamed over the one that is open is seen here, and one that still grows too.
	after, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("stat: %w", err)
	}
	if !sameState(before, after) {
		return nil, errUnfinished
	}
	if err := checkSections(raw); err != nil {
		return nil, err
	}
	return &source{file: file, raw: raw, digest: sha256.Sum256(raw)}, nil
}

// readSignature reads the signature beside a module file; nil when there is none.
func readSignature(path string) ([]byte, error) {
	f, info, err := openRegular(path + signature.Extension)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("its signature: %w", err)
	}
	defer func() { _ = f.Close() }()
	if info.Size() > signature.MaxBytes {
		return nil, fmt.Errorf("%w: it has %d bytes", signature.ErrMalformed, info.Size())
	}
	raw, err := io.ReadAll(io.LimitReader(f, signature.MaxBytes+1)) // it may grow meanwhile
	if err != nil {
		return nil, fmt.Errorf("its signature: read: %w", err)
	}
	return raw, nil
}

// verify returns why the source is not to be trusted, or nil. path is where it was read from.
func (s *source) verify(path string, keys []signature.Key) error {
	if len(keys) == 0 {
		return nil
	}
	sig, err := readSignature(path)
	if err == nil {
		s.signature, err = sig, signature.Verify(s.raw, sig, keys)
	}
	if err != nil {
		return fmt.Errorf("%w; sign it with a trusted key, minisign -Sm %s, and put %[2]s%s beside it", err, s.file, signature.Extension)
	}
	return nil
}

// openRegular opens a file and tells its state. What is no regular file, such as a pipe nobody writes to, is refused at once.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the operator names the directory
	if err != nil {
		return nil, nil, fmt.Errorf("open: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// checkSections walks the outer structure of a binary module (WebAssembly 2.0, section 5.5.2): the preamble, then sections,
// each with a number and a length. It finds what is no module, and most files that are cut off, before the compiler has to.
func checkSections(raw []byte) error {
	preamble := []byte("\x00asm\x01\x00\x00\x00")
	if !bytes.HasPrefix(raw, preamble) {
		switch {
		case len(raw) == 0:
			return fmt.Errorf("it is empty: %w", errUnfinished)
		case bytes.HasPrefix(preamble, raw):
			return errUnfinished
		case bytes.HasPrefix(raw, []byte("\x00asm\x0d\x00\x01\x00")):
			return errors.New("it is a WebAssembly component; build a core module")
		case bytes.HasPrefix(raw, preamble[:4]):
			return fmt.Errorf("it is of WebAssembly version % x; build a core module of version 1", raw[4:min(8, len(raw))])
		default:
			return errors.New("it is not a WebAssembly module: it does not begin with \\0asm")
		}
	}
	for at := len(preamble); at < len(raw); {
		id := raw[at]
		size, n := uleb32(raw[at+1:])
		if n == 0 {
			return fmt.Errorf("the length of its section %d at byte %d is cut off: %w", id, at, errUnfinished)
		}
		if n < 0 {
			return fmt.Errorf("the length of its section %d at byte %d is no 32-bit number", id, at)
		}
		at += 1 + n
		if uint64(size) > uint64(len(raw)-at) {
			return fmt.Errorf("its section %d has %d of %d bytes: %w", id, len(raw)-at, size, errUnfinished)
		}
		at += int(size)
	}
	return nil
}

// uleb32 decodes an unsigned LEB128 number of at most 32 bits and returns how many bytes it took: 0 when b ends within it,
// −1 when it is too long.
func uleb32(b []byte) (value uint32, n int) {
	for i := range min(len(b), 5) {
		if i == 4 && b[i] > 0x0f {
			return 0, -1
		}
		value |= uint32(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return value, i + 1
		}
	}
	if len(b) >= 5 {
		return 0, -1
	}
	return 0, 0
}
