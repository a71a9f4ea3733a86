package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

const (
	maxLine = 8 << 10  // a line of stdout or stderr is broken there
	maxTail = 16 << 10 // how much of the end of stderr is kept, to find the cause of an error in
	maxTold = 2 << 10  // how much of that an error tells

	lineCost = 16 // what a line takes of the limit besides its text, so that short lines are not free
)

// logs turns what one call of a guest writes into log lines, up to a number of bytes.
type logs struct {
	stdout, stderr []byte // the beginnings of lines that have not ended
	dying          bool   // stderr holds what the guest dies of, and then where: one line, to its end
	tail           []byte // the end of stderr
	left           int    // bytes that may still be written
	dropped        int    // bytes that were not
}

func (l *logs) begin(limit int) {
	l.stdout, l.stderr, l.tail = l.stdout[:0], l.stderr[:0], l.tail[:0]
	l.left, l.dropped, l.dying = limit, 0, false
}

// end writes the lines that have no end, and says what was dropped.
func (l *logs) end(i *instance) {
	l.flush(i, slog.LevelInfo, &l.stdout)
	l.flush(i, slog.LevelError, &l.stderr)
	if l.dropped == 0 {
		return
	}
	i.module.meter.LogsCut()
	i.module.totals.exceeded[LimitLog].Add(1)
	const note = "the plugin logged more than the limit; the rest of this invocation's log is dropped"
	attrs := []slog.Attr{
		slog.Int("dropped_bytes", l.dropped), slog.Int("limit_bytes", i.call.limits.LogBytes),
	}
	i.log(slog.LevelWarn, note, attrs)
	i.keep(slog.LevelWarn, lineOf(note, attrs))
}

// write takes what the guest writes to stdout or stderr. The work is bounded by the limit, not by the length of text.
func (l *logs) write(i *instance, level slog.Level, text []byte) {
	line := &l.stdout
	if level == slog.LevelError {
		line = &l.stderr
		l.keepTail(text)
	}
	for len(text) > 0 && l.left > 0 {
		if l.dying && line == &l.stderr {
			*line = append(*line, text[:min(len(text), max(0, maxTold-len(*line)))]...)
			return
		}
		room := text[:min(len(text), maxLine-len(*line))]
		end := bytes.IndexByte(room, '\n')
		if end < 0 {
			*line = append(*line, room...)
			text = text[len(room):]
			if len(*line) < maxLine {
				break
			}
			l.close(i, level, line)
			continue
		}
		*line = append(*line, room[:end]...)
		text = text[end+1:]
		if len(*line) == 0 {
			l.left -= min(l.left, lineCost) // an empty line is not written and yet work
		}
		l.close(i, level, line)
	}
	l.dropped += len(text)
}

// close writes a line that has ended, unless it says what the guest dies of: then what follows belongs to it.
func (l *logs) close(i *instance, level slog.Level, line *[]byte) {
	if line == &l.stderr && slices.ContainsFunc(deaths, func(marker string) bool { return bytes.HasPrefix(*line, []byte(marker)) }) {
		l.dying = true
		*line = append((*line)[:min(len(*line), maxTold)], '\n')
		return
	}
	l.flush(i, level, line)
}

// deaths are what the lines begin with by which the runtimes of languages say what a program dies of.
var deaths = []string{"panic: ", "fatal error: ", "thread '"} //nolint:gochecknoglobals // it is never changed

func (l *logs) keepTail(text []byte) {
	text = text[max(0, len(text)-maxTail):]
	if excess := len(l.tail) + len(text) - maxTail; excess > 0 {
		l.tail = append(l.tail[:0], l.tail[excess:]...)
	}
	l.tail = append(l.tail, text...)
}

// lastWords returns what the guest wrote to stderr before its end. A runtime that dies says first of what, and then, often
// at length, where; so it begins at the last line that says of what, if there is one, and else keeps the end.
func (l *logs) lastWords() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(l.tail), "\uFFFD"))
	for _, marker := range deaths {
		if at := strings.LastIndex("\n"+text, "\n"+marker); at >= 0 {
			return cutText(text[at:], maxTold)
		}
	}
	return text[max(0, len(text)-maxTold):]
}

func (l *logs) flush(i *instance, level slog.Level, line *[]byte) {
	if text := bytes.TrimRight(*line, "\r\n"); len(text) > 0 {
		l.text(i, level, text)
	}
	*line = (*line)[:0]
}

