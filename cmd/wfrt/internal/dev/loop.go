// Package dev repeats a build whenever the sources of a plugin change.
//
//	loop.go     when to build
//	watch.go    which files matter, and how changes of them are noticed
//	changes.go  what differs between two manifests
package dev

import (
	"context"
	"time"
)

// The times of a Loop.
const (
	settle   = 200 * time.Millisecond // without another change, before a build begins: an editor saves many files at once
	patience = 2 * time.Second        // after which it begins although the changes go on
)

// Loop builds at once, and again after every change, until ctx ends; then it returns, when the last build has. A change ends the
// build under way, by its context: what it would make is out of date. There is one build at a time.
func Loop(ctx context.Context, changes <-chan struct{}, build func(context.Context)) {
	for {
		building, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			build(building)
		}()
		changed := awaitChange(ctx, changes)
		cancel()
		<-done
		if !changed {
			return
		}
	}
}

// awaitChange returns true once something has changed and settled, false when ctx ends first.
func awaitChange(ctx context.Context, changes <-chan struct{}) bool {
	select {
	case <-changes:
	case <-ctx.Done():
		return false
	}
	last := time.NewTimer(patience)
	defer last.Stop()
	quiet := time.NewTimer(settle)
	defer quiet.Stop()
	for {
		select {
		case <-changes:
			quiet.Reset(settle)
		case <-quiet.C:
			return true
		case <-last.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}
