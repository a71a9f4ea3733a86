package signature

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"
)

// pair returns a key pair.
func pair(t testing.TB) (Key, minisign.PrivateKey) {
	t.Helper()
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey(public.String())
	if err != nil {
		t.Fatal(err)
	}
	return key, private
}

func TestOnlyASignatureOfATrustedKeyOverTheSameBytesIsAccepted(t *testing.T) {
	mine, secret := pair(t)
	other, otherSecret := pair(t)
	module := []byte("\x00asm and so on")
	signed := minisign.Sign(secret, module)
	changedComment := bytes.Replace(signed, []byte("trusted comment: "), []byte("trusted comment: not "), 2)
	changedComment = bytes.Replace(changedComment, []byte("untrusted comment: not "), []byte("untrusted comment: "), 1)
	for name, c := range map[string]struct {
		raw, sig []byte
		keys     []Key
		want     error
		says     []string
	}{
		"trusted":                 {module, signed, []Key{mine}, nil, nil},
		"one of several":          {module, signed, []Key{other, mine}, nil, nil},
		"without keys":            {module, nil, nil, nil, nil},
		"without keys, nonsense":  {module, []byte("?"), nil, nil, nil},
		"no signature":            {module, nil, []Key{mine, other}, ErrUnsigned, []string{mine.ID(), other.ID()}},
		"another key":             {module, minisign.Sign(otherSecret, module), []Key{mine}, ErrUntrusted, []string{other.ID(), mine.ID()}},
		"other bytes":             {append(bytes.Clone(module), 0), signed, []Key{mine}, ErrMismatch, []string{mine.ID()}},
		"no bytes":                {nil, signed, []Key{mine}, ErrMismatch, []string{mine.ID()}},
		"trusted comment changed": {module, changedComment, []Key{mine}, ErrMismatch, []string{mine.ID()}},
		"cut off":                 {module, signed[:len(signed)/2], []Key{mine}, ErrMalformed, nil},
		"huge":                    {module, make([]byte, MaxBytes+1), []Key{mine}, ErrMalformed, []string{"16384 bytes"}},
		"empty file":              {module, []byte{}, []Key{mine}, ErrUnsigned, nil},
	} {
		err := Verify(c.raw, c.sig, c.keys)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
			continue
		}
		for _, piece := range c.says {
			if !strings.Contains(err.Error(), piece) {
				t.Errorf("%s: %v, want it to name %s", name, err, piece)
			}
		}
	}
}

// TestAKeyWithTheNumberOfAnotherIsNotTakenForIt: the number of a key is not protected, anybody may choose one.
func TestAKeyWithTheNumberOfAnotherIsNotTakenForIt(t *testing.T) {
	mine, _ := pair(t)
	_, theirs := pair(t)
	var s minisign.Signature
	if err := s.UnmarshalText(minisign.Sign(theirs, []byte("m"))); err != nil {
		t.Fatal(err)
	}
	s.KeyID = mine.public.ID()
	if err := Verify([]byte("m"), []byte(s.String()), []Key{mine}); !errors.Is(err, ErrMismatch) {
		t.Errorf("%v, want ErrMismatch", err)
	}
}

func TestKeysAreReadAsMinisignWritesThem(t *testing.T) {
	key, _ := pair(t)
	file, err := key.public.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{key.String(), " " + key.String() + "\n", string(file), string(file) + "\r\n"} {
		if got, err := ParseKey(text); err != nil || got.String() != key.String() {
			t.Errorf("ParseKey(%q) is %v, %v; want %v", text, got, err, key)
		}
	}
	for _, text := range []string{"", "RWQ", key.String()[1:], key.String() + key.String(), "untrusted comment: x"} {
		if got, err := ParseKey(text); err == nil {
			t.Errorf("ParseKey(%q) is %v; want an error", text, got)
		}
	}
	if !strings.Contains(string(file), key.ID()) {
		t.Errorf("the number %s is not the one that minisign shows: %s", key.ID(), file)
	}
}

// TestTheStockToolSigns holds what docs/signatures.md tells people to do against the minisign of the machine, where there is one.
func TestTheStockToolSigns(t *testing.T) {
	tool, err := exec.LookPath("minisign")
	if err != nil {
		t.Log("no minisign on the PATH: only the library's own signatures were tested")
		return
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(tool, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("minisign %v: %v\n%s", args, err, out)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	module := []byte("\x00asm\x01\x00\x00\x00")
	if err := os.WriteFile(filepath.Join(dir, "orders.wasm"), module, 0o600); err != nil {
		t.Fatal(err)
	}
	run("-G", "-W", "-p", "release.pub", "-s", "release.key")
	key, err := ParseKey(string(read("release.pub")))
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range [][]string{{}, {"-l"}, {"-t", strings.Repeat("long ", 100)}} {
		run(append([]string{"-S", "-s", "release.key", "-m", "orders.wasm"}, how...)...)
		if err := Verify(module, read("orders.wasm"+Extension), []Key{key}); err != nil {
			t.Errorf("signed with %.40q: %v", how, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	key, secret := pair(f)
	module := []byte("\x00asm")
	f.Add(minisign.Sign(secret, module), module)
	f.Add(minisign.Sign(secret, module), []byte("\x00asn"))
	f.Add([]byte("untrusted comment: \n\ntrusted comment: \n"), module)
	f.Fuzz(func(t *testing.T, sig, raw []byte) {
		if !bytes.Equal(raw, module) && Verify(raw, sig, []Key{key}) == nil {
			t.Errorf("%q is accepted for %q, which nobody signed", sig, raw)
		}
	})
}
