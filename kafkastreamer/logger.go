package kafkastreamer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// repeatAfter is how often the same message of the client library is written at most: while brokers are away it has a few of them
// a second.
const repeatAfter = 30 * time.Second

// logger writes what the client library says. What it calls information is detail to us.
type logger struct {
	to *slog.Logger

	mu     sync.Mutex
	spoken map[string]spoken // by message, a constant of the library each
}

type spoken struct {
	at      time.Time
	silent  int // times that it was not written since
	exactly string
}

func newLogger(to *slog.Logger, purpose string) *logger {
	if to == nil {
		to = slog.New(slog.DiscardHandler)
	}
	return &logger{to: to.With("kafka", purpose), spoken: map[string]spoken{}}
}

// Level implements kgo.Logger.
func (l *logger) Level() kgo.LogLevel {
	if l.to.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelWarn
}

// Log implements kgo.Logger.
func (l *logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	at := slog.LevelDebug
	switch level {
	case kgo.LogLevelError:
		at = slog.LevelError
	case kgo.LogLevelWarn:
		at = slog.LevelWarn
	case kgo.LogLevelNone, kgo.LogLevelInfo, kgo.LogLevelDebug:
	}
	if at > slog.LevelDebug {
		silent, speak := l.turn(msg, fmt.Sprint(keyvals...))
		if !speak {
			return
		}
		if silent > 0 {
			keyvals = append(keyvals[:len(keyvals):len(keyvals)], "not_written_before", silent)
		}
	}
	l.to.Log(context.Background(), at, msg, keyvals...)
}

// turn reports whether a message may be written now, and how many like it were not.
func (l *logger) turn(msg, exactly string) (silent int, speak bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	last := l.spoken[msg]
	if now.Sub(last.at) < repeatAfter && (last.exactly == exactly || now.Sub(last.at) < time.Second) {
		last.silent++
		l.spoken[msg] = last
		return 0, false
	}
	l.spoken[msg] = spoken{at: now, exactly: exactly}
	return last.silent, true
}
