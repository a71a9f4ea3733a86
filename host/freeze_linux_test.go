package host

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/wfrt/wfrt/runtime"
)

// ways are those in which a mapped image finds what was written to, by name.
func ways() map[string]func() *pagemap {
	return map[string]func() *pagemap{
		"scanned": openPagemap,
		"read":    func() *pagemap { return &pagemap{fd: openPagemap().fd} },
		"dropped": func() *pagemap { return &pagemap{fd: -1} },
	}
}

func TestAFreshGuestRemembersNothingHoweverItIsRestored(t *testing.T) {
	for way, open := range ways() {
		for name, g := range rememberers() {
			t.Run(name+", "+way, func(t *testing.T) {
				r := serveFrozen(t, g, func(content []byte) (image, error) { return mapImage(content, open()) })
				for n := range 5 {
					if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeSkip {
						t.Errorf("invocation %d: outcome %+v; want no trace of another", n, out)
					}
				}
			})
		}
	}
}

// TestRestoreBringsBackEveryByte writes to few pages, to many and to all, to some of them once only, and compares all memory after each.
func TestRestoreBringsBackEveryByte(t *testing.T) {
	page := os.Getpagesize()
	const pages = 1200 // more than one read of entries, and than are kept
	content := make([]byte, pages*page)
	for at := range content {
		if at/page%3 != 1 { // every third is zero, and not in the image
			content[at] = byte(at ^ at>>8)
		}
	}
	for way, open := range ways() {
		t.Run(way, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2)) // the same each time
			frozen, err := mapImage(content, open())
			if err != nil {
				t.Fatal(err)
			}
			defer frozen.free()
			r, err := frozen.space(int64(len(content)) + 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			defer r.free()
			s := r.(*mappedSpace)
			memory := s.extend(len(content))
			restored := func(when string) {
				t.Helper()
				if err := s.restore(); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(memory, content) {
					t.Fatalf("%s: the memory is not the image's", when)
				}
			}
			restored("at first")
			for _, n := range []int{0, 1, 1, 0, 2, 26, 100, 10, mostCopied, mostCopied + 1, 3, pages, 5, mostCopied, 1} {
				for _, p := range random.Perm(pages)[:n] {
					memory[p*page+random.IntN(page)] ^= 0xff
				}
				restored("after writes to some")
			}
			memory[0], memory[len(memory)-1] = memory[0]+1, memory[len(memory)-1]+1
			restored("after writes to the ends")
		})
	}
}

// TestWrittenPagesAreKept checks what the ways to restore leave with the space: the pages that were written to, or none.
func TestWrittenPagesAreKept(t *testing.T) {
	page := os.Getpagesize()
	content := bytes.Repeat([]byte("restored"), 1000*page/8)
	for way, open := range ways() {
		frozen, err := mapImage(content, open())
		if err != nil {
			t.Fatal(err)
		}
		r, err := frozen.space(int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		s := r.(*mappedSpace)
		memory := s.extend(len(content))
		look := openPagemap()
		kept := func() int {
			var found regions
			if !look.find(memory, &found) {
				return mostCopied + 1
			}
			return found.pages
		}
		if err := s.restore(); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ written, want int }{{7, 7}, {mostCopied, mostCopied}, {mostCopied + 1, 0}, {0, 0}, {3, 3}} {
			for p := range c.written {
				memory[p*2*page]++
			}
			if err := s.restore(); err != nil {
				t.Fatal(err)
			}
			want := c.want
			if way == "dropped" {
				want = 0
			}
			if got := kept(); got != want {
				t.Errorf("%s: %d pages are kept of %d that were written to; want %d", way, got, c.written, want)
			}
		}
		look.close()
		r.free()
		frozen.free()
	}
}
