package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/sdktest"
)

// probe is an object whose step does what the test tells it.
type probe struct {
	Do    string   `json:"do"`
	Count int      `json:"count"`
	Text  string   `json:"text,omitempty"`
	Ratio *float64 `json:"ratio,omitempty"`
}

type status string

const (
	here  status = "here"
	there status = "there"
)

type probeRun = sdk.Run[probe, status]

type probeOutcome = sdk.Outcome[status]

var (
	probes   = sdk.NewWorkflow[probe, status]("probes")
	raws     = sdk.NewWorkflow[sdk.Raw, status]("raws")
	probeDos = map[string]func(context.Context, *probeRun) (probeOutcome, error){}
)

func init() {
	probes.Step(here, func(ctx context.Context, r *probeRun) (probeOutcome, error) {
		do := probeDos[r.Object.Do]
		r.Object.Count++
		return do(ctx, r)
	}, there)
	raws.Step(here, func(_ context.Context, r *sdk.Run[sdk.Raw, status]) (sdk.Outcome[status], error) {
		switch string(r.Object) {
		case `{"keep": 1}`:
		case `[1]`:
			r.Object = append(r.Object[:1], "2]"...)
		default:
			r.Object = nil
		}
		return r.To(there), nil
	}, there)
}

func TestOutcomes(t *testing.T) {
	timeout := fmt.Errorf("read the stock: %w", fs.ErrNotExist)
	for name, test := range map[string]struct {
		do   func(context.Context, *probeRun) (probeOutcome, error)
		want sdktest.Result[probe, status] // without its JSON and logs
	}{
		"to": {
			func(_ context.Context, r *probeRun) (probeOutcome, error) { return r.To(there), nil },
			sdktest.Result[probe, status]{Kind: sdktest.To, To: there, Changed: true},
		},
		"to, discarded": {
			func(_ context.Context, r *probeRun) (probeOutcome, error) { return r.To(there).Discard(), nil },
			sdktest.Result[probe, status]{Kind: sdktest.To, To: there},
		},
		"unchanged": {
			func(_ context.Context, r *probeRun) (probeOutcome, error) {
				r.Object.Count--
				return r.To(there), nil
			},
			sdktest.Result[probe, status]{Kind: sdktest.To, To: there},
		},
		"repeat": {
			func(_ context.Context, r *probeRun) (probeOutcome, error) { return r.Repeat(), nil },
			sdktest.Result[probe, status]{Kind: sdktest.Repeat, Changed: true},
		},
		"repeat after": {
			func(_ context.Context, r *probeRun) (probeOutcome, error) {
				return r.RepeatAfter(1500 * time.Millisecond), nil
			},
			sdktest.Result[probe, status]{Kind: sdktest.Repeat, Delay: 1500 * time.Millisecond, Changed: true},
		},
		"repeat in the past": {
			func(_ context.Context, r *probeRun) (probeOutcome, error) { return r.RepeatAfter(-time.Second), nil },
			sdktest.Result[probe, status]{Kind: sdktest.Repeat, Changed: true},
		},
		"skip": {
			func(_ context.Context, r *probeRun) (probeOutcome, error) { return r.Skip(), nil },
			sdktest.Result[probe, status]{Kind: sdktest.Skip},
		},
		"pause": {
			func(_ context.Context, r *probeRun) (probeOutcome, error) { return r.Pause("no stock"), nil },
			sdktest.Result[probe, status]{Kind: sdktest.Pause, Reason: "no stock", Changed: true},
		},
		"pause, discarded": {
			func(_ context.Context, r *probeRun) (probeOutcome, error) { return r.Pause("no stock").Discard(), nil },
			sdktest.Result[probe, status]{Kind: sdktest.Pause, Reason: "no stock"},
		},
		"cancel": {
			func(_ context.Context, r *probeRun) (probeOutcome, error) { return r.Cancel("refused"), nil },
			sdktest.Result[probe, status]{Kind: sdktest.Cancel, Reason: "refused", Changed: true},
		},
		"no outcome": {
			func(context.Context, *probeRun) (probeOutcome, error) { return probeOutcome{}, nil },
			sdktest.Result[probe, status]{
				Kind: sdktest.Error, Reason: `sdk: the step of "here" returned no outcome; return one of r.To, r.Pause, …`,
			},
		},
		"error": {
			func(_ context.Context, r *probeRun) (probeOutcome, error) { return r.To(there), timeout },
			sdktest.Result[probe, status]{Kind: sdktest.Error, Reason: "read the stock: file does not exist"},
		},
		"error that is not UTF-8": {
			func(context.Context, *probeRun) (probeOutcome, error) { return probeOutcome{}, errors.New("caf\xe9") },
			sdktest.Result[probe, status]{Kind: sdktest.Error, Reason: "caf\uFFFD"},
		},
		"error without text": {
			func(context.Context, *probeRun) (probeOutcome, error) { return probeOutcome{}, errors.New("") },
			sdktest.Result[probe, status]{
				Kind: sdktest.Error, Reason: "sdk: the step failed with an error that has no text (*errors.errorString)",
			},
		},
		"permanent": {
			func(context.Context, *probeRun) (probeOutcome, error) {
				return probeOutcome{}, fmt.Errorf("charge: %w", sdk.Permanent(errors.New("card refused")))
			},
			sdktest.Result[probe, status]{Kind: sdktest.Permanent, Reason: "charge: card refused"},
		},
		"object that JSON cannot hold": {
			func(_ context.Context, r *probeRun) (probeOutcome, error) {
				r.Object.Ratio = new(math.NaN())
				return r.To(there), nil
			},
			sdktest.Result[probe, status]{
				Kind: sdktest.Permanent, Reason: "sdk: encode the object of sdk_test.probe: json: unsupported value: NaN",
			},
		},
	} {
		probeDos[name] = test.do
		t.Run(name, func(t *testing.T) {
			before := probe{Do: name, Count: 6, Text: "a < b & c"}
			got := sdktest.Run(t, probes, here, before)
			want := test.want
			want.Object = before
			if want.Changed {
				want.Object.Count = 7
			}
			if got.Object != want.Object {
				t.Errorf("the object is %+v; want %+v", got.Object, want.Object)
			}
			if got.Kind != want.Kind || got.To != want.To || got.Reason != want.Reason || got.Delay != want.Delay ||
				got.Changed != want.Changed {
				t.Errorf("got %+v; want %+v", got, want)
			}
		})
	}
}

