package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

func TestARunFromTriggerToEnd(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	a := ask(t, s, "POST", "/v1/workflows/quick/runs", `{"foreign_id":"10248","object":{"lines":[1,2]}}`)
	run := decode[Run](t, a, http.StatusCreated)
	if run.Workflow != "quick" || run.ForeignID != "10248" || run.State != "Initiated" || run.Status != "s1" ||
		run.Version != 1 || run.Attempt != 1 || string(run.Object) != `{"lines":[1,2]}` || run.CreatedAt.IsZero() {
		t.Errorf("the new run is %+v", run)
	}
	if got := a.Header.Get("Location"); got != "/v1/runs/"+run.RunID {
		t.Errorf("Location is %q", got)
	}
	end := settle(t, s, run)
	if end.State != "Completed" || end.Status != "done" || end.RunID != run.RunID {
		t.Errorf("the run ended as %+v", end)
	}
	got := decode[Run](t, ask(t, s, "GET", a.Header.Get("Location"), ""), http.StatusOK)
	if got.Version != end.Version || got.State != "Completed" {
		t.Errorf("GET gives %+v, the await gave %+v", got, end)
	}
	history := decode[HistoryPage](t, ask(t, s, "GET", a.Header.Get("Location")+"/history", ""), http.StatusOK)
	var statuses []string
	for _, h := range history.History {
		statuses = append(statuses, h.Status)
	}
	if want := []string{"s1", "s2", "s3", "done"}; !slices.Equal(statuses, want) || history.NextCursor != "" {
		t.Errorf("the history has %v and the cursor %q, want %v and none", statuses, history.NextCursor, want)
	}
	if first := history.History[0]; first.Cause != "trigger" || string(first.Object) != `{"lines":[1,2]}` {
		t.Errorf("the history begins with %+v", first)
	}
}

func TestHistoryPages(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	run := settle(t, s, begin(t, s, "quick", "1"))
	var statuses []string
	for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
		target := "/v1/runs/" + run.RunID + "/history?limit=1"
		if cursor != "" {
			target += "&cursor=" + cursor
		}
		page := decode[HistoryPage](t, ask(t, s, "GET", target, ""), http.StatusOK)
		if len(page.History) != 1 {
			t.Fatalf("a page of 1 has %d entries", len(page.History))
		}
		statuses = append(statuses, page.History[0].Status)
		cursor = page.NextCursor
	}
	if want := []string{"s1", "s2", "s3", "done"}; !slices.Equal(statuses, want) {
		t.Errorf("the pages hold %v, want %v", statuses, want)
	}
}

