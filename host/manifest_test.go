package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
)

func TestManifestFaults(t *testing.T) {
	workflow := func(text string) string { return `{"abi":1,"workflows":[` + text + `]}` }
	handler := func(text string) string {
		return workflow(`{"name":"w","terminal":["b"],"external":["c"],"handlers":[` + text + `]}`)
	}
	const good = `{"id":1,"kind":"step","name":"a","status":"a","to":["b"]}`
	if _, err := parseManifest([]byte(handler(good))); err != nil {
		t.Fatal(err)
	}
	many := make([]string, abi.MaxHandlers+1)
	for n := range many {
		many[n] = fmt.Sprintf(`{"id":%d,"kind":"step","name":"a","status":"s%d","to":[]}`, n, n)
	}
	for raw, want := range map[string]string{
		`[]`: "not a JSON object",
		strings.Replace(handler(good), `"abi":1`, `"abi":1,"self_test":1`, 1):             "its self_test has the ID 1, which is negative or another handler's",
		strings.Replace(handler(good), `"name":"w"`, `"name":"w","object_version":-1`, 1): "object_version is -1",
		strings.Replace(handler(good), `"name":"w"`, `"name":"w","reads":[0]`, 1):         "reads has 0",
		strings.Replace(handler(good), `"name":"w"`, `"name":"w","versions":"newest"`, 1): `versions is "newest"; say latest or pinned`,
		workflow(``):               "it has no workflow",
		workflow(`{"name":"w"}`):   `workflow "w" has no handler`,
		workflow(`{"name":"a b"}`): "the workflow's name",
		handler(good + `,` + good): `the ID 1, as another has`,
		handler(good + `,` + strings.Replace(good, `"id":1`, `"id":2`, 1)):                             `status "a" has two steps`,
		handler(strings.Replace(good, `"id":1`, `"id":-1`, 1)):                                         "negative ID",
		handler(strings.Replace(good, `"id":1`, `"id":5000000000`, 1)):                                 "cannot unmarshal",
		handler(strings.Replace(good, `"step"`, `"prayer"`, 1)):                                        `is of the kind "prayer", which this server does not know`,
		handler(strings.Replace(good, `"name":"a"`, `"name":""`, 1)):                                   "the handler's name is empty",
		handler(strings.Replace(good, `"status":"a"`, `"status":"ä"`, 1)):                              "the status",
		handler(strings.Replace(good, `["b"]`, `["b","b"]`, 1)):                                        `names the destination "b" twice`,
		handler(strings.Replace(good, `["b"]`, `["x"]`, 1)):                                            `may move to "x", which nothing handles and is neither`,
		handler(strings.Replace(good, `"to"`, `"parallelism":-1,"to"`, 1)):                             "parallelism -1",
		handler(strings.Replace(good, `"to"`, `"retry":{"factor":0.5},"to"`, 1)):                       "retry factor 0.5",
		handler(strings.Replace(good, `"to"`, `"retry":{"max_ms":-1},"to"`, 1)):                        "retry time",
		handler(strings.Replace(good, `"to"`, `"retry":{"attempts":-1},"to"`, 1)):                      "-1 attempts",
		workflow(`{"name":"w","start":"z","handlers":[` + good + `],"terminal":["b"]}`):                `its start "z" is handled by nothing`,
		workflow(`{"name":"w","handlers":[` + good + `],"terminal":["a","b"]}`):                        `status "a" is both handled and terminal`,
		workflow(`{"name":"w","handlers":[` + good + `],"terminal":["b"]},{"name":"w","handlers":[]}`): `"w" occurs twice`,
		workflow(`{"name":"w","handlers":[` + strings.Join(many, ",") + `]}`):                          "4097 handlers; the limit is 4096",
	} {
		_, err := parseManifest([]byte(raw))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200s: %v; want %q", raw, err, want)
		}
	}
}

