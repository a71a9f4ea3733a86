package host

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Sections (WebAssembly 2.0, section 5.5.2).
const (
	customSection = 0
	tableSection  = 4
	startSection  = 8
	codeSection   = 10
)

// maxLocals is how many locals a function may have: as many as browsers allow.
const maxLocals = 50_000

// Limits of tables. Each element takes eight bytes of the host's memory, which no memory limit counts.
const (
	maxTable  = 1 << 20 // elements of one
	maxTables = 8       // of a module
)

// instrument rewrites a module for the sandbox. What it does now is to give every table a maximum: the engine's own would let
// table.grow take 32 GiB. It also refuses counts by which a few bytes make the compiler allocate without end. REQUIRES:
// checkSections(raw) == nil. What else is malformed it leaves to the compiler to refuse.
func instrument(raw []byte) ([]byte, error) {
	bounded := append(make([]byte, 0, len(raw)+64), raw[:8]...)
	for at := 8; at < len(raw); {
		size, n := uleb32(raw[at+1:])
		end := at + 1 + n + int(size)
		id, content := raw[at], raw[at+1+n:end]
		at = end
		if err := checkCounts(id, content); err != nil {
			return nil, err
		}
		if id == tableSection {
			tables, err := boundTables(content)
			if err != nil {
				return nil, err
			}
			content = tables
		}
		bounded = binary.AppendUvarint(append(bounded, id), uint64(len(content)))
		bounded = append(bounded, content...)
	}
	return bounded, nil
}

// checkCounts refuses a section that claims more entries than it has bytes, and a function of too many locals.
func checkCounts(id byte, section []byte) error {
	if id == customSection || id == startSection || id > codeSection+1 {
		return nil
	}
	count, n := uleb32(section)
	if n <= 0 || uint64(count) > uint64(len(section)-n) {
		return fmt.Errorf("its section %d claims %d entries and has %d bytes", id, count, len(section))
	}
	if id != codeSection {
		return nil
	}
	for section = section[n:]; count > 0; count-- {
		size, n := uleb32(section)
		if n <= 0 || uint64(size) > uint64(len(section)-n) {
			return errors.New("its code section is malformed")
		}
		if err := checkLocals(section[n : n+int(size)]); err != nil {
			return err
		}
		section = section[n+int(size):]
	}
	return nil
}

// checkLocals reads the groups of locals that a function's code begins with: each a number and a type of one byte.
func checkLocals(body []byte) error {
	groups, n := uleb32(body)
	var sum uint64
	for ; groups > 0 && n > 0; groups-- {
		body = body[n:]
		var number uint32
		if number, n = uleb32(body); n > 0 && n < len(body) {
			sum, n = sum+uint64(number), n+1
		} else {
			n = 0
		}
	}
	if n <= 0 {
		return errors.New("its code section is malformed")
	}
	if sum > maxLocals {
		return fmt.Errorf("it has a function of %d locals; the limit is %d", sum, maxLocals)
	}
	return nil
}

// boundTables rewrites the content of a table section (WebAssembly 2.0, section 5.5.7), or returns it as it is when it is malformed.
func boundTables(original []byte) ([]byte, error) {
	section := original
	number := func() uint32 {
		v, n := uleb32(section)
		if n <= 0 {
			section = nil
			return 0
		}
		section = section[n:]
		return v
	}
	count := number()
	if count > maxTables {
		return nil, fmt.Errorf("it has %d tables; the limit is %d", count, maxTables)
	}
	bounded := binary.AppendUvarint(nil, uint64(count))
	for range count {
		if len(section) < 3 || section[1] > 1 {
			return original, nil
		}
		element, hasMaximum := section[0], section[1] == 1
		section = section[2:]
		least, most := number(), uint32(maxTable)
		if hasMaximum {
			most = min(most, number())
		}
		if section == nil {
			return original, nil
		}
		if least > maxTable {
			return nil, fmt.Errorf("it has a table of %d elements; the limit is %d", least, maxTable)
		}
		bounded = append(bounded, element, 1)
		bounded = binary.AppendUvarint(bounded, uint64(least))
		bounded = binary.AppendUvarint(bounded, uint64(most))
	}
	return bounded, nil
}