func TestTriggerRefusals(t *testing.T) {
	e := newEngine(t)
	s := newServer(t, Options{Engine: e, MaxBody: 400})
	object := strings.Repeat("x", 300)
	for _, c := range []struct {
		name, workflow, body, key string
		status                    int
		kind, says                string // detail and hint contain it
	}{
		{"no body", "quick", "", "", 400, "invalid-request", "the body is empty"},
		{"not JSON", "quick", `{"foreign_id": oops}`, "", 400, "invalid-request", "is not JSON: invalid character 'o'"},
		{"object not JSON", "quick", `{"foreign_id":"1","object":{"a":}}`, "", 400, "invalid-request", "at byte 33"},
		{"cut off", "quick", `{"foreign_id":"1"`, "", 400, "invalid-request", "ends too early"},
		{"two values", "quick", `{"foreign_id":"1"}{}`, "", 400, "invalid-request", "goes on after"},
		{"an array", "quick", `[]`, "", 400, "invalid-request", "is a JSON array, not an object"},
		{"a number for the foreign ID", "quick", `{"foreign_id":1}`, "", 400, "invalid-request", "is a JSON number, not a string"},
		{"unknown member", "quick", `{"foreign_id":"1","objct":{}}`, "", 400, "invalid-request", `did you mean "object"?`},
		{"not UTF-8", "quick", "{\"foreign_id\":\"\xff\"}", "", 400, "invalid-request", "is not UTF-8"},
		{"no foreign ID", "quick", `{"object":{}}`, "", 400, "invalid-request", "foreign_id is empty"},
		{"long foreign ID", "quick", `{"foreign_id":"` + object[:257] + `"}`, "", 400, "invalid-request", "at most 256"},
		{"long key", "quick", `{"foreign_id":"1"}`, object[:257], 400, "invalid-request", "Idempotency-Key has 257 bytes"},
		{"unknown start", "quick", `{"foreign_id":"1","start_at":"s4"}`, "", 400, "unknown-status", "a run can begin in: s1, s2, s3"},
		{"terminal start", "quick", `{"foreign_id":"1","start_at":"done"}`, "", 400, "unknown-status", "a run can begin in: s1, s2, s3"},
		{"unknown workflow", "quik", `{"foreign_id":"1"}`, "", 404, "unknown-workflow", "known workflows: held, quick, refused, shop"},
		{"nearly a workflow", "quik", `{"foreign_id":"1"}`, "", 404, "unknown-workflow", `did you mean "quick"?`},
		{"too large", "quick", `{"foreign_id":"1","object":"` + object + object + `"}`, "", 413, "too-large", "server.max_body"},
		{"how large", "quick", `{"foreign_id":"1","object":"` + object + object + `"}`, "", 413, "too-large", "the body has more than 400 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.key != "" {
				headers = []string{"Idempotency-Key", c.key}
			}
			p := refused(t, ask(t, s, "POST", "/v1/workflows/"+c.workflow+"/runs", c.body, headers...), c.status, c.kind)
			if text := p.Detail + "\n" + p.Hint; !strings.Contains(text, c.says) {
				t.Errorf("the problem lacks %q: %s", c.says, text)
			}
		})
	}
	if list := decode[RunPage](t, ask(t, s, "GET", "/v1/runs", ""), http.StatusOK); len(list.Runs) != 0 {
		t.Errorf("a refused trigger began %d runs", len(list.Runs))
	}
}

func TestABodyAtItsLimitIsTaken(t *testing.T) {
	body := `{"foreign_id":"1"}`
	s := newServer(t, Options{Engine: newEngine(t), MaxBody: int64(len(body))})
	decode[Run](t, ask(t, s, "POST", "/v1/workflows/quick/runs", body), http.StatusCreated)
	refused(t, ask(t, s, "POST", "/v1/workflows/quick/runs", body+" "), http.StatusRequestEntityTooLarge, "too-large")
}

func TestInProgress(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	run := begin(t, s, "held", "1")
	p := refused(t, ask(t, s, "POST", "/v1/workflows/held/runs", `{"foreign_id":"1"}`), http.StatusConflict, "in-progress")
	if p.RunID != run.RunID || p.Hint == "" {
		t.Errorf("the problem names run %q, want %q, and hints %q", p.RunID, run.RunID, p.Hint)
	}
	begin(t, s, "held", "2")
}

func TestConcurrentTriggersBeginOneRun(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	const callers = 64
	var (
		mu     sync.Mutex
		counts = map[int]int{}
		runs   = map[string]bool{}
		wg     sync.WaitGroup
		start  = make(chan struct{})
	)
	for range callers {
		wg.Go(func() {
			<-start
			a := ask(t, s, "POST", "/v1/workflows/held/runs", `{"foreign_id":"1"}`)
			mu.Lock()
			defer mu.Unlock()
			counts[a.StatusCode]++
			if a.StatusCode == http.StatusCreated {
				runs[decode[Run](t, a, http.StatusCreated).RunID] = true
			} else {
				runs[decode[Problem](t, a, http.StatusConflict).RunID] = true
			}
		})
	}
	close(start)
	wg.Wait()
	if counts[http.StatusCreated] != 1 || counts[http.StatusConflict] != callers-1 || len(runs) != 1 {
		t.Errorf("the answers are %v and name the runs %v, want one 201 and 63 409 that name one run", counts, runs)
	}
}