func TestPermanentIsTransparent(t *testing.T) {
	cause := &fs.PathError{Op: "open", Path: "stock", Err: fs.ErrNotExist}
	err := sdk.Permanent(cause)
	var path *fs.PathError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &path) || path != cause || err.Error() != cause.Error() {
		t.Errorf("Permanent hides its cause: %v", err)
	}
	if sdk.Permanent(nil) != nil {
		t.Error("Permanent(nil) is an error")
	}
}

func TestRaw(t *testing.T) {
	for _, test := range []struct {
		before, after string
		changed       bool
	}{
		{`{"keep": 1}`, `{"keep": 1}`, false},
		{`[1]`, `[2]`, true},
		{`"anything else"`, `null`, true},
	} {
		got := sdktest.Run(t, raws, here, sdk.Raw(test.before))
		if string(got.JSON) != test.after || got.Changed != test.changed {
			t.Errorf("%s became %s, changed %v", test.before, got.JSON, got.Changed)
		}
	}
}

func TestObjectThatDoesNotFit(t *testing.T) {
	for object, want := range map[string]string{
		`{"do":"to","count":"six"}`: `field "count" before byte 24 is a JSON string, and int is wanted`,
		`[1]`:                       `does not fit sdk_test.probe: it is a JSON array`,
		`{"do":`:                    `the object is not JSON: byte 6:`,
	} {
		got := sdktest.RunJSON(t, probes, here, []byte(object))
		if got.Kind != sdktest.Permanent || !strings.Contains(got.Reason, want) {
			t.Errorf("%s: %v; want %q", object, got, want)
		}
	}
}

func TestLargeObject(t *testing.T) {
	probeDos["large"] = func(_ context.Context, r *probeRun) (probeOutcome, error) {
		r.Object.Text += "!"
		return r.To(there), nil
	}
	text := strings.Repeat("0123456789", 100_000)
	if got := sdktest.Run(t, probes, here, probe{Do: "large", Text: text}); got.Object.Text != text+"!" {
		t.Errorf("a text of %d bytes became one of %d", len(text), len(got.Object.Text))
	}
}