// guestLine takes a line of the host function log: text, or one JSON object with the member msg (docs/abi.md, section 5).
func (l *logs) guestLine(i *instance, guestLevel int32, body []byte) {
	level := levelOf(guestLevel)
	if len(body) > 0 && body[0] == '{' && len(body)+lineCost <= l.left {
		if message, attrs, err := parseLogObject(body); err == nil {
			l.left -= len(body) + lineCost
			i.log(level, message, attrs)
			i.keep(level, cutText(lineOf(message, attrs), len(body)+lineCost))
			return
		}
	}
	l.text(i, level, body)
}

// text writes one line, cut to what is left.
func (l *logs) text(i *instance, level slog.Level, body []byte) {
	n := min(len(body), max(0, l.left-lineCost))
	for n < len(body) && n > 0 && !utf8.RuneStart(body[n]) {
		n--
	}
	l.dropped += len(body) - n
	l.left -= min(l.left, n+lineCost)
	if n > 0 {
		text := strings.ToValidUTF8(string(body[:n]), "\uFFFD")
		i.log(level, text, nil)
		i.keep(level, cutText(text, n+lineCost))
	}
}

// keep adds a line to the outcome of the call, for the run's own log. Debug lines are kept only while the server logs them.
func (i *instance) keep(level slog.Level, text string) {
	out := i.call.out
	if out == nil || level < slog.LevelInfo && !i.module.host.options.Logger.Enabled(i, level) {
		return
	}
	now := i.module.host.options.Clock.Now().UTC()
	out.Logs = append(out.Logs, runtime.LogLine{Time: now, Level: int(level), Text: text})
}

// lineOf writes a message and its attributes as one text: "charged order=7 card=\"ends 41\"".
func lineOf(message string, attrs []slog.Attr) string {
	var b strings.Builder
	b.WriteString(message)
	for _, a := range attrs {
		value, isText := a.Value.Any().(string)
		if !isText {
			raw, _ := json.Marshal(a.Value.Any()) // it came from JSON
			value = string(raw)
		} else if value == "" || strings.ContainsAny(value, " =\"\n\r\t") {
			value = strconv.Quote(value)
		}
		b.WriteString(" " + a.Key + "=" + value)
	}
	return b.String()
}

// levelOf returns the level of the ABI that a guest's number counts as: the next lower one.
func levelOf(level int32) slog.Level {
	switch {
	case level >= abi.LevelError:
		return slog.LevelError
	case level >= abi.LevelWarn:
		return slog.LevelWarn
	case level >= abi.LevelInfo:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// hostKey says that the host adds an attribute of that name to a guest's line. A guest's own of that name is renamed to
// "guest.<name>", so that no line can claim to be another run's.
func hostKey(key string) bool {
	switch key {
	case "plugin", "workflow", "handler", "status", "run_id", "foreign_id", "version", "attempt", "trace_id",
		slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey:
		return true
	default:
		return false
	}
}

// log writes a line with what is known of the call. It costs nothing when the level is off.
func (i *instance) log(level slog.Level, message string, attrs []slog.Attr) {
	logger := i.module.host.options.Logger
	if !logger.Enabled(i, level) {
		return
	}
	record := slog.NewRecord(i.module.host.options.Clock.Now(), level, message, 0)
	record.AddAttrs(slog.String("plugin", i.module.name))
	if in := i.call.in; in != nil {
		record.AddAttrs(
			slog.String("workflow", in.Record.Workflow),
			slog.String("handler", in.Handler.Kind.String()+"/"+in.Handler.Name), slog.String("status", in.Record.Status),
			slog.String("run_id", in.Record.RunID.String()), slog.String("foreign_id", in.Record.ForeignID),
			slog.Uint64("version", in.Record.Version), slog.Uint64("attempt", uint64(in.Attempt)))
		if !in.Trace.IsZero() {
			record.AddAttrs(slog.String("trace_id", in.Trace.ID()))
		}
	}
	record.AddAttrs(attrs...)
	_ = logger.Handler().Handle(i, record) // a log line that cannot be written is nobody's error
}

// parseLogObject reads the JSON form of a log line, keeping the order of its members.
func parseLogObject(body []byte) (message string, attrs []slog.Attr, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if _, err := decoder.Token(); err != nil {
		return "", nil, err
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return "", nil, err
		}
		key, _ := token.(string)
		var value any
		if err := decoder.Decode(&value); err != nil {
			return "", nil, err
		}
		if text, ok := value.(string); ok && key == "msg" {
			message = text
			continue
		}
		if hostKey(key) {
			key = "guest." + key
		}
		attrs = append(attrs, slog.Any(key, value))
	}
	if _, err := decoder.Token(); err != nil {
		return "", nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return "", nil, errors.New("more than one JSON value")
	}
	return message, attrs, nil
}