func TestIdempotencyKey(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	post := func(body string) answer {
		return ask(t, s, "POST", "/v1/workflows/quick/runs", body, "Idempotency-Key", "k1")
	}
	first := decode[Run](t, post(`{"foreign_id":"1","object":1}`), http.StatusCreated)
	settle(t, s, first)
	again := post(`{"foreign_id":"1","object":1}`)
	if run := decode[Run](t, again, http.StatusOK); run.RunID != first.RunID || run.State != "Completed" {
		t.Errorf("a repetition answers %+v, want the run %s as it is now", run, first.RunID)
	}
	if got := again.Header.Get("Location"); got != "/v1/runs/"+first.RunID {
		t.Errorf("Location of a repetition is %q", got)
	}
	p := refused(t, post(`{"foreign_id":"1","object":2}`), http.StatusUnprocessableEntity, "idempotency-key-reused")
	if p.RunID != first.RunID {
		t.Errorf("the problem names run %q, want %q", p.RunID, first.RunID)
	}
	if other := decode[Run](t, post(`{"foreign_id":"2","object":1}`), http.StatusCreated); other.RunID == first.RunID {
		t.Error("a key of one foreign ID is known to another")
	}
}

func TestListPagesInBothOrders(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	var oldest []string
	for i := range 5 {
		oldest = append(oldest, begin(t, s, "held", strconv.Itoa(i)).RunID)
	}
	slices.Sort(oldest) // within one millisecond the IDs, which are the order, are not those of the calls
	newest := slices.Clone(oldest)
	slices.Reverse(newest)
	for order, want := range map[string][]string{"": newest, "order=desc": newest, "order=asc": oldest} {
		for limit := 1; limit <= 6; limit++ {
			var got []string
			for cursor, first := "", true; first || cursor != ""; first = false {
				target := fmt.Sprintf("/v1/workflows/held/runs?limit=%d&%s", limit, order)
				if order == "" {
					target = fmt.Sprintf("/v1/workflows/held/runs?limit=%d", limit)
				}
				if cursor != "" {
					target += "&cursor=" + cursor
				}
				page := decode[RunPage](t, ask(t, s, "GET", target, ""), http.StatusOK)
				if len(page.Runs) > limit || len(page.Runs) == 0 {
					t.Fatalf("a page of %d holds %d runs", limit, len(page.Runs))
				}
				for _, r := range page.Runs {
					got = append(got, r.RunID)
				}
				cursor = page.NextCursor
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s in pages of %d: %v, want %v", order, limit, got, want)
			}
		}
	}
}

func TestListFilters(t *testing.T) {
	e := newEngine(t)
	s := newServer(t, Options{Engine: e})
	a, b := begin(t, s, "held", "a,b"), begin(t, s, "held", "c d")
	c := settle(t, s, begin(t, s, "quick", "a"))
	r := settle(t, s, begin(t, s, "refused", "b"))
	moment := url.QueryEscape(b.CreatedAt.Format("2006-01-02T15:04:05.000Z07:00"))
	for query, want := range map[string][]Run{
		"":                                    {a, b, c, r},
		"workflow=quick&workflow=refused":     {c, r},
		"state=Completed":                     {c},
		"state=Completed&state=Cancelled":     {c, r},
		"status=waiting":                      {a, b},
		"status=waiting&status=done":          {a, b, c},
		"foreign_id=a,b":                      {a},
		"foreign_id=a&foreign_id=b":           {c, r},
		"foreign_id=c%20d&foreign_id=a%2Cb":   {a, b},
		"foreign_id=nobody":                   {},
		"created_before=2000-01-01T00:00:00Z": {},
		"created_after=2000-01-01T00:00:00%2B02:00&workflow=quick": {c},
		"created_after=" + moment + "&foreign_id=c%20d":            {b},
		"created_before=" + moment + "&foreign_id=c%20d":           {},
		"workflow=held&state=Initiated&status=waiting&order=asc":   {a, b},
	} {
		page := decode[RunPage](t, ask(t, s, "GET", "/v1/runs?"+query, ""), http.StatusOK)
		got := map[string]bool{}
		for _, run := range page.Runs {
			got[run.RunID] = true
		}
		if len(got) != len(want) || slices.ContainsFunc(want, func(w Run) bool { return !got[w.RunID] }) {
			t.Errorf("%q selects %v, want %v", query, page.Runs, want)
		}
	}
}

