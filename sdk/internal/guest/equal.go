package guest

import (
	"bytes"
	"unsafe"
)

// block is what Equal compares at a time.
type block [8]uint64

const blockBytes = int(unsafe.Sizeof(block{}))

// Equal reports whether a and b hold the same bytes. For wasm Go compares byte after byte, which for an object of 300 bytes
// takes as long as the rest of an invocation. This compares words, which WebAssembly may load from any address, and eight
// at a time, because a loop costs more than its body here.
func Equal(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	last := len(a) - blockBytes
	if last < 0 {
		return bytes.Equal(a, b)
	}
	for i := 0; i < last; i += blockBytes {
		if !sameBlock(a, b, i) {
			return false
		}
	}
	return sameBlock(a, b, last)
}

// sameBlock compares the blocks that begin at i.
func sameBlock(a, b []byte, i int) bool {
	p := (*block)(unsafe.Pointer(&a[i:][:blockBytes][0])) //nolint:gosec // within a
	q := (*block)(unsafe.Pointer(&b[i:][:blockBytes][0])) //nolint:gosec // within b
	return (p[0]^q[0])|(p[1]^q[1])|(p[2]^q[2])|(p[3]^q[3])|(p[4]^q[4])|(p[5]^q[5])|(p[6]^q[6])|(p[7]^q[7]) == 0
}
