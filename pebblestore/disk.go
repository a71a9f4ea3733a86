package pebblestore

import "fmt"

// FreeBytes returns how many bytes are free, for us, on the disk that the store lies on.
func (s *Store) FreeBytes() (int64, error) {
	usage, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		return 0, fmt.Errorf("pebblestore: the free space of %s: %w", s.dir, err)
	}
	return int64(min(usage.AvailBytes, 1<<62)), nil
}