func TestQueryRefusals(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	run := settle(t, s, begin(t, s, "quick", "1"))
	page := begin(t, s, "quick", "2")
	ascending := runCursor(mustID(t, page.RunID), false)
	for _, c := range []struct {
		target string
		status int
		kind   string
		says   string
	}{
		{"/v1/runs?stat=Completed", 400, "invalid-request", `did you mean "state"?`},
		{"/v1/runs?state=completed", 400, "unknown-state", `did you mean "Completed"? known run states: Initiated, Running`},
		{"/v1/runs?status=dnoe", 400, "unknown-status", `did you mean "done"?`},
		{"/v1/runs?workflow=nope", 400, "invalid-request", "known workflows: held, quick, refused, shop"},
		{"/v1/workflows/nope/runs", 404, "unknown-workflow", "known workflows: held, quick, refused, shop"},
		{"/v1/workflows/quick/runs?status=waiting", 400, "unknown-status", "known statuses: done, s1, s2, s3"},
		{"/v1/workflows/quick/runs?workflow=quick", 400, "invalid-request", "is not a query parameter"},
		{"/v1/runs?limit=0", 400, "invalid-request", "from 1 to 1000"},
		{"/v1/runs?limit=1001", 400, "invalid-request", "from 1 to 1000"},
		{"/v1/runs?limit=ten", 400, "invalid-request", "from 1 to 1000"},
		{"/v1/runs?limit=1&limit=2", 400, "invalid-request", "limit is given 2 times"},
		{"/v1/runs?state=", 400, "invalid-request", "state is empty"},
		{"/v1/runs?state", 400, "invalid-request", "state is empty"},
		{"/v1/runs?order=up", 400, "invalid-request", "asc (oldest first) or desc"},
		{"/v1/runs?created_after=yesterday", 400, "invalid-request", "RFC 3339"},
		{"/v1/runs?created_before=2026-01-01", 400, "invalid-request", "RFC 3339"},
		{"/v1/runs?cursor=zzz", 400, "invalid-request", "cursor is not a cursor of a list of runs"},
		{"/v1/runs?cursor=" + ascending, 400, "invalid-request", "in the other order"},
		{"/v1/runs?a=%zz", 400, "invalid-request", "percent-encode"},
		{"/v1/runs/nope", 400, "invalid-request", "is no run ID"},
		{"/v1/runs/nope/history", 400, "invalid-request", "is no run ID"},
		{"/v1/runs/nope/await", 400, "invalid-request", "is no run ID"},
		{"/v1/runs/" + unknownID, 404, "unknown-run", "GET /v1/runs"},
		{"/v1/runs/" + unknownID + "/history", 404, "unknown-run", "GET /v1/runs"},
		{"/v1/runs/" + unknownID + "/await", 404, "unknown-run", "GET /v1/runs"},
		{"/v1/runs/" + run.RunID + "?x=1", 400, "invalid-request", "is not a query parameter"},
		{"/v1/runs/" + run.RunID + "/history?limit=0", 400, "invalid-request", "from 1 to 1000"},
		{"/v1/runs/" + run.RunID + "/history?cursor=" + ascending, 400, "invalid-request", "is not a cursor of a history"},
		{"/v1/runs/" + run.RunID + "/await?state=Ended", 400, "unknown-state", "known run states"},
		{"/v1/runs/" + run.RunID + "/await?status=shiped", 400, "unknown-status", "known statuses"},
		{"/v1/runs/" + run.RunID + "/await?status=paid", 400, "unknown-status", "known statuses: done, s1, s2, s3"},
		{"/v1/runs/" + run.RunID + "/await?timeout=5", 400, "invalid-request", "such as 30s"},
		{"/v1/runs/" + run.RunID + "/await?timeout=-1s", 400, "invalid-request", "such as 30s"},
		{"/v1/runs/" + run.RunID + "/await?timeout=11m", 400, "invalid-request", "at most 10m0s is allowed"},
	} {
		t.Run(c.target, func(t *testing.T) {
			p := refused(t, ask(t, s, "GET", c.target, ""), c.status, c.kind)
			if text := p.Detail + "\n" + p.Hint; !strings.Contains(text, c.says) {
				t.Errorf("the problem lacks %q: %s", c.says, text)
			}
		})
	}
}

