package sdktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// Kind says what a step decided.
type Kind string

// Kinds. Error and Permanent are failed attempts: of an error, and of one that sdk.Permanent marked.
const (
	To        Kind = "to"
	Repeat    Kind = "repeat"
	Skip      Kind = "skip"
	Pause     Kind = "pause"
	Cancel    Kind = "cancel"
	Error     Kind = "error"
	Permanent Kind = "permanent"
)

// Result is what one invocation of a step came to.
type Result[O any, S ~string] struct {
	Kind    Kind
	To      S             // the destination, of To
	Reason  string        // of Pause, Cancel, Error and Permanent
	Delay   time.Duration // of Repeat
	Object  O             // the run's object after the step; as before it when nothing was kept
	JSON    []byte        // the same as the server would store it
	Changed bool          // the step changed the object, and the outcome keeps the change
	Logs    []Log         // in the order they were written
	Intents []Intent      // the runs and callbacks that it asked for, in order; none of a failed attempt
	Emits   []Emit        // the events that it emitted, in order; none of a failed attempt

	Measurements []Measurement // that it took, in order
}

// Intent is a run that was asked for with sdk.Trigger, or a callback with sdk.Callback.
type Intent struct {
	Workflow  string
	ForeignID string
	Status    string // of a callback: the status that takes it; "" of a run
	Object    []byte // one JSON value; of a callback its payload
}

// Emit is an event that was emitted with sdk.Emit.
type Emit struct {
	Type        string
	ContentType string // "" when there is no data
	Data        []byte
}

// Measurement is one that was taken with sdk.Count, sdk.Set or sdk.Observe.
type Measurement struct {
	Kind   string // "count", "set" or "observe"
	Name   string
	Labels string // a line name=value for each
	Value  float64
}

// Log is one line of the step's log.
type Log struct {
	Level   slog.Level
	Message string
	Attrs   map[string]any // as decoded from JSON: numbers are float64; nil when there are none
}

// String describes the result in one line for a failing test.
func (r Result[O, S]) String() string {
	var b strings.Builder
	b.WriteString(string(r.Kind))
	switch r.Kind {
	case To:
		fmt.Fprintf(&b, " %q", r.To)
	case Repeat:
		fmt.Fprintf(&b, " after %v", r.Delay)
	case Pause, Cancel, Error, Permanent:
		fmt.Fprintf(&b, ": %s", r.Reason)
	default: // it says nothing more
	}
	fmt.Fprintf(&b, " with %s", r.JSON)
	return b.String()
}

// Run invokes the step that handles a status, once, with an object. It fails the test at once when the plugin's
// registration is faulty, the status has no step, or the server would refuse the step's answer. A panic of the step is the
// test's own. Calls may run in parallel.
func Run[O any, S ~string](t testing.TB, w *sdk.Workflow[O, S], status S, object O, opts ...Option) Result[O, S] {
	t.Helper()
	doc, err := encode(object)
	if err != nil {
		t.Fatalf("sdktest: encode the object: %v", err)
	}
	return RunJSON(t, w, status, doc, opts...)
}

// RunJSON is Run with the object as the server holds it.
func RunJSON[O any, S ~string](t testing.TB, w *sdk.Workflow[O, S], status S, object []byte, opts ...Option) Result[O, S] {
	t.Helper()
	handler := find(t, w.Name(), string(status))
	host := newHost(object, w.Name(), string(status))
	for _, opt := range opts {
		opt(host)
	}
	got := invoke(t, &handler, host)

	result := Result[O, S]{JSON: object, Changed: got.changed, Reason: got.reason, Logs: got.logs, Intents: got.intents, Emits: got.emits, Measurements: got.taken}
	if got.changed {
		result.JSON = got.object
	}
	if err := decode(result.JSON, &result.Object); err != nil {
		// A step that could not decode its object says so in its reason; an object that it wrote itself must decode.
		if result.Changed {
			t.Fatalf("sdktest: step of %q: the new object does not decode: %v", status, err)
		}
	}
	switch got.code {
	case abi.CodeTo:
		result.Kind, result.To = To, S(got.status)
	case abi.CodeRepeat:
		result.Kind, result.Delay = Repeat, got.delay
	case abi.CodeSkip:
		result.Kind = Skip
	case abi.CodePause:
		result.Kind = Pause
	case abi.CodeCancel:
		result.Kind = Cancel
	case abi.CodeError:
		result.Kind = Error
	case abi.CodePermanent:
		result.Kind = Permanent
	default:
		t.Fatalf("sdktest: step of %q answered the unknown code %d", status, got.code)
	}
	return result
}

// Manifest returns what the server will be told of this plugin, and fails the test with every mistake of its registration.
func Manifest(t testing.TB) *abi.Manifest {
	t.Helper()
	m, err := guest.Default.Manifest("go/"+sdk.Version, "")
	if err == nil {
		_, err = guest.Encode(m)
	}
	if err != nil {
		t.Fatalf("sdktest: the server would refuse this plugin:\n%v", err)
	}
	return m
}

// find returns the step that handles a status.
func find(t testing.TB, workflow, status string) abi.Handler {
	t.Helper()
	var known []string
	for _, w := range Manifest(t).Workflows {
		if w.Name != workflow {
			continue
		}
		for _, h := range w.Handlers {
			if h.Kind != abi.KindStep {
				continue
			}
			if h.Status == status {
				return h
			}
			known = append(known, h.Status)
		}
	}
	t.Fatalf("sdktest: workflow %q has no step for the status %q; it has steps for %q", workflow, status, known)
	return abi.Handler{}
}

// encode returns an object as the SDK writes it, so that a step that changes nothing is seen to.
func encode(object any) ([]byte, error) {
	if raw, ok := object.(sdk.Raw); ok {
		return raw, nil
	}
	var doc bytes.Buffer
	e := json.NewEncoder(&doc)
	e.SetEscapeHTML(false)
	err := e.Encode(object)
	return bytes.TrimSuffix(doc.Bytes(), []byte("\n")), err
}

func decode[O any](doc []byte, o *O) error {
	if raw, ok := any(o).(*sdk.Raw); ok {
		*raw = doc
		return nil
	}
	return json.Unmarshal(doc, o)
}
