package runtime_test

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wfrt/wfrt/runtime"
)

// The slot of a foreign ID is part of the durable format: these values never change.
func TestSlotGolden(t *testing.T) {
	for _, c := range []struct {
		workflow, foreignID string
		want                runtime.Slot
	}{
		{"orders", "10248", 2041},
		{"orders", "", 65},
		{"", "orders", 1604},
		{"order", "s10248", 316},
		{"orders", "größe", 3435},
	} {
		if got := runtime.SlotOf(c.workflow, c.foreignID); got != c.want {
			t.Errorf("SlotOf(%q, %q) = %d, want %d", c.workflow, c.foreignID, got, c.want)
		}
	}
}

func TestSlotsAreEven(t *testing.T) {
	const runs = 400_000
	var count [runtime.Slots]int
	for i := range runs {
		count[runtime.SlotOf("orders", time.Duration(i).String())]++
	}
	for slot, n := range count {
		if n < 40 || n > 180 { // mean 98, standard deviation 10
			t.Errorf("slot %d has %d of %d foreign IDs", slot, n, runs)
		}
	}
}

func TestRunIDIsUUIDv7(t *testing.T) {
	// RFC 9562, appendix A.6: the timestamp of its example, with our slot in rand_a.
	at := time.UnixMilli(0x017F22E279B0)
	id := runtime.NewRunID(at, 0xCC3, 0x18C4DC0C0C07398F)
	if got, want := id.String(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"; got != want {
		t.Errorf("NewRunID = %s, want %s", got, want)
	}
	if !id.Time().Equal(at) || id.Slot() != 0xCC3 {
		t.Errorf("time %v, slot %x", id.Time(), id.Slot())
	}
}

func TestRunIDAfterKeepsOrderAndSlot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slot := runtime.Slot(rapid.IntRange(0, runtime.Slots-1).Draw(t, "slot"))
		draw := func(label string) runtime.RunID {
			ms := rapid.Int64Range(0, 1<<40).Draw(t, label)
			return runtime.NewRunID(time.UnixMilli(ms), slot, rapid.Uint64().Draw(t, label+" random"))
		}
		prev, id := draw("previous"), draw("new")
		got := id.After(prev, rapid.Uint32().Draw(t, "step"))
		if bytes.Compare(got[:], prev[:]) <= 0 {
			t.Fatalf("%s does not order after %s", got, prev)
		}
		if got.Slot() != slot {
			t.Fatalf("slot %d became %d", slot, got.Slot())
		}
		if _, err := runtime.ParseRunID(got.String()); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseRunID(f *testing.F) {
	f.Add("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
	f.Add("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")
	f.Add("017f22e2-79b0-4cc3-98c4-dc0c0c07398f")
	f.Add("017f22e279b07cc398c4dc0c0c07398f")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := runtime.ParseRunID(text)
		if err != nil {
			return
		}
		if again, err := runtime.ParseRunID(id.String()); err != nil || again != id {
			t.Fatalf("%q → %s → %s, %v", text, id, again, err)
		}
	})
}

func TestShardOfFollowsSlot(t *testing.T) {
	for slot := range runtime.Slot(runtime.Slots) {
		if got := runtime.ShardOf(slot, 16); int(got) != int(slot)%16 {
			t.Fatalf("slot %d is in shard %d", slot, got)
		}
	}
}
