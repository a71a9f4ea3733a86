package config

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/wfrt/wfrt/host/signature"
)

// TrustedKeys are public keys of minisign, written as a list with commas: each is the key itself, or the path of a .pub file. The files
// are read when the configuration is.
type TrustedKeys []signature.Key

// String returns the keys as ParseTrustedKeys reads them.
func (keys TrustedKeys) String() string {
	texts := make([]string, len(keys))
	for i, key := range keys {
		texts[i] = key.String()
	}
	return strings.Join(texts, ", ")
}

// ParseTrustedKeys reads a list of keys. Its error continues the sentence "<key> <value> …".
func ParseTrustedKeys(list string) (TrustedKeys, error) {
	var keys TrustedKeys
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		content := text
		if strings.HasSuffix(text, ".pub") {
			var err error
			if content, err = readKeyFile(text); err != nil {
				return nil, fmt.Errorf("names a key file that cannot be read; %w", err)
			}
		}
		key, err := signature.ParseKey(content)
		if err != nil {
			return nil, fmt.Errorf("has a part, %.60q, that %w", text, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// readKeyFile returns what a .pub file holds, as far as it is of any use.
func readKeyFile(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(f, signature.MaxBytes))
	return string(content), err
}
