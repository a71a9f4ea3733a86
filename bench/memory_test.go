package bench

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// memoryMB returns a figure of the process's memory in MB (10^6 bytes), by its name in /proc/self/status: RssAnon is its anonymous
// memory, VmHWM the most that was resident since resetPeak.
func memoryMB(b *testing.B, name string) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, found := strings.Cut(string(status), name+":")
	if !found {
		b.Fatalf("/proc/self/status has no %s", name)
	}
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib * 1024 / 1e6
}

// resetPeak has VmHWM begin again.
func resetPeak(b *testing.B) {
	b.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
}
