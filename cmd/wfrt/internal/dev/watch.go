package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// Watcher notices changes of a plugin's sources: of its own package, and of the packages on this machine that it is built from.
type Watcher struct {
	dir      string
	notifier *fsnotify.Watcher
	changes  chan struct{}
	ended    chan struct{} // closed when nothing more is noticed
}

// Watch begins to watch the plugin in a folder. The caller closes the watcher.
func Watch(dir string) (*Watcher, error) {
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("dev: watch %s: %w", dir, err)
	}
	w := &Watcher{dir: dir, notifier: notifier, changes: make(chan struct{}, 1), ended: make(chan struct{})}
	if err := notifier.Add(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("dev: watch %s: %w", dir, err), notifier.Close())
	}
	go w.follow()
	return w, nil
}

// Changes is told of changes; several may be one.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// Close ends the watch.
func (w *Watcher) Close() error {
	err := w.notifier.Close()
	<-w.ended
	return err
}

func (w *Watcher) follow() {
	defer close(w.ended)
	for {
		select {
		case event, ok := <-w.notifier.Events:
			if !ok {
				return
			}
			if matters(event) {
				w.tell()
			}
		case _, ok := <-w.notifier.Errors: // notifications were lost: maybe one that matters
			if !ok {
				return
			}
			w.tell()
		}
	}
}

func (w *Watcher) tell() {
	select {
	case w.changes <- struct{}{}:
	default: // a change waits to be taken already
	}
}

// matters reports whether a change can change the module: not that of tests, of hidden files, of what editors leave behind, of
// modules, or of times and rights alone.
func matters(event fsnotify.Event) bool {
	name := filepath.Base(event.Name)
	switch {
	case event.Op == fsnotify.Chmod, strings.HasPrefix(name, "."), strings.HasPrefix(name, "#"):
		return false
	case strings.HasSuffix(name, "~"), strings.HasSuffix(name, ".wasm"), strings.HasSuffix(name, "_test.go"):
		return false
	}
	return true
}

// sources makes the go command list the folders of local packages, each with the files it embeds. A copy of the SDK, which every
// build may write anew, is not among the folders: it is hidden.
const sources = `{{if .Module}}{{if or .Module.Main .Module.Replace}}{{.Dir}}{{range .EmbedFiles}}{{"\t"}}{{.}}{{end}}{{end}}{{end}}`

// Widen watches what the plugin is built from as of now besides its own folder. What cannot be found out, as while the sources do
// not compile, stays as it was.
func (w *Watcher) Widen(ctx context.Context) {
	list := exec.CommandContext(ctx, "go", "list", "-e", "-deps", "-f", sources, ".")
	list.Dir = w.dir
	list.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	out, err := list.Output()
	if err != nil {
		return
	}
	for line := range strings.Lines(string(out)) {
		folder, embedded, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if folder == "" || strings.Contains(folder, string(filepath.Separator)+".") {
			continue
		}
		folders := map[string]bool{folder: true}
		for file := range strings.FieldsFuncSeq(embedded, func(r rune) bool { return r == '\t' }) { // none: not the folder above
			folders[filepath.Dir(filepath.Join(folder, file))] = true
		}
		for path := range folders {
			_ = w.notifier.Add(path) // one that is gone since is asked for again by the next build
		}
	}
}