// TestLifecycleManifestFaults breaks the manifest life, which is good, in one place after the other.
func TestLifecycleManifestFaults(t *testing.T) {
	if _, err := parseManifest([]byte(life)); err != nil {
		t.Fatal(err)
	}
	var schedules []string
	for n := range maxSchedules + 1 {
		schedules = append(schedules, fmt.Sprintf(`{"name":"s%d","cron":"@daily"}`, n))
	}
	hook := `"kind":"hook","name":"tell","on":"complete"`
	for _, c := range []struct{ old, replacement, want string }{
		{`"kind":"callback","name":"called","status":"waiting"`, `"kind":"callback","name":"called"`, "the status is empty"},
		{`"kind":"timer","name":"later","status":"waiting"`, `"kind":"timer","name":"later"`, "the status is empty"},
		{hook, hook + `,"status":"born"`, `the hook "tell" has the member status, which only a step or callback or timeout or timer has`},
		{hook, hook + `,"to":["done"]`, "has the member to, which only a step or callback or timeout has"},
		{`"kind":"erase"`, `"kind":"erase","status":"born"`, "the erase function has the member status"},
		{`"kind":"filter"`, `"kind":"filter","status":"born"`, `the filter "workdays" has the member status`},
		{`"kind":"timer"`, `"kind":"timer","to":["done"]`, `the timer "later" of "waiting" has the member to`},
		{hook, `"kind":"hook","name":"tell"`, `the hook "tell" is told of ""; say on: pause, cancel, complete, resume or erase`},
		{`"on":"complete"`, `"on":"birthday"`, `is told of "birthday"`},
		{`"kind":"erase"`, `"kind":"erase","on":"erase"`, "has the member on, which only a hook has"},
		{`"kind":"callback","name":"called"`, `"kind":"callback","name":"called","lag_ms":1`, "lag_ms, which only a step has"},
		{`"kind":"callback","name":"called"`, `"kind":"callback","name":"called","lag_alert_ms":1`, "lag_alert_ms, which only a step"},
		{`"kind":"callback","name":"called"`, `"kind":"callback","name":"called","parallelism":1`, "parallelism, which only a step"},
		{`"kind":"callback","name":"called"`, `"kind":"callback","name":"called","after_ms":1`, "after_ms, which only a timeout has"},
		{`"kind":"callback","name":"called"`, `"kind":"callback","name":"called","timer":6`, "timer, which only a timeout has"},
		{`"lag_ms":1500`, `"lag_ms":-1`, "lag_ms -1; it is not negative and at most 100 years"},
		{`"after_ms":60000`, `"after_ms":9000000000000000`, "after_ms 9000000000000000; it is not"},
		{`,"after_ms":60000`, ``, `the timeout "late" of "waiting" has to say when it is due, by either after_ms or timer`},
		{`"timer":6`, `"timer":6,"after_ms":1`, `the timeout "later" of "waiting" has to say when it is due`},
		{`"timer":6`, `"timer":99`, `has the timer 99, which is no handler of the kind "timer" and the same status`},
		{`"timer":6`, `"timer":4`, `has the timer 4, which is no handler of the kind "timer"`},
		{`"kind":"timer","name":"later","status":"waiting"`, `"kind":"timer","name":"later","status":"born"`, "and the same status"},
		{`"timer":6`, `"after_ms":1`, `the timer "later" of "waiting" belongs to nothing; name its ID 6`},
		{`,"filter":9`, ``, `the filter "workdays" belongs to nothing`},
		{`"filter":9`, `"filter":7`, `the schedule "nightly" has the filter 7, which is no handler of the kind "filter"`},
		{`"name":"else"`, `"name":"called"`, `there are two handlers that are the callback "called" of "waiting"`},
		{hook, hook + `},{"id":10,` + hook, `there are two handlers that are the hook "tell"`},
		{`"kind":"erase"`, `"kind":"erase","name":"x"},{"id":10,"kind":"erase"`, "has two erase functions; a workflow has one"},
		{
			`"kind":"callback","name":"called","status":"waiting"`, `"kind":"callback","name":"called","status":"done"`,
			`status "done" is both handled and terminal`,
		},
		{
			`"name":"called","status":"waiting","to":["done"]`, `"name":"called","status":"waiting","to":["gone"]`,
			`the callback "called" of "waiting" may move to "gone", which nothing handles`,
		},
		{`"name":"plain"`, `"name":"nightly"`, `the schedule "nightly" occurs twice`},
		{`"name":"plain"`, `"name":"so plain"`, "the schedule's name"},
		{`"0 3 * * *"`, `"0 25 * * *"`, `the schedule "nightly": cron "0 25 * * *" is not a cron expression`},
		{`"0 3 * * *"`, `"0 0 30 2 *"`, "names a time that never comes"},
		{`"0 3 * * *"`, `"` + strings.Repeat("0,", 200) + `0 3 * * *"`, "a cron expression or zone of more than 256 bytes"},
		{`"Europe/Berlin"`, `"Europe/Atlantis"`, `zone "Europe/Atlantis" is not in`},
		{`"catch_up":"all"`, `"catch_up":"most"`, `catch_up "most" is none of one, all, none`},
		{`"object":{"n":1}`, `"object":{"n":}`, "not a JSON object of the expected form"},
		{`"foreign_id":"report"`, `"foreign_id":"` + strings.Repeat("x", 257) + `"`, "a foreign ID of 257 bytes; at most 256"},
		{`"start_at":"waiting"`, `"start_at":"done"`, `starts at "done", which nothing handles and is not external`},
		{`"schedules":[`, `"schedules":[` + strings.Join(schedules, ",") + ",", "it has 259 schedules; the limit is 256"},
	} {
		raw := strings.Replace(life, c.old, c.replacement, 1)
		if raw == life {
			t.Fatalf("%s is not in the manifest", c.old)
		}
		if _, err := parseManifest([]byte(raw)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.100s: %v; want %q", c.replacement, err, c.want)
		}
	}
}

