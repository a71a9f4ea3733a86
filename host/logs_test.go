package host

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// logsText is the code that logs texts[n].
func logsText(level int32, n int, text string) []byte {
	return code(i32(level), i32(textAt+64*int32(n)), i32(int32(len(text))), call_(fnLog))
}

func TestLinesGoToTheOutcome(t *testing.T) {
	now := time.Date(2026, 1, 21, 12, 53, 20, 5, time.UTC)
	texts := []string{"plain", `{"msg":"m","b":[1,"x"],"a":"two words","c":"y"}`, "broken \xff", "hidden"}
	g := guest{manifest: door, texts: texts, invoke: code(
		logsText(abi.LevelInfo, 0, texts[0]), logsText(abi.LevelError, 1, texts[1]), logsText(abi.LevelWarn, 2, texts[2]),
		logsText(abi.LevelDebug, 3, texts[3]), i32(int32(abi.CodeSkip)))}
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
	g := guest{manifest: door, texts: []string{"seen"}, invoke: code(logsText(abi.LevelDebug, 0, "seen"), i32(3))}
	out := serveGuest(t, g).invoke("door", "closed", `{}`)
	if len(out.Logs) != 1 || out.Logs[0].Level != -4 || out.Logs[0].Text != "seen" {
		t.Errorf("lines %+v; want the debug line", out.Logs)
	}
}

// TestLinesSurviveWhatGoesWrong: the log of an attempt that fails is the one that people look for.
func TestLinesSurviveWhatGoesWrong(t *testing.T) {
	for name, ending := range map[string][]byte{
		"trap": unreachable, "error": i32(int32(abi.CodeError)), "no code": i32(0), "no destination": i32(int32(abi.CodeTo)),
	} {
		t.Run(name, func(t *testing.T) {
			g := guest{manifest: door, texts: []string{"before"}, invoke: code(logsText(abi.LevelInfo, 0, "before"), ending)}
			out := serveGuest(t, g).invoke("door", "closed", `{}`)
			if len(out.Logs) != 1 || out.Logs[0].Text != "before" || out.Reason == "" && name != "error" {
				t.Errorf("outcome %+v; want the line", out)
			}
		})
	}
	out := serveGoGuest(t).invoke("mood", "asked", `{"do":"panic"}`)
	if len(out.Logs) == 0 || out.Logs[0].Level != 8 || out.Logs[0].Text != "panic: the cat is out" {
		t.Errorf("lines %+v; want what a Go guest wrote to stderr", out.Logs)
	}
}

func TestOutcomeLogsAreBounded(t *testing.T) {
	flood := func(line []byte) guest {
		return guest{manifest: door, texts: []string{`{"a":"\u0001<>"}`, "x", "\xff\xff"}, invoke: code(
			i32(10_000), setLocal(1), loop, line, getLocal(1), i32(1), []byte{0x6b}, teeLocal(1), branchIf0, endBlock, i32(3))}
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
