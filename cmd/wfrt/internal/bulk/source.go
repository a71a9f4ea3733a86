package bulk

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Source is a file with one JSON object a line.
type Source struct {
	path    string
	digest  string // of the whole content: part of every line's idempotency key
	objects int    // lines that are not blank
}

// maxLine is the longest line that is read. No server accepts an object of this size.
const maxLine = 256 << 20

// Open reads the file once, to count its lines and to know its content again when the same file is sent a second time.
func Open(path string) (*Source, error) {
	s := &Source{path: path}
	hash := sha256.New()
	err := s.lines(func(_ int, text []byte) error {
		hash.Write(text)
		hash.Write([]byte{'\n'})
		s.objects++
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.digest = hex.EncodeToString(hash.Sum(nil)[:16])
	return s, nil
}

// Objects returns the number of lines that are not blank.
func (s *Source) Objects() int { return s.objects }

// key returns the idempotency key of a line: the same each time the same file is sent.
func (s *Source) key(line int) string { return fmt.Sprintf("file:%s:%d", s.digest, line) }

// lines calls yield for every line that is not blank, with its number from 1. The text is yield's only until it returns.
func (s *Source) lines(yield func(line int, text []byte) error) error {
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	scanner := bufio.NewScanner(io.Reader(file))
	scanner.Buffer(make([]byte, 64<<10), maxLine)
	line := 0
	for scanner.Scan() {
		line++
		if text := bytes.TrimSpace(scanner.Bytes()); len(text) > 0 {
			if err := yield(line, text); err != nil {
				return err
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("%s, after line %d: %w", s.path, line, err)
	}
	return nil
}

// probed is how many lines Probe looks at.
const probed = 10

// Probe returns an error when there are several lines and none of the first has the foreign ID that path names: it is the path that
// is wrong then, and no line need be sent.
func (s *Source) Probe(path string) error {
	var fault error
	seen := 0
	err := s.lines(func(_ int, text []byte) error {
		seen++
		if _, fault = foreignID(text, path); fault == nil || seen == probed {
			return errSeen
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, errSeen):
		return err
	case fault == nil || seen == 1:
		return nil
	default:
		return fmt.Errorf("none of the first %d lines has a foreign ID: the object %w", seen, fault)
	}
}

var errSeen = errors.New("enough lines were seen")

var errNotJSON = errors.New("is not one JSON value")

// foreignID takes the foreign ID out of an object: the member that a dotted path such as "order.id" names, a text or a number.
func foreignID(object []byte, path string) (string, error) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber() // the digits as they are written
	var value any
	if err := decoder.Decode(&value); err != nil || !json.Valid(object) {
		return "", errNotJSON
	}
	for name := range strings.SplitSeq(path, ".") {
		members, ok := value.(map[string]any)
		if !ok {
			return "", fmt.Errorf("has no member %q: what holds it is not an object", path)
		}
		if value, ok = members[name]; !ok {
			return "", fmt.Errorf("has no member %q", path)
		}
	}
	switch id := value.(type) {
	case string:
		if id != "" {
			return id, nil
		}
		return "", fmt.Errorf("has an empty %q", path)
	case json.Number:
		return id.String(), nil
	}
	return "", fmt.Errorf("has a %q that is neither a text nor a number", path)
}
