package rewrite

import (
	"math"
	"unicode/utf8"
)

// reader reads the elements of the binary format. After the first that is malformed every read returns zero, and err says so.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail(errMalformed)
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

// bytes returns the next n bytes. They are not copied.
func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.rest)) {
		r.fail(errMalformed)
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// u32 reads an unsigned number of LEB128.
func (r *reader) u32() uint32 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		b := r.rest[0]
		r.rest = r.rest[1:]
		return uint32(b)
	}
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if v > math.MaxUint32 {
				break
			}
			return uint32(v)
		}
	}
	r.fail(errMalformed)
	return 0
}

// signed reads a signed number of LEB128 that has a number of bits.
func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; shift < bits; shift += 7 {
		b := r.byte()
		v |= int64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		if shift+7 < 64 {
			unused := 64 - 7 - shift
			v = v << unused >> unused
		} else if top := int8(b<<1) >> 1; top != 0 && top != -1 { // of the tenth byte one bit counts, and the others are like it
			break
		}
		if bits < 64 && v != v<<(64-bits)>>(64-bits) {
			break
		}
		return v
	}
	r.fail(errMalformed)
	return 0
}

// count reads how many entries follow. Each takes at least one byte, so that a few bytes cannot claim many.
func (r *reader) count() int {
	n := r.u32()
	if uint64(n) > uint64(len(r.rest)) {
		r.fail(clausef("claims %d entries and has %d bytes", n, len(r.rest)))
		return 0
	}
	return int(n)
}

// index reads a number that must be less than limit.
func (r *reader) index(limit int, of string) uint32 {
	v := r.u32()
	if r.err == nil && uint64(v) >= uint64(limit) {
		r.fail(noSuch(of, int64(v), limit))
		return 0
	}
	return v
}

// noSuch says that something names what the module does not have.
func noSuch(of string, index int64, count int) clause {
	return clausef("names the %s %d, and there are %d", of, index, count)
}

func (r *reader) name() string {
	name := r.bytes(r.u32())
	if !utf8.Valid(name) {
		r.fail(clause("has a name that is not UTF-8"))
		return ""
	}
	return string(name)
}

// end wants everything to have been read.
func (r *reader) end() error {
	if len(r.rest) > 0 {
		r.fail(errMalformed)
	}
	return r.err
}