const unknownID = "01890a5d-ac96-774b-bcce-b302099a8057"

func mustID(t *testing.T, text string) runtime.RunID {
	t.Helper()
	id, err := runtime.ParseRunID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestRunsOfAWorkflowThatIsGoneAreListed(t *testing.T) {
	e := newEngine(t)
	s := newServer(t, Options{Engine: e})
	run := settle(t, s, begin(t, s, "quick", "1"))
	e.SetCatalog(runtime.NewCatalog())
	for _, target := range []string{"/v1/workflows/quick/runs", "/v1/runs?workflow=quick", "/v1/runs?status=done"} {
		page := decode[RunPage](t, ask(t, s, "GET", target, ""), http.StatusOK)
		if len(page.Runs) != 1 || page.Runs[0].RunID != run.RunID {
			t.Errorf("%s lists %v", target, page.Runs)
		}
	}
	p := refused(t, ask(t, s, "GET", "/v1/runs?status=s4", ""), http.StatusBadRequest, "unknown-status")
	if p.Hint != "there are no statuses yet" {
		t.Errorf("the hint is %q", p.Hint)
	}
}

func TestAwait(t *testing.T) {
	e := newEngine(t)
	s := newServer(t, Options{Engine: e})
	done := settle(t, s, begin(t, s, "quick", "1"))
	cancelled := settle(t, s, begin(t, s, "refused", "1"))
	held := begin(t, s, "held", "1")
	for _, c := range []struct {
		name              string
		run               Run
		query             string
		reached, timedOut bool
		status            string
	}{
		{"a status it is in", done, "?status=done", true, false, "done"},
		{"a status it was in", done, "?status=s2", true, false, "done"},
		{"a state it is in", done, "?state=Completed", true, false, "done"},
		{"either", done, "?state=Paused&status=s3", true, false, "done"},
		{"a state it never was in", done, "?state=Paused", false, false, "done"},
		{"a status that a cancelled run never reached", cancelled, "?status=granted", false, false, "asked"},
		{"its end, of a cancelled run", cancelled, "", true, false, "asked"},
		{"not long enough", held, "?timeout=0s", false, true, "waiting"},
		{"not long enough for a status", held, "?status=done&timeout=1us", false, true, "waiting"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decode[Awaited](t, ask(t, s, "GET", "/v1/runs/"+c.run.RunID+"/await"+c.query, ""), http.StatusOK)
			if got.Reached != c.reached || got.TimedOut != c.timedOut || got.Run.Status != c.status || got.Run.RunID != c.run.RunID {
				t.Errorf("the answer is %+v", got)
			}
		})
	}
}

