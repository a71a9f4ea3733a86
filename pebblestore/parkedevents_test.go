package pebblestore

import (
	"bytes"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// What the store does with one parked event does not read what another holds, nor does naming them: a row whose value nobody can read
// stands in the way of none but itself.
func TestParkedEventsAreReadAlone(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	var all []runtime.ParkedEvent
	var refs []runtime.EventRef
	park := func(p *runtime.ParkedEvent) {
		t.Helper()
		if err := s.ParkEvent(0, p); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 9 {
		p := runtime.ParkedEvent{Event: runtime.Event{LSN: runtime.LSN(i/3 + 1), RunID: runtime.RunID{6: 0x70, 8: 0x80, 15: 1}, Version: 2, Number: i%3 + 1}}
		p.Event.Workflow, p.Event.State, p.Event.Data = "orders", runtime.Running, bytes.Repeat([]byte{byte(i)}, 1000)
		all, refs = append(all, p), append(refs, p.Event.Ref())
		park(&p)
	}
	for i := range all {
		if i != 4 {
			if err := s.db.Set(appendParkedEventKey(nil, 0, refs[i]), []byte("\xff not a value"), pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.ParkedEvent(0, refs[3]); err == nil {
		t.Fatal("the row can be read")
	}
	p, err := s.ParkedEvent(0, refs[4])
	if err != nil || !bytes.Equal(p.Event.Data, all[4].Event.Data) || p.Event.Ref() != refs[4] {
		t.Errorf("%+v, %v", p, err)
	}
	if found, err := s.ParkedRefs(0, runtime.EventRef{}, 100, nil); err != nil || !slices.Equal(found, refs) {
		t.Errorf("named are %v, %v", found, err)
	}
	park(&all[8])
	if err := s.UnparkEvent(0, refs[4]); err != nil {
		t.Fatal(err)
	}
	if found, err := s.ParkedRefs(0, refs[4], 100, nil); err != nil || !slices.Equal(found, refs[5:]) {
		t.Errorf("named after one that is parked no more are %v, %v", found, err)
	}
	if p, err := s.ParkedEvent(0, refs[8]); err != nil || !bytes.Equal(p.Event.Data, all[8].Event.Data) {
		t.Errorf("%+v, %v", p, err)
	}
}