// A manifest of nothing but faults is seen through at once, and a few of them are told.
func TestFaultsAreBounded(t *testing.T) {
	handlers := strings.Repeat(`{"kind":"x"},`, 50_000) + `{"kind":"x"}`
	_, err := parseManifest([]byte(`{"abi":1,"workflows":[{"name":"w","handlers":[` + handlers + `]}]}`))
	if err == nil || strings.Count(err.Error(), "\n") != maxManifestFaults-1 {
		t.Errorf("%v; want %d faults", err, maxManifestFaults)
	}
}

// A file renamed into place is another file even if it has the size and the time of the one before.
func TestARenamedFileIsNoticedWithinATick(t *testing.T) {
	r := newRig(t)
	at := time.Now()
	for n := range 3 {
		r.put("next", generation(n))
		if err := os.Chtimes(filepath.Join(r.dir, "next"), at, at); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(r.dir, "next"), filepath.Join(r.dir, "door.wasm")); err != nil {
			t.Fatal(err)
		}
		r.load()
		if v := r.plugin("door").Version; v != fmt.Sprintf("%04d", n) {
			t.Errorf("version %s serves; want %d", v, n)
		}
	}
}

// A file rewritten in place within one tick of the clock is found by reading it once more.
func TestARewrittenFileIsReadAgain(t *testing.T) {
	clock := newLeapClock()
	r := newRig(t, func(o *Options) { o.Clock = clock })
	at := clock.Now()
	rewrite := func(n int) {
		t.Helper()
		path := filepath.Join(r.dir, "door.wasm")
		if err := os.WriteFile(path, generation(n), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	rewrite(1)
	r.load()
	rewrite(2)
	r.load()
	if v := r.plugin("door").Version; v != "0001" {
		t.Fatalf("version %s serves; the test wants the change not to be visible yet", v)
	}
	clock.AfterFunc(racyFor+time.Second, func() {})
	r.load()
	if v := r.plugin("door").Version; v != "0002" {
		t.Errorf("version %s serves; want the second", v)
	}
	rewrite(3)
	clock.AfterFunc(time.Hour, func() {})
	r.load()
	if v := r.plugin("door").Version; v != "0002" {
		t.Errorf("version %s serves; a settled file is not read again", v)
	}
}