// A run is awaited in the statuses of whatever definition it goes by, and in those that it was in, whether or not the newest
// definition has them.
func TestAwaitKnowsEveryDefinition(t *testing.T) {
	e := newEngine(t)
	s := newServer(t, Options{Engine: e})
	define := func(number byte, statuses ...string) *runtime.Workflow {
		w := runtimetest.Workflow("held", runtimetest.Step{Status: "waiting", To: statuses[:1], Func: e.gate.step(statuses[0])})
		for i, status := range statuses[1:] {
			w.Statuses[statuses[i]] = &runtime.Status{Name: statuses[i]}
			w.Statuses[status] = &runtime.Status{Name: status, Terminal: true}
		}
		w.Pinned, w.Digest = true, runtime.Digest{number}
		return w
	}
	first := define(1, "packed", "done")
	e.SetCatalog(runtime.NewCatalog(first, runtimetest.Chain("quick", 3)))
	held := begin(t, s, "held", "1")
	past := settle(t, s, begin(t, s, "quick", "1"))

	second := define(2, "done")
	first.Keeps = true
	second.Older = []*runtime.Workflow{first}
	second.Canary = &runtime.Canary{Workflow: define(3, "wrapped", "done"), Share: 0.5}
	e.SetCatalog(runtime.NewCatalog(second, runtimetest.Chain("quick", 1)))
	for _, c := range []struct {
		name, run, status string
		reached, timedOut bool
	}{
		{"a status to come of an older definition", held.RunID, "packed", false, true},
		{"a status of the canary", held.RunID, "wrapped", false, true},
		{"a status that it was in", past.RunID, "s2", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decode[Awaited](t, ask(t, s, "GET", "/v1/runs/"+c.run+"/await?timeout=0s&status="+c.status, ""), http.StatusOK)
			if got.Reached != c.reached || got.TimedOut != c.timedOut || got.Run.RunID != c.run {
				t.Errorf("the answer is %+v", got)
			}
		})
	}
	refused(t, ask(t, s, "GET", "/v1/runs/"+held.RunID+"/await?status=s2", ""), http.StatusBadRequest, "unknown-status")
	refused(t, ask(t, s, "GET", "/v1/runs/"+unknownID+"/await?status=s2", ""), http.StatusNotFound, "unknown-run")
	// So are the filters of lists.
	if page := decode[RunPage](t, ask(t, s, "GET", "/v1/workflows/held/runs?status=packed", ""), http.StatusOK); len(page.Runs) != 0 {
		t.Errorf("runs in packed: %+v", page.Runs)
	}
}

func TestAwaitEndsWhenTheServerStops(t *testing.T) {
	waiting := make(chan struct{})
	e := &fake{await: func(ctx context.Context, _ runtime.RunID, _ runtime.Until) (runtime.Awaited, error) {
		close(waiting)
		<-ctx.Done()
		return runtime.Awaited{}, ctx.Err()
	}}
	s := newServer(t, Options{Engine: e})
	answers := make(chan answer)
	go func() { answers <- ask(t, s, "GET", "/v1/runs/"+unknownID+"/await", "") }()
	<-waiting
	s.Drain()
	a := <-answers
	refused(t, a, http.StatusServiceUnavailable, "stopping")
	if a.Header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
}

// TestPage pages through entries of several sizes, 0 to count-1, with several limits, and must meet each once and in order.
func TestPage(t *testing.T) {
	for _, count := range []int{0, 1, pageAtOnce - 1, pageAtOnce, pageAtOnce + 1, 5 * pageAtOnce} {
		for _, limit := range []int{1, 2, pageAtOnce - 1, pageAtOnce, pageAtOnce + 1, 1000} {
			for _, size := range []int{0, 1 << 20, pageBytes, 2 * pageBytes} {
				next := 0
				for more := true; more; {
					begin := next
					got, follows, err := page(limit, func(n int, after *int) ([]int, error) {
						from := begin
						if after != nil {
							from = *after + 1
						}
						var some []int
						for i := from; i < count && len(some) < n; i++ {
							some = append(some, i)
						}
						return some, nil
					}, func(*int) int { return size })
					if err != nil || len(got) > limit || len(got)*size >= pageBytes+max(size, 1) && len(got) > 1 {
						t.Fatalf("%d entries of %d bytes in pages of %d: a page of %d, %v", count, size, limit, len(got), err)
					}
					for _, i := range got {
						if i != next {
							t.Fatalf("entry %d comes where %d should", i, next)
						}
						next++
					}
					if follows != (next < count) || follows && len(got) == 0 {
						t.Fatalf("after %d of %d entries more is %v", next, count, follows)
					}
					more = follows
				}
				if next != count {
					t.Errorf("the pages hold %d of %d entries", next, count)
				}
			}
		}
	}
}

