package host

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// logsText is the code that logs texts[n].
func logsText(level int32, n int, text string) []byte {
	return asm.Code(asm.I32(level), asm.I32(textAt+64*int32(n)), asm.I32(int32(len(text))), asm.Call(fnLog))
}

func TestLinesGoToTheOutcome(t *testing.T) {
	now := time.Date(2026, 1, 21, 12, 53, 20, 5, time.UTC)
	texts := []string{"plain", `{"msg":"m","b":[1,"x"],"a":"two words","c":"y"}`, "broken \xff", "hidden"}
	g := guest{manifest: door, texts: texts, invoke: asm.Code(
		logsText(abi.LevelInfo, 0, texts[0]), logsText(abi.LevelError, 1, texts[1]), logsText(abi.LevelWarn, 2, texts[2]),
		logsText(abi.LevelDebug, 3, texts[3]), asm.I32(int32(abi.CodeSkip)))}
	r := serveGuest(t, g, func(o *Options) { o.Clock, o.Logger = stillClock{now: now}, slog.New(slog.DiscardHandler) })
	in := r.invocation("door", "closed", `{}`)
	want := []runtime.LogLine{
		{Time: now, Level: 0, Text: "plain"},
		{Time: now, Level: 8, Text: `m b=[1,"x"] a="two words" c=y`},
		{Time: now, Level: 4, Text: "broken \uFFFD"},
	}
	var out runtime.Outcome
	for range 2 { // the slice is used again
		out.Reset()
		if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); err != nil || out.Kind != runtime.OutcomeSkip {
			t.Fatal(err, out)
		}
		if len(out.Logs) != len(want) {
			t.Fatalf("lines %+v; want %d, and no debug line while the server logs none", out.Logs, len(want))
		}
		for n, line := range out.Logs {
			if line != want[n] {
				t.Errorf("line %d: %+v; want %+v", n, line, want[n])
			}
		}
	}
}

func TestDebugLinesAreKeptWhileTheServerLogsThem(t *testing.T) {
	g := guest{manifest: door, texts: []string{"seen"}, invoke: asm.Code(logsText(abi.LevelDebug, 0, "seen"), asm.I32(3))}
	out := serveGuest(t, g).invoke("door", "closed", `{}`)
	if len(out.Logs) != 1 || out.Logs[0].Level != -4 || out.Logs[0].Text != "seen" {
		t.Errorf("lines %+v; want the debug line", out.Logs)
	}
}

// TestLinesSurviveWhatGoesWrong: the log of an attempt that fails is the one that people look for.
func TestLinesSurviveWhatGoesWrong(t *testing.T) {
	for name, ending := range map[string][]byte{
		"trap": asm.Unreachable, "error": asm.I32(int32(abi.CodeError)), "no code": asm.I32(0), "no destination": asm.I32(int32(abi.CodeTo)),
	} {
		t.Run(name, func(t *testing.T) {
			g := guest{manifest: door, texts: []string{"before"}, invoke: asm.Code(logsText(abi.LevelInfo, 0, "before"), ending)}
			out := serveGuest(t, g).invoke("door", "closed", `{}`)
			if len(out.Logs) != 1 || out.Logs[0].Text != "before" || out.Reason == "" && name != "error" {
				t.Errorf("outcome %+v; want the line", out)
			}
		})
	}
	out := serveGoGuest(t).invoke("mood", "asked", `{"do":"panic"}`)
	if len(out.Logs) != 1 || out.Logs[0].Level != 8 || !strings.HasPrefix(out.Logs[0].Text, "panic: the cat is out\n\ngoroutine ") ||
		!strings.Contains(out.Logs[0].Text, "main.invoke") || len(out.Logs[0].Text) > maxTold {
		t.Errorf("lines %+v; want one with the panic and its trace", out.Logs)
	}
}

// TestAPanicIsOneLine has guests write what a runtime writes as it dies, whole and in pieces; what they wrote before and what they
// write to stdout are lines of their own.
func TestAPanicIsOneLine(t *testing.T) {
	trace := strings.Repeat("\tmain.go:7\n", 1000)
	for name, test := range map[string]struct {
		stderr []string
		want   []string
	}{
		"whole":     {[]string{"hm\npanic: out\n\ngoroutine 1:\n\tmain.go:7\n"}, []string{"hm", "panic: out\n\ngoroutine 1:\n\tmain.go:7"}},
		"in pieces": {[]string{"pan", "ic: o", "ut\n", "\ngoroutine 1:", "\n"}, []string{"panic: out\n\ngoroutine 1:"}},
		"no end":    {[]string{"fatal error: out"}, []string{"fatal error: out"}},
		"long":      {[]string{"thread 'main' panicked\n", trace, trace}, []string{("thread 'main' panicked\n" + trace)[:maxTold]}},
		"long at once": {
			[]string{"panic: " + strings.Repeat("x", 2*maxLine) + "\n", trace}, []string{"panic: " + strings.Repeat("x", maxTold-len("panic: "))},
		},
		"no panic": {[]string{"a panic: b\nc\n"}, []string{"a panic: b", "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := serveGuest(t, guest{manifest: door, invoke: asm.Code(asm.I32(3))})
			in := r.invocation("door", "closed", `{}`)
			pool := in.Handler.Invoker.(*invoker).module.pool
			i, _, err := pool.take(t.Context(), pool.runs)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.put(i, pool.runs)
			for range 2 { // the next call knows nothing of the last
				var out runtime.Outcome
				i.call = call{phase: phaseInvoke, limits: *i.module.limits.Load(), in: in, out: &out}
				i.logs.begin(64 << 10)
				for _, text := range test.stderr {
					i.logs.write(i, slog.LevelError, []byte(text))
				}
				i.logs.end(i)
				i.call = call{}
				var got []string
				for _, line := range out.Logs {
					got = append(got, line.Text)
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("%d lines %.200q; want %.200q", len(got), got, test.want)
				}
			}
		})
	}
}

func TestOutcomeLogsAreBounded(t *testing.T) {
	flood := func(line []byte) guest {
		return guest{manifest: door, texts: []string{`{"a":"\u0001<>"}`, "x", "\xff\xff"}, invoke: asm.Code(
			asm.I32(10_000), asm.Set(1), asm.Loop, line, asm.Get(1), asm.I32(1), asm.I32Sub, asm.Tee(1), asm.BrIf(0), asm.End, asm.I32(3))}
	}
	for name, line := range map[string][]byte{
		"short":   logsText(0, 1, "x"),
		"JSON":    logsText(0, 0, `{"a":"\u0001<>"}`),
		"invalid": logsText(0, 2, "\xff\xff"),
		"empty":   logsText(0, 1, ""),
	} {
		t.Run(name, func(t *testing.T) {
			out := serveGuest(t, flood(line), func(o *Options) { o.Limits.LogBytes = 1000 }).invoke("door", "closed", `{}`)
			size := 0
			for _, l := range out.Logs {
				if !strings.HasPrefix(l.Text, "the plugin logged more") {
					size += len(l.Text)
				}
			}
			if size > 1000 || len(out.Logs) > 1000/lineCost+1 {
				t.Errorf("%d lines of %d bytes; want at most the limit of 1000", len(out.Logs), size)
			}
			last := runtime.LogLine{}
			if len(out.Logs) > 0 {
				last = out.Logs[len(out.Logs)-1]
			}
			if cut := strings.HasPrefix(last.Text, "the plugin logged more than the limit; "); cut == (name == "empty") {
				t.Errorf("the last line is %+v; want it to say that something is missing, if anything is", last)
			}
		})
	}
}
