package runtime

import "slices"

// Emit is an event of a handler's own, beside the notice that its run has changed.
type Emit struct {
	Type        string // 1–64 bytes: a name, as a status is
	ContentType string // of Data: a media type; "" when there is no Data
	Data        []byte // at most what the host allows
}

// flatten returns the events of a page as the outside sees them: behind the event of each change, which is then without
// Emits, one for each that a handler emitted with it, with the same LSN and the numbers 1, 2, 3 …
// A page without any is returned as it is; any other is put into buf, which MUST NOT be the page's own.
func flatten(buf *[]Event, page []Event) []Event {
	if !slices.ContainsFunc(page, func(e Event) bool { return len(e.Emits) > 0 }) {
		return page
	}
	dst := (*buf)[:0]
	for i := range page {
		e := page[i]
		emits := e.Emits
		e.Emits = nil
		dst = append(dst, e)
		for n := range emits {
			e.Number, e.Emit = n+1, emits[n]
			dst = append(dst, e)
		}
	}
	*buf = dst
	return dst
}