func FuzzCursors(f *testing.F) {
	f.Add(runCursor(runtime.RunID{1}, true))
	f.Add(historyCursor(&runtime.HistoryEntry{Version: 1 << 40, Line: 3}))
	f.Add(logsCursor(&runtime.LogEntry{Version: 7, Time: time.Unix(1, 2)}))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return
		}
		for _, descending := range []bool{true, false} {
			if id, err := parseRunCursor(text, descending); err == nil && parsed(t, runCursor(id, descending), descending) != id {
				t.Errorf("%q does not survive a round trip", text)
			}
		}
		if version, line, err := parseHistoryCursor(text); err == nil {
			v, n, err := parseHistoryCursor(historyCursor(&runtime.HistoryEntry{Version: version, Line: line}))
			if v != version || n != line || err != nil {
				t.Errorf("%q does not survive a round trip", text)
			}
		}
		if version, at, err := parseLogsCursor(text); err == nil {
			v, moment, err := parseLogsCursor(logsCursor(&runtime.LogEntry{Version: version, Time: at}))
			if v != version || !moment.Equal(at) || err != nil {
				t.Errorf("%q does not survive a round trip", text)
			}
		}
	})
}

func parsed(t *testing.T, text string, descending bool) runtime.RunID {
	t.Helper()
	id, err := parseRunCursor(text, descending)
	if err != nil {
		t.Error(err)
	}
	return id
}

func FuzzBodies(f *testing.F) {
	f.Add([]byte(`{"foreign_id":"1","object":{"a":[1,2]},"start_at":"x"}`))
	f.Add([]byte(`{"foreign_id":1}`))
	f.Add([]byte(`{"x":1}`))
	f.Add([]byte(`{"action":"pause","filter":{"stat":["x"]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		refusedWell := func(err error) {
			if err == nil {
				return
			}
			if p := problemOf(err); p.Status != http.StatusBadRequest || p.Detail == "" {
				t.Errorf("%q is refused with %+v", body, p)
			}
		}
		_, err := decodeBody[BulkRequest](bytes.Clone(body), "a bulk action", "")
		refusedWell(err)
		in, err := decodeBody[TriggerRequest](bytes.Clone(body), "a trigger", "")
		refusedWell(err)
		if len(in.Object) > 0 && !bytes.Contains(body, in.Object) {
			t.Errorf("the object %q is not a part of %q", in.Object, body)
		}
	})
}

// A repetition under a known key whose run was removed since is told which run that was.
func TestARepetitionForARemovedRunIsGone(t *testing.T) {
	removed := &runtime.RemovedError{Key: "k", RunID: runtime.NewRunID(time.UnixMilli(1), 0, 1)}
	s := newServer(t, Options{Engine: &fake{
		trigger: func(context.Context, runtime.Trigger) (runtime.Triggered, error) { return runtime.Triggered{}, removed },
		call: func(context.Context, runtime.Callback) (runtime.CallbackDone, error) {
			return runtime.CallbackDone{}, fmt.Errorf("runtime: callback: %w", removed)
		},
	}})
	for path, body := range map[string]string{
		"/v1/workflows/w/runs": `{"foreign_id":"1"}`, "/v1/workflows/w/callbacks/paid/1": "",
	} {
		if p := refused(t, ask(t, s, "POST", path, body), http.StatusGone, "run-removed"); p.RunID != removed.RunID.String() || p.Hint == "" {
			t.Errorf("%s: %+v", path, p)
		}
	}
}
