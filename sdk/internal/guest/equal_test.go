package guest

import (
	"bytes"
	"testing"
)

// TestEqual compares Equal with bytes.Equal: all lengths around the block size, every place of a difference, every
// alignment.
func TestEqual(t *testing.T) {
	original := make([]byte, 4*blockBytes)
	for i := range original {
		original[i] = byte(i * 7)
	}
	for length := range 3*blockBytes + 2 {
		for shift := range 8 {
			a := original[:length]
			b := append(make([]byte, shift, shift+length), a...)[shift:]
			if !Equal(a, b) {
				t.Fatalf("%d equal bytes at alignment %d are not", length, shift)
			}
			for i := range b {
				b[i] ^= 1
				if Equal(a, b) != bytes.Equal(a, b) {
					t.Fatalf("of %d bytes at alignment %d, number %d differs unseen", length, shift, i)
				}
				b[i] ^= 1
			}
		}
		if Equal(original[:length], original[:length+1]) {
			t.Fatalf("%d bytes equal %d", length, length+1)
		}
	}
}

func BenchmarkEqual(b *testing.B) {
	x, y := make([]byte, 300), make([]byte, 300)
	for b.Loop() {
		Equal(x, y)
	}
}
