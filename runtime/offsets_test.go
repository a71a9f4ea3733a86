package runtime

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestOffsets compares offsets with a plain model: sets of what was taken and done.
func TestOffsets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(0, 1<<40).Draw(t, "at")
		o := newOffsets(at)
		var underWay, all []int64
		next := at // the offset of the next message that the partition holds
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1: // the next message, perhaps after a gap
				next += rapid.Int64Range(0, 3).Draw(t, "gap")
				if !o.take(next) {
					t.Fatalf("offset %d was not taken", next)
				}
				underWay, all = append(underWay, next), append(all, next)
				next++
			case 2: // one that was taken comes again
				if len(all) > 0 && o.take(rapid.SampledFrom(all).Draw(t, "again")) {
					t.Fatal("an offset was taken twice")
				}
			default:
				if len(underWay) > 0 {
					i := rapid.IntRange(0, len(underWay)-1).Draw(t, "done")
					o.done(underWay[i])
					o.done(underWay[i]) // saying it again changes nothing
					underWay = slices.Delete(underWay, i, i+1)
				}
			}
			want := at
			switch {
			case len(underWay) > 0:
				want = slices.Min(underWay)
			case len(all) > 0:
				want = slices.Max(all) + 1
			}
			if o.next != want {
				t.Fatalf("done up to %d, want %d; under way %v", o.next, want, underWay)
			}
			if open := len(all) - slices.IndexFunc(append(all, want), func(v int64) bool { return v >= want }); len(underWay) > 0 && o.open() != open {
				t.Fatalf("%d open, want %d", o.open(), open)
			}
		}
	})
}
