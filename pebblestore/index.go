package pebblestore

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// walkIndex calls f with the first index row under a prefix, and then with the first one whose key does not begin with as many bytes of
// the last key as f returned: all of them for the next row, row.rangeLen or row.statusLen to pass over its state or status, 0 to end. f
// must not keep what it is given.
func walkIndex(r pebble.Reader, prefix []byte, f func(key []byte, row *indexRow) (done int)) error {
	it, err := iterate(r, prefix)
	if err != nil {
		return err
	}
	var next []byte
	for valid := it.First(); valid; {
		key := it.Key()
		row, ok := parseIndexKey(key)
		if !ok {
			return errors.Join(fmt.Errorf("%w: key %x", errMalformed, key), it.Close())
		}
		switch done := f(key, &row); done {
		case 0:
			return it.Close()
		case len(key):
			valid = it.Next()
		default:
			next = appendSuccessor(next[:0], key[:done])
			valid = it.SeekGE(next)
		}
	}
	return it.Close()
}
