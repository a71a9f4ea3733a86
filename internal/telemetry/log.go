package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Formats of the log.
const (
	FormatText = "text" // key=value, for people
	FormatJSON = "json" // one JSON object a line, for programs
)

// ParseLevel reads a level of the log: debug, info, warn or error, in either case.
func ParseLevel(name string) (slog.Level, error) {
	switch strings.ToLower(name) {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	default:
		return 0, fmt.Errorf("telemetry: log level %.40q is none of debug, info, warn, error", name)
	}
}

// NewLogger returns a logger that writes to w what is at level or above; a *slog.LevelVar can change it while it is used.
// w's Write is called by one goroutine at a time.
func NewLogger(w io.Writer, level slog.Leveler, format string) (*slog.Logger, error) {
	opt := &slog.HandlerOptions{Level: level}
	switch format {
	case FormatText:
		return slog.New(slog.NewTextHandler(w, opt)), nil
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(w, opt)), nil
	default:
		return nil, fmt.Errorf("telemetry: log format %.40q is none of %s, %s", format, FormatText, FormatJSON)
	}
}
