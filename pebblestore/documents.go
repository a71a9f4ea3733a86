package pebblestore

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// maxDocument is the largest document, in bytes.
const maxDocument = 16 << 20

// Document returns what SetDocument wrote last under a name, or runtime.ErrNotFound. What it returns belongs to the caller.
func (s *Store) Document(name string) ([]byte, error) {
	value, closer, err := s.db.Get(documentKey(name))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, fmt.Errorf("pebblestore: document %q: %w", name, runtime.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("pebblestore: document %q: %w", name, err)
	}
	return slices.Clone(value), closer.Close()
}

// SetDocument writes a document in the place of the one before. It is durable on return. Documents belong to no shard and no
// run: what an adapter beside the engine has to keep, such as which modules serve.
func (s *Store) SetDocument(name string, value []byte) error {
	if len(value) > maxDocument {
		return fmt.Errorf("pebblestore: document %q: %d bytes are more than the limit of %d", name, len(value), maxDocument)
	}
	if err := s.syncer.failure(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	if err := b.Set(documentKey(name), value, nil); err != nil {
		return fmt.Errorf("pebblestore: document %q: %w", name, err)
	}
	if err := s.commitDurably(b); err != nil {
		return s.syncer.failed(err)
	}
	return nil
}
