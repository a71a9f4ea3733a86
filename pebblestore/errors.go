package pebblestore

import "errors"

// Errors that callers tell apart with errors.Is.
var (
	// ErrInUse says that another process holds the directory of a store.
	ErrInUse = errors.New("the store is in use")
	// ErrNoStore says that a directory holds no store.
	ErrNoStore = errors.New("there is no store of wfrt")
	// ErrNewer says that a newer version of wfrt wrote the store.
	ErrNewer = errors.New("a newer wfrt wrote the store")
)
