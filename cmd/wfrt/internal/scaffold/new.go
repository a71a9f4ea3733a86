// Package scaffold writes the folder of a new plugin, and in it the SDK's source, so that it builds with Go alone.
package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/wfrt/wfrt"
)

//go:embed template
var templates embed.FS

// Errors that say why no folder was written.
var (
	// ErrName says that the name cannot name a plugin.
	ErrName = errors.New("is made of a–z, 0–9, '-' and '_', begins with a letter, and has at most 64 characters")
	// ErrNotEmpty says that the folder exists and holds something.
	ErrNotEmpty = errors.New("exists and is not empty")
)

// GoVersion is the oldest Go that builds a plugin, as go.mod writes it.
const GoVersion = "1.26.0"

// SDKDir is the folder in a plugin's own module that holds the SDK's source. The go command does not look into folders whose
// name begins with a dot unless told to, as the plugin's go.mod does.
const SDKDir = ".wfrt"

// New writes the folder dir, whose last element is the name of the plugin and of its workflow. It returns ErrName or
// ErrNotEmpty, wrapped with the name or the folder, and then has written nothing.
func New(dir string) error {
	name := filepath.Base(dir)
	if !regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`).MatchString(name) {
		return fmt.Errorf("%.80q is not a plugin's name, which %w", name, ErrName)
	}
	switch entries, err := os.ReadDir(dir); {
	case err == nil && len(entries) > 0:
		return fmt.Errorf("the folder %s %w", dir, ErrNotEmpty)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("scaffold: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // source code, for everyone who may read the folder above
		return fmt.Errorf("scaffold: %w", err)
	}
	all, err := template.ParseFS(templates, "template/*.tmpl")
	if err != nil {
		return fmt.Errorf("scaffold: %w", err)
	}
	words := struct{ Name, Title, Go, Module, SDKDir string }{
		Name: name, Title: strings.ToUpper(name[:1]) + name[1:], Go: GoVersion, Module: wfrt.Module, SDKDir: SDKDir,
	}
	for _, t := range all.Templates() {
		file := strings.TrimSuffix(t.Name(), ".tmpl")
		if file == "gitignore" {
			file = ".gitignore"
		}
		var content strings.Builder
		if err := t.Execute(&content, words); err != nil {
			return fmt.Errorf("scaffold: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content.String()), 0o644); err != nil { //nolint:gosec // source code
			return fmt.Errorf("scaffold: %w", err)
		}
	}
	return wfrt.WriteSDK(filepath.Join(dir, SDKDir))
}
