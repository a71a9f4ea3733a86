package rewrite

import "encoding/binary"

func appendU32[T int | uint32](b []byte, v T) []byte {
	if uint64(v) < 0x80 {
		return append(b, byte(v))
	}
	return binary.AppendUvarint(b, uint64(v))
}

func appendSigned(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func appendName(b []byte, name string) []byte {
	return append(appendU32(b, len(name)), name...)
}

func appendSection(b []byte, id sectionID, content []byte) []byte {
	return append(appendU32(append(b, byte(id)), len(content)), content...)
}
