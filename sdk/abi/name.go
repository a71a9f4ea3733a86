package abi

import (
	"errors"
	"fmt"
)

// CheckName returns nil when name may name a workflow, a status or a handler, and else an error that continues the sentence
// "the name …".
func CheckName(name string) error {
	if name == "" {
		return errors.New("is empty")
	}
	if len(name) > MaxNameBytes {
		return fmt.Errorf("%.16q… has %d bytes; a name has at most %d", name, len(name), MaxNameBytes)
	}
	for _, r := range name {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		default:
			return fmt.Errorf("%q holds %q; a name is made of a–z, A–Z, 0–9, '-', '_' and '.'", name, r)
		}
	}
	return nil
}
