// Package signature holds what says whose module a file is: minisign signatures (https://jedisct1.github.io/minisign), and the
// public keys that an operator trusts.
package signature

import (
	"errors"
	"fmt"
	"strings"

	"aead.dev/minisign"
)

// Extension ends the name of a signature: that of orders.wasm is orders.wasm.minisig, beside it.
const Extension = ".minisig"

// MaxBytes is more than the longest signature that minisign writes, in bytes.
const MaxBytes = 16 << 10

// Why a module is not trusted.
var (
	// ErrUnsigned says that there is no signature.
	ErrUnsigned = errors.New("it is not signed")
	// ErrMalformed says that what should be a signature is none.
	ErrMalformed = errors.New("its signature is none that minisign writes")
	// ErrUntrusted says that the key that signed is not among the trusted ones.
	ErrUntrusted = errors.New("its signature is of a key that is not trusted")
	// ErrMismatch says that a trusted key signed other bytes, or that the signature was tampered with.
	ErrMismatch = errors.New("its signature does not fit it")
)

// Key is a public key. The zero value trusts nobody.
type Key struct{ public minisign.PublicKey }

// ParseKey reads a public key as minisign writes it: one line of base64, or the content of a .pub file with its comment.
func ParseKey(text string) (Key, error) {
	var k Key
	if err := k.public.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return Key{}, errors.New("is no public key of minisign; `minisign -G` makes a pair, and the last line of its .pub file is the key")
	}
	return k, nil
}

// ID returns the key's number as minisign shows it, in hexadecimal digits.
func (k Key) ID() string { return fmt.Sprintf("%X", k.public.ID()) }

// String returns the key as one line of base64, which ParseKey reads.
func (k Key) String() string { return k.public.String() }

// Verify returns nil when one of the keys signed exactly the bytes of raw; with no keys everybody is trusted, and it returns nil
// too. sig is the whole content of the signature file; nil is none. Its errors wrap one of the sentinels above, and name the key
// that signed and those that are trusted.
//
// It is to be called in every act that brings a module into service, before anything else looks at the module, and with the same
// slice that is compiled afterwards, never with a second reading of the file:
//
//   - a file of the plugins directory that is new or has changed (Host.Load), or that is only looked at (Host.Check)
//   - an upload, before it is put into the store of modules; the signature is stored beside the module
//   - a module that is taken out of the store, at a start, a rollback or the promotion of a canary, with the signature stored
//     beside it: a key that is no longer trusted brings nothing back
//
// A module that serves goes on until the server ends, whatever is trusted meanwhile.
func Verify(raw, sig []byte, keys []Key) error {
	switch {
	case len(keys) == 0:
		return nil
	case len(sig) == 0:
		return fmt.Errorf("%w; trusted: %s", ErrUnsigned, IDs(keys))
	case len(sig) > MaxBytes:
		return fmt.Errorf("%w: it has more than %d bytes", ErrMalformed, MaxBytes)
	}
	var s minisign.Signature
	if err := s.UnmarshalText(sig); err != nil {
		return fmt.Errorf("%w: %s", ErrMalformed, strings.TrimPrefix(err.Error(), "minisign: "))
	}
	known := false
	for _, k := range keys {
		if k.public.ID() != s.KeyID {
			continue
		}
		known = true
		if minisign.Verify(k.public, raw, sig) {
			return nil
		}
	}
	if known {
		return fmt.Errorf("%w: key %X signed other bytes, or a part of the signature was changed", ErrMismatch, s.KeyID)
	}
	return fmt.Errorf("%w: key %X signed it; trusted: %s", ErrUntrusted, s.KeyID, IDs(keys))
}

// IDs names keys for people: their numbers, separated by commas.
func IDs(keys []Key) string {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID()
	}
	return strings.Join(ids, ", ")
}
