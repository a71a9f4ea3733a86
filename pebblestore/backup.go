package pebblestore

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Checkpoint writes a copy of the store, as it is at some moment during the call, to a directory that must not exist yet. It holds
// up nobody: files are linked where the file system can, and else copied. What was durable before the call is in the copy, and
// the copy is durable when it returns. A store that is opened from it says that its stop was unclean, as it was.
func (s *Store) Checkpoint(dir string) error {
	if err := s.syncer.failure(); err != nil {
		return err
	}
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("pebblestore: copy the store to %s: %w", dir, err)
	}
	return nil
}
