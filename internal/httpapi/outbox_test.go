package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

func TestProblemsOfTheDisk(t *testing.T) {
	p := problemOf(errors.Join(nil, &runtime.DiskError{Free: 90 << 20, Mark: 512 << 20}))
	if p.Status != http.StatusServiceUnavailable || p.header.Get("Retry-After") == "" ||
		p.Detail != "the server's disk has 90 MiB free, and below 512 MiB nothing new is taken" {
		t.Errorf("%+v", p)
	}
}

// Parked events come in pages, in order. A cursor or a limit that is none is refused.
func TestParkedEventsPage(t *testing.T) {
	const runs, parked = 7, 14
	m := &runtimetest.MemStreamer{}
	for range parked {
		m.Script = append(m.Script, func([]runtime.Event) (int, error) {
			return 0, &runtime.RefusedError{Cause: errors.New("larger than the topic takes")}
		})
	}
	e, err := runtime.New(runtime.Options{Store: runtimetest.NewMemStore(2), Streamer: m, Relay: runtime.RelayOptions{Batch: 1}})
	if err != nil {
		t.Fatal(err)
	}
	e.SetCatalog(runtime.NewCatalog(runtimetest.Chain("quick", 1)))
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := newServer(t, Options{Engine: e})
	for i := range runs {
		if _, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "quick", ForeignID: strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for decode[Outbox](t, ask(t, s, "GET", "/v1/outbox", ""), http.StatusOK).Parked < parked {
		<-again.C
	}
	versions := map[string][]uint64{}
	target := "/v1/outbox/parked?limit=5"
	for pages := 1; ; pages++ {
		page := decode[ParkedEventPage](t, ask(t, s, "GET", target, ""), http.StatusOK)
		for _, p := range page.Parked {
			versions[p.ForeignID] = append(versions[p.ForeignID], p.Version)
			if p.Cause != "the event is refused: larger than the topic takes" || p.ParkedAt.IsZero() {
				t.Errorf("%+v", p)
			}
		}
		if target = "/v1/outbox/parked?limit=5&cursor=" + page.NextCursor; page.NextCursor == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	for id, v := range versions {
		if !slices.Equal(v, []uint64{1, 2}) {
			t.Errorf("versions %v of %s", v, id)
		}
	}
	if len(versions) != runs {
		t.Errorf("events of %d runs", len(versions))
	}
	for _, bad := range []string{"x", "1", "1/x", "x/01a0d2c0-0000-7000-8000-000000000000/1", "-1/01a0d2c0-0000-7000-8000-000000000000/1"} {
		refused(t, ask(t, s, "GET", "/v1/outbox/parked?cursor="+bad, ""), http.StatusBadRequest, "invalid-request")
	}
	refused(t, ask(t, s, "GET", "/v1/outbox/parked?limit=0", ""), http.StatusBadRequest, "invalid-request")
}
