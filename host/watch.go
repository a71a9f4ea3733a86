package host

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/wfrt/wfrt/host/signature"
)

// Watch loads new and replaced files until ctx ends, and then returns nil. It is notified of changes by the operating
// system, and looks at the directory from time to time all the same, because notifications get lost and some file systems
// have none. Faults of loading are logged. At most one Watch of a host runs.
func (h *Host) Watch(ctx context.Context) error {
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("host: watch the plugins directory: %w", err)
	}
	defer func() { _ = notifier.Close() }()
	rescan := time.NewTicker(h.options.Rescan)
	defer rescan.Stop()
	settle := time.NewTimer(time.Hour)
	settle.Stop()
	defer settle.Stop()

	var trouble string // the last error of a load, so that it is logged once
	load := func() {
		err := h.Load(ctx)
		if err == nil || ctx.Err() != nil {
			trouble = ""
			return
		}
		if err.Error() != trouble {
			trouble = err.Error()
			h.options.Logger.Error("loading plugins", "error", err)
		}
	}
	var pending bool    // the settle timer runs
	var since time.Time // when it began to
	h.subscribe(notifier)
	load() // what happened before the subscription
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-notifier.Events:
			if !concernsPlugin(event) {
				continue
			}
			if !pending {
				pending, since = true, time.Now()
			}
			// Whoever never stops writing does not keep the others waiting.
			if time.Since(since) < h.options.Rescan {
				settle.Reset(h.options.Settle)
			}
		case err := <-notifier.Errors:
			h.options.Logger.Warn("watching the plugins directory: a notification was lost; it is looked at again soon", "error", err)
		case <-settle.C:
			pending = false
			load()
		case <-rescan.C:
			h.subscribe(notifier)
			if !pending {
				load()
			}
		}
	}
}

// subscribe asks for notifications, also of a directory that has been made, or made anew, since.
func (h *Host) subscribe(notifier *fsnotify.Watcher) {
	// Adding a directory that is watched already costs one system call. One that does not exist is asked for again next
	// time.
	_ = notifier.Add(h.options.Dir)
}

func concernsPlugin(event fsnotify.Event) bool {
	file := strings.TrimSuffix(filepath.Base(event.Name), signature.Extension)
	return strings.HasSuffix(file, extension) && event.Op != fsnotify.Chmod
}
