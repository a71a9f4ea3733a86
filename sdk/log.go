package sdk

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// Log returns a logger to the server's log, where every line carries plugin, workflow, run, status and attempt. ctx is the
// step's. All levels are sent; the server drops those it does not want. Natively, outside of a step, it is slog.Default.
func Log(ctx context.Context) *slog.Logger {
	host, ok := ctx.Value(hostKey{}).(guest.Host)
	if !ok {
		host = moduleHost()
	}
	if host == nil {
		return slog.Default()
	}
	line := &logLine{host: host}
	return slog.New(&logHandler{line: line, json: slog.NewJSONHandler(&line.body, &slog.HandlerOptions{
		Level:       slog.Level(-1 << 31),
		ReplaceAttr: withoutLevel,
	})})
}

// logLine is the line that a handler and all handlers made from it write in turn.
type logLine struct {
	host guest.Host
	mu   sync.Mutex
	body bytes.Buffer
}

// logHandler sends records to the host as docs/abi.md, section 5, wants them: text, or a JSON object when there are
// attributes.
type logHandler struct {
	line  *logLine
	json  slog.Handler
	attrs bool // the handler itself has attributes or groups
}

func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(ctx context.Context, rec slog.Record) error {
	level := int32(rec.Level)
	if !h.attrs && rec.NumAttrs() == 0 && !strings.HasPrefix(rec.Message, "{") {
		h.line.host.Log(level, []byte(rec.Message))
		return nil
	}
	h.line.mu.Lock()
	defer h.line.mu.Unlock()
	h.line.body.Reset()
	rec.Time = time.Time{} // the host notes when it gets the line
	if err := h.json.Handle(ctx, rec); err != nil {
		return err
	}
	h.line.host.Log(level, bytes.TrimSuffix(h.line.body.Bytes(), []byte("\n")))
	return nil
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{line: h.line, json: h.json.WithAttrs(attrs), attrs: true}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{line: h.line, json: h.json.WithGroup(name), attrs: true}
}

// withoutLevel drops the record's own level, which crosses as a number, and keeps an author's attribute of that name.
func withoutLevel(groups []string, a slog.Attr) slog.Attr {
	if _, own := a.Value.Any().(slog.Level); own && len(groups) == 0 && a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}
