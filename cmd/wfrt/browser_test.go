//go:build browser

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/compile"
	"github.com/wfrt/wfrt/internal/httpapi"
)

// shop is a server with the example plugins, and the browser that looks at it.
type shop struct {
	browser context.Context //nolint:containedctx // a browser is one
	client  *client.Client
	address string
	dir     string
}

const (
	shippedRuns = 60 // orders that end at once: more than a page
	waitingRuns = 5  // orders that wait a day for their shipment
)

// TestBrowser uses the page as a person would, with the keyboard.
func TestBrowser(t *testing.T) {
	s := newShop(t)
	t.Run("pages and filters", s.pagesAndFilters)
	t.Run("a run and its timeline", s.aRun)
	t.Run("pause, resume, cancel, erase", s.control)
	t.Run("move, edit, call back", s.change)
	t.Run("trigger", s.trigger)
	t.Run("what others do is seen at once", s.live)
	t.Run("bulk", s.bulk)
	t.Run("scripts stay text", s.scripts)
	t.Run("workflows", s.workflows)
	t.Run("schedules, plugins, streams", s.rest)
	t.Run("other sites", s.otherSites)
	t.Run("token", s.token)
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{browser: newBrowser(t), dir: t.TempDir()}
	for _, plugin := range []string{"orders", "hello"} {
		err := compile.Module(t.Context(), compile.Options{
			Dir: "../../plugins/" + plugin, Out: filepath.Join(s.dir, "plugins", plugin+".wasm"), Messages: t.Output(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, granted := paymentsFor(t)
	if err := os.WriteFile(filepath.Join(s.dir, "config.yaml"), []byte(granted), 0o600); err != nil {
		t.Fatal(err)
	}
	s.address, s.client = serveShop(t, s.dir, "")
	lines := ordersOf(t)
	for i := range shippedRuns {
		s.begin(t, "orders", fmt.Sprintf("shipped-%02d", i), lines[i])
	}
	for i := range waitingRuns {
		run := s.begin(t, "orders", fmt.Sprintf("waiting-%d", i), unshipped(t, lines[i]))
		done, err := s.client.Await(t.Context(), run.RunID, client.Until{Status: "awaiting_shipment"})
		if err != nil || !done.Reached {
			t.Fatalf("%+v: %v", done, err)
		}
	}
	return s
}

// serveShop starts a server in a folder, with a token or with none.
func serveShop(t *testing.T, dir, token string) (string, *client.Client) {
	t.Helper()
	server := &server{}
	if err := server.start(dir, append(os.Environ(), "WFRT_SERVER_TOKEN="+token)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.New(server.address, token)
	if err != nil {
		t.Fatal(err)
	}
	return server.address, c
}

// ordersOf returns the first orders of Northwind, all of which were shipped.
func ordersOf(t *testing.T) []json.RawMessage {
	t.Helper()
	content, err := os.ReadFile(ordersFile)
	if err != nil {
		t.Fatal(err)
	}
	var lines []json.RawMessage
	for line := range strings.Lines(string(content)) {
		lines = append(lines, json.RawMessage(line))
	}
	return lines[:shippedRuns]
}

// unshipped returns an order that is still to be shipped, for which there is a day.
func unshipped(t *testing.T, order json.RawMessage) json.RawMessage {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(order, &members); err != nil {
		t.Fatal(err)
	}
	members["shipped_date"], members["ship_timeout_ms"] = nil, 86_400_000
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (s *shop) begin(t *testing.T, workflow, foreignID string, object json.RawMessage) httpapi.Run {
	t.Helper()
	done, err := s.client.Trigger(t.Context(), workflow, httpapi.TriggerRequest{ForeignID: foreignID, Object: object}, "")
	if err != nil {
		t.Fatal(err)
	}
	return done.Run
}

// find returns the newest run of a foreign ID.
func (s *shop) find(t *testing.T, foreignID string) httpapi.Run {
	t.Helper()
	page, err := s.client.Runs(t.Context(), url.Values{"foreign_id": {foreignID}, "limit": {"1"}})
	if err != nil || len(page.Runs) != 1 {
		t.Fatalf("%d runs of %s: %v", len(page.Runs), foreignID, err)
	}
	return page.Runs[0]
}

// last returns the newest entry of a run's history that made a version.
func (s *shop) last(t *testing.T, foreignID string) httpapi.HistoryEntry {
	t.Helper()
	page, err := s.client.History(t.Context(), s.find(t, foreignID).RunID, "")
	if err != nil {
		t.Fatal(err)
	}
	for i := len(page.History) - 1; i >= 0; i-- {
		if page.History[i].Line == 0 {
			return page.History[i]
		}
	}
	t.Fatal("there is no history")
	return httpapi.HistoryEntry{}
}

const rows = "document.querySelectorAll('.runs tbody tr').length"

func (s *shop) pagesAndFilters(t *testing.T) {
	tab := newTab(t, s.browser, s.address)
	tab.show("#/runs?workflow=orders")
	tab.wait(rows + " === 50")
	tab.press("Next page")
	tab.wait(fmt.Sprintf("%s === %d && location.hash.includes('cursor=')", rows, shippedRuns+waitingRuns-50))
	tab.do(chromedp.NavigateBack())
	tab.wait(rows + " === 50 && !location.hash.includes('cursor=')")

	tab.enter("Status", "awaiting_shipment", kb.Enter)
	tab.wait(fmt.Sprintf("%s === %d && location.hash.includes('status=awaiting_shipment')", rows, waitingRuns))
	tab.enter("Status", "shipped", kb.Enter) // the one or the other
	tab.wait(rows + " === 50")
	tab.press("shipped ×")
	tab.wait(fmt.Sprintf("%s === %d", rows, waitingRuns))
	tab.enter("Foreign ID", "waiting-3", kb.Enter)
	tab.wait(rows + " === 1 && document.querySelector('.runs tbody th').innerText === 'waiting-3'")
	tab.do(chromedp.Reload())
	tab.wait(rows + " === 1 && document.querySelectorAll('.chip').length === 3") // the address holds the view
	tab.enter("Completed", " ")
	tab.waitText("No run matches.")
	if hash := tab.eval("location.hash"); !strings.Contains(hash, "state=Completed") || !strings.Contains(hash, "foreign_id=waiting-3") {
		t.Errorf("the address is %s", hash)
	}
	tab.press("Clear the filter")
	tab.wait(rows + " === 50 && location.hash === '#/runs'")

	tab.expect("400")
	tab.enter("Status", "no such status", kb.Enter)
	tab.waitText("There is no such status")
	tab.waitText(`"no such status"`)
}

func (s *shop) aRun(t *testing.T) {
	tab := newTab(t, s.browser, s.address)
	tab.show("#/runs?workflow=orders&foreign_id=waiting-0")
	tab.press("waiting-0")
	tab.wait("document.querySelectorAll('.timeline li').length === 5")
	for _, text := range []string{
		"Running", "awaiting_shipment", "trigger began the run in received", "step received → validated", "step charged → awaiting_shipment", "fuel", "module",
		"Timeout ship-by is due",
	} {
		tab.waitText(text)
	}
	object := map[string]any{}
	if err := json.Unmarshal([]byte(tab.eval("document.getElementById('object').textContent")), &object); err != nil || object["charge_id"] == nil {
		t.Errorf("the object is %v: %v", object, err)
	}
	tab.enter("Run ID or foreign ID", "shipped-07", kb.Enter)
	tab.wait(rows + " === 1")
	run := s.find(t, "shipped-07")
	tab.enter("Run ID or foreign ID", run.RunID, kb.Enter)
	tab.wait("document.querySelector('h1').innerText === 'shipped-07'")
	tab.waitText("which completed the run")
}

func (s *shop) control(t *testing.T) {
	tab := newTab(t, s.browser, s.address)
	tab.show("#/runs/" + s.find(t, "waiting-1").RunID)
	do := func(word, reason, want string) {
		t.Helper()
		tab.press(word + "…")
		tab.enter("Reason", reason)
		tab.enter("Your name", "Ada")
		tab.press(word + " it")
		tab.wait("!document.querySelector('dialog')")
		tab.wait(fmt.Sprintf("document.querySelector('main .state').innerText === %s", quote(want)))
	}
	did := func(state, reason string) {
		t.Helper()
		tab.waitText("Ada → " + state)
		if e := s.last(t, "waiting-1"); e.State != state || e.By != "Ada" || e.Reason != reason || e.Cause != "person" {
			t.Errorf("the history has %+v", e)
		}
	}
	tab.press("Pause…")
	tab.press("Close")
	tab.wait("!document.querySelector('dialog')")
	if e := s.last(t, "waiting-1"); e.State != "Running" {
		t.Errorf("a dialog that was closed left %s", e.State)
	}
	do("Pause", "the truck is late", "Paused")
	did("Paused", "the truck is late")
	do("Resume", "it is here", "Running")
	if e := s.last(t, "waiting-1"); e.State != "Running" || e.By != "Ada" || e.Reason != "it is here" {
		t.Errorf("the history has %+v", e)
	}
	do("Cancel", "the truck is lost", "Cancelled")
	did("Cancelled", "the truck is lost")
	tab.press("Erase…")
	tab.press("Erase it")
	tab.wait("document.querySelector('main .state').innerText === 'DataDeleted'")
	tab.wait("document.getElementById('object').textContent.includes('deleted')")
}

func (s *shop) change(t *testing.T) {
	tab := newTab(t, s.browser, s.address)
	tab.show("#/runs/" + s.find(t, "waiting-2").RunID)
	tab.press("Edit the object…")
	tab.enter("Object", `{"broken":`)
	tab.press("Replace it")
	tab.waitText("The object is no JSON")
	tab.press("Close")
	tab.press("Edit the object…")
	tab.wait("document.querySelector('dialog textarea').value.includes('waiting') || document.querySelector('dialog textarea').value.includes('order_id')")
	tab.eval(`(() => {
		const area = document.querySelector('dialog textarea');
		area.value = area.value.replace(/^{/, '{ "big": 12345678901234567890,');
	})()`)
	tab.enter("Reason", "a number that JavaScript rounds")
	tab.press("Replace it")
	tab.wait("document.getElementById('object').textContent.includes('12345678901234567890')")

	tab.press("Move…")
	tab.eval("document.querySelector('dialog select').value = 'charged'")
	tab.press("Move")
	tab.wait("!document.querySelector('dialog')")
	tab.wait("document.querySelectorAll('.timeline li').length >= 8") // moved to charged, and on to awaiting_shipment
	tab.wait("document.querySelector('main .status').innerText === 'awaiting_shipment'")

	tab.expect("422")
	tab.press("Call back…")
	tab.enter("Payload", `{"shipped_date":"soon"}`)
	tab.press("Send")
	tab.waitText("The callback was refused")
	tab.waitText("the payload has no shipped_date")
	tab.enter("Payload", `{"shipped_date":"1998-05-06"}`)
	tab.press("Send")
	tab.wait("document.querySelector('main .state').innerText === 'Completed'")
	if run := s.find(t, "waiting-2"); run.Status != "shipped" {
		t.Errorf("the run is in %s", run.Status)
	}
}

func (s *shop) trigger(t *testing.T) {
	tab := newTab(t, s.browser, s.address)
	tab.show("#/runs?workflow=orders")
	tab.press("Trigger a run…")
	tab.press("Trigger")
	tab.waitText("Foreign ID is missing")
	tab.expect("409")
	tab.enter("Foreign ID", "waiting-0")
	tab.press("Trigger")
	tab.waitText("A run is in progress")
	tab.waitText("wait until that run has ended, or trigger under another foreign ID")
	tab.eval("document.querySelector('dialog select').value = 'hello'")
	tab.enter("Foreign ID", "grace")
	tab.enter("Object", `{"name":"Grace"}`)
	tab.press("Trigger")
	tab.wait("document.querySelector('h1').innerText === 'grace'")
	tab.waitText("Hello, Grace!")
	tab.waitText("greeted name=Grace") // in its log
}

func (s *shop) live(t *testing.T) {
	run := s.find(t, "waiting-4")
	list, one := newTab(t, s.browser, s.address), newTab(t, s.browser, s.address)
	list.show("#/runs?workflow=orders&status=awaiting_shipment")
	one.show("#/runs/" + run.RunID)
	for _, tab := range []*tab{list, one} {
		tab.wait("document.getElementById('live').innerText === 'live'")
	}
	for _, change := range [][2]string{{"pause", "Paused"}, {"resume", "Running"}} {
		if _, err := s.client.Control(t.Context(), run.RunID, change[0], httpapi.NoteRequest{By: "another"}); err != nil {
			t.Fatal(err)
		}
		one.wait(fmt.Sprintf("document.querySelector('main .state').innerText === %s", quote(change[1])))
		list.wait(fmt.Sprintf("document.querySelector('.runs tbody tr .state').innerText === %s", quote(change[1])))
	}
	s.begin(t, "hello", "newcomer", json.RawMessage(`{"name":"you"}`))
	list.enter("Run ID or foreign ID", "newcomer", kb.Enter)
	list.wait(rows + " === 1")
}

func (s *shop) bulk(t *testing.T) {
	tab := newTab(t, s.browser, s.address)
	lines := ordersOf(t)
	for i := range 3 {
		run := s.begin(t, "orders", fmt.Sprintf("many-%d", i), unshipped(t, lines[i]))
		if _, err := s.client.Await(t.Context(), run.RunID, client.Until{Status: "awaiting_shipment"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.client.Control(t.Context(), s.find(t, "many-2").RunID, "pause", httpapi.NoteRequest{}); err != nil {
		t.Fatal(err)
	}
	tab.show("#/runs?foreign_id=many-0&foreign_id=many-1&foreign_id=many-2")
	tab.wait(rows + " === 3")
	tab.press("Pause…")
	tab.waitText("2 runs would be paused. 3 match, 1 of them in a state that does not allow it.")
	tab.wait("document.querySelector('[data-counting=no]')")
	for i := range 2 {
		if run := s.find(t, fmt.Sprintf("many-%d", i)); run.State != "Running" {
			t.Errorf("counting has made %s %s", run.ForeignID, run.State)
		}
	}
	tab.enter("Reason", "stocktaking")
	tab.press("Pause them")
	tab.wait("!document.querySelector('dialog')")
	tab.wait("[...document.querySelectorAll('.runs .state')].every((state) => state.innerText === 'Paused')")
	for i := range 2 {
		if run := s.find(t, fmt.Sprintf("many-%d", i)); run.State != "Paused" || run.Reason != "stocktaking" {
			t.Errorf("%s is %s: %s", run.ForeignID, run.State, run.Reason)
		}
	}
	tab.press("Cancel…")
	tab.waitText("3 runs would be cancelled")
	tab.press("Cancel them")
	tab.wait("[...document.querySelectorAll('.runs .state')].every((state) => state.innerText === 'Cancelled')")

	tab.expect("400")
	tab.press("Clear the filter")
	tab.wait("location.hash === '#/runs'")
	tab.press("Cancel…")
	tab.waitText("filter selects every run of the server") // a button too many is no disaster
	tab.press("Close")
	if run := s.find(t, "waiting-0"); run.State != "Running" {
		t.Errorf("%s is %s", run.ForeignID, run.State)
	}
}

func (s *shop) scripts(t *testing.T) {
	const script = `<script>window.hurt = 1</script><img src=x onerror="window.hurt = 2">`
	object, err := json.Marshal(map[string]string{"name": script})
	if err != nil {
		t.Fatal(err)
	}
	run := s.begin(t, "hello", script, object)
	if _, err := s.client.Await(t.Context(), run.RunID, client.Until{}); err != nil {
		t.Fatal(err)
	}
	tab := newTab(t, s.browser, s.address)
	tab.show("#/runs?" + url.Values{"foreign_id": {script}}.Encode())
	tab.wait(rows + " === 1 && document.querySelector('.runs tbody th').innerText === " + quote(script))
	tab.press(script)
	tab.wait("document.querySelector('h1').innerText === " + quote(script))
	tab.waitText("Hello, <script>window.hurt = 1</script>")
	tab.wait("document.querySelectorAll('.log').length > 0")
	tab.eval("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
	tab.wait("document.querySelector('.timeline pre').textContent.includes('<script>')")
	if found := tab.eval("document.querySelectorAll('main script, main img').length + ' ' + window.hurt"); found != "0 undefined" {
		t.Errorf("scripts, and what they did: %s", found)
	}
	// Were it ever put in as HTML, the browser would refuse.
	if refused := tab.eval("(() => { try { document.createElement('p').innerHTML = '<b>'; } catch (error) { return error.name; } })()"); refused != "TypeError" {
		t.Errorf("HTML is taken: %s", refused)
	}
	tab.expect("TrustedHTML")
}

func (s *shop) workflows(t *testing.T) {
	tab := newTab(t, s.browser, s.address)
	tab.show("")
	tab.wait("document.querySelectorAll('tbody tr').length === 4")
	tab.press("orders")
	tab.wait("document.querySelectorAll('.graph .box').length === 9 && document.querySelectorAll('.graph .edge').length === 11")
	tab.waitText("ship-by → backordered at a computed time")
	before := tab.eval("document.querySelector('.graph').textContent")
	s.begin(t, "orders", "one more", ordersOf(t)[0])
	tab.wait(fmt.Sprintf("document.querySelector('.graph').textContent !== %s", quote(before))) // the counts follow
	tab.press("Its runs")
	tab.wait("location.hash === '#/runs?workflow=orders'")
}

func (s *shop) rest(t *testing.T) {
	spec := httpapi.ScheduleRequest{Workflow: "hello", Name: "yearly", Cron: "0 0 1 1 *", Object: json.RawMessage(`{"name":"year"}`)}
	if _, err := s.client.CreateSchedule(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	tab := newTab(t, s.browser, s.address)
	tab.show("#/schedules")
	tab.waitText("0 0 1 1 *")
	tab.press("Trigger…")
	tab.press("Trigger")
	tab.wait("document.querySelector('h1').innerText === 'yearly' && location.hash.startsWith('#/runs/')")
	tab.waitText("Hello, year!")
	tab.do(chromedp.NavigateBack())
	tab.wait("document.querySelectorAll('tbody tr').length === 2")
	tab.press("Pause…")
	tab.press("Pause")
	tab.waitText("Paused")
	tab.press("Delete…")
	tab.press("Delete")
	tab.wait("document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody').innerText.includes('nightly')")

	tab.press("Plugins")
	tab.wait("document.querySelectorAll('tbody tr').length === 2")
	tab.press("orders")
	tab.waitText("POST requests to payments")
	tab.waitText("serving")
	tab.press("Streams")
	tab.waitText("No connector is configured")
}

// otherSites has pages of other origins try to trigger a run, and one whose name was pointed at the server read the API.
func (s *shop) otherSites(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<title>another site</title><main><h1>another site</h1></main>"))
	}))
	t.Cleanup(site.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(site.URL, "http://"), ":")
	for _, origin := range []string{site.URL, "http://evil.example:" + port} {
		tab := newTab(t, s.browser, origin)
		tab.expect("Failed to load resource")
		tab.expect("has been blocked by CORS")
		tab.show("")
		ended := fmt.Sprintf(`Promise.all([
			fetch(%[1]s, { method: 'POST', mode: 'no-cors', headers: { 'Content-Type': 'text/plain' }, body: '{"foreign_id":"stolen"}' }).catch(() => null),
			fetch(%[1]s, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"foreign_id":"stolen"}' }).catch(() => null),
			fetch(%[1]s).then(() => 'read', () => 'refused'),
		]).then((all) => { document.title = all[2]; })`, quote(s.address+"/v1/workflows/hello/runs"))
		tab.eval(ended)
		tab.wait("document.title === 'refused'")
	}
	page, err := s.client.Runs(t.Context(), url.Values{"foreign_id": {"stolen"}})
	if err != nil || len(page.Runs) > 0 {
		t.Errorf("%d runs were triggered: %v", len(page.Runs), err)
	}

	_, port, _ = strings.Cut(strings.TrimPrefix(s.address, "http://"), ":")
	rebound := newTab(t, s.browser, "http://evil.example:"+port)
	rebound.expect("421")
	rebound.do(chromedp.Navigate(rebound.address + "/v1/runs"))
	rebound.wait("document.body.innerText.includes('The Host is not ours')")
}

func (s *shop) token(t *testing.T) {
	address, c := serveShop(t, t.TempDir(), "s3cret")
	if _, err := c.Workflows(t.Context()); err != nil {
		t.Fatal(err)
	}
	tab := newTab(t, s.browser, address)
	tab.expect("401")
	tab.do(chromedp.Navigate(address + "/#/runs"))
	tab.waitText("This server wants a token")
	tab.enter("Token", "wrong")
	tab.press("Use it")
	tab.waitText("It was refused")
	tab.enter("Token", "s3cret")
	tab.press("Use it")
	tab.wait("!document.querySelector('dialog') && document.querySelector('main').innerText.includes('No run matches.')")
	tab.wait("document.getElementById('live').innerText === 'live'")
	tab.do(chromedp.Reload())
	tab.wait("document.querySelector('main').innerText.includes('No run matches.')") // it is kept
	if kept := tab.eval("sessionStorage.getItem('wfrt.token') + ' ' + Object.values(localStorage).join() + document.cookie"); kept != "s3cret " {
		t.Errorf("kept is %q", kept)
	}
}
