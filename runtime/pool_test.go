package runtime

import "testing"

// BenchmarkRunPooling compares a run object from the pool with one that is allocated for each run: what pooling saves.
func BenchmarkRunPooling(b *testing.B) {
	object := make([]byte, 512)
	use := func(r *run) {
		r.rec.Object = append(r.rec.Object[:0], object...)
		r.out.Object = append(r.out.Object[:0], object...)
	}
	b.Run("with", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := newRun(nil)
			use(r)
			r.release()
		}
	})
	b.Run("without", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := &run{}
			use(r)
			sink = r
		}
	})
}

// BenchmarkEventNames is what names an event on its way out: its ID, and a run ID as text.
func BenchmarkEventNames(b *testing.B) {
	e := Event{Version: 7}
	b.Run("event ID", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if len(e.ID()) == 0 {
				b.Fatal("no ID")
			}
		}
	})
	b.Run("run ID appended", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf, _ = e.RunID.AppendText(buf[:0])
		}
	})
}

var sink *run