func TestInputs(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 891011, time.UTC)
	var kept *probeRun
	probeDos["inputs"] = func(_ context.Context, r *probeRun) (probeOutcome, error) {
		kept = r
		if r.ID() != "run" || r.Workflow() != "probes" || r.ForeignID() != "10248" || r.Status() != here || r.Version() != 7 ||
			r.Attempt() != 3 || !r.Now().Equal(at) || !r.CreatedAt().Equal(at.Add(-time.Hour)) || r.IdempotencyKey() != "key" ||
			r.Now().Location() != time.UTC {
			t.Errorf("inputs: %s %s %s %s %d %d %s %s %s", r.ID(), r.Workflow(), r.ForeignID(), r.Status(), r.Version(),
				r.Attempt(), r.Now(), r.CreatedAt(), r.IdempotencyKey())
		}
		return r.Skip(), nil
	}
	sdktest.Run(t, probes, here, probe{Do: "inputs"}, sdktest.ID("run"), sdktest.ForeignID("10248"), sdktest.Version(7),
		sdktest.Attempt(3), sdktest.Now(at), sdktest.CreatedAt(at.Add(-time.Hour)), sdktest.IdempotencyKey("key"))

	defer func() {
		if p := recover(); p != "sdk: a Run was used after its step had returned" {
			t.Errorf("the run is used after its end: %v", p)
		}
	}()
	_ = kept.ID()
	t.Error("a run answers after its end")
}

func TestContextEndsAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept context.Context
		probeDos["deadline"] = func(ctx context.Context, r *probeRun) (probeOutcome, error) {
			kept = ctx //nolint:fatcontext // to look at after its end
			start := time.Now()
			if due, ok := ctx.Deadline(); !ok || due.Sub(start) != 3*time.Second || ctx.Err() != nil {
				t.Errorf("the deadline is in %v, %v; the context's error is %v", due.Sub(start), ok, ctx.Err())
			}
			<-ctx.Done()
			if waited := time.Since(start); waited != 3*time.Second {
				t.Errorf("the context ended after %v", waited)
			}
			return probeOutcome{}, ctx.Err()
		}
		got := sdktest.Run(t, probes, here, probe{Do: "deadline"}, sdktest.Deadline(time.Now().Add(3*time.Second)))
		if got.Kind != sdktest.Error || got.Reason != context.DeadlineExceeded.Error() {
			t.Errorf("the step ended with %v", got)
		}
		if kept.Err() == nil {
			t.Error("the context lives on after its step")
		}
	})
}

func TestContextEndsWithTheStep(t *testing.T) {
	var seen, unseen context.Context
	probeDos["context"] = func(ctx context.Context, r *probeRun) (probeOutcome, error) {
		if _, ok := ctx.Deadline(); ok || ctx.Err() != nil {
			t.Errorf("a context without a deadline has one, or has ended: %v", ctx.Err())
		}
		seen = ctx //nolint:fatcontext // to look at after its end
		return r.Skip(), nil
	}
	probeDos["context unseen"] = func(ctx context.Context, r *probeRun) (probeOutcome, error) {
		unseen = ctx //nolint:fatcontext // to look at after its end
		return r.Skip(), nil
	}
	sdktest.Run(t, probes, here, probe{Do: "context"})
	sdktest.Run(t, probes, here, probe{Do: "context unseen"})
	if !errors.Is(seen.Err(), context.Canceled) || !errors.Is(unseen.Err(), context.Canceled) {
		t.Errorf("after their steps the contexts say %v and %v", seen.Err(), unseen.Err())
	}
}

func TestLog(t *testing.T) {
	probeDos["log"] = func(ctx context.Context, r *probeRun) (probeOutcome, error) {
		log := sdk.Log(ctx)
		log.Debug("plain")
		log.Info("{ looks like JSON")
		log.Warn("attrs", "level", "mine", "n", 7)
		log.With("order", "10248").WithGroup("card").Error("group", "last4", "4242")
		return r.Skip(), nil
	}
	got := sdktest.Run(t, probes, here, probe{Do: "log"}).Logs
	want := []string{
		"DEBUG plain map[]",
		"INFO { looks like JSON map[]",
		"WARN attrs map[level:mine n:7]",
		"ERROR group map[card:map[last4:4242] order:10248]",
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines: %v", len(got), got)
	}
	for i, line := range got {
		if s := fmt.Sprint(line.Level, " ", line.Message, " ", line.Attrs); s != want[i] {
			t.Errorf("line %d is %q; want %q", i, s, want[i])
		}
	}
	if sdk.Log(context.Background()) != slog.Default() {
		t.Error("outside of a step the logger is not slog.Default")
	}
}
