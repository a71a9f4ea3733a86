// Package webui is the web page: one HTML document, one stylesheet and ES modules, which the binary carries as they are written.
// There is no build step. The page talks to the server that serves it, over the public HTTP API, and to no other.
//
// The way through static/:
//
//	index.html   the frame: navigation, the place of the view, the place of messages
//	style.css    all styles, light and dark
//	app.js       from the address to the view
//	api.js       requests, problems, the token
//	events.js    the stream of events, read with fetch, since EventSource cannot send a token
//	parts/       what views are made of: elements, dialogs, filters, tables, a graph
//	views/       one file for each page
package webui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed static
var embedded embed.FS

// Prefix is the path under which everything lies but the document itself, which is at "/".
const Prefix = "/ui/"

// policy lets the page load from its own server only, forbids other sites to frame it, and refuses to make elements or code of
// text (https://www.w3.org/TR/CSP3/, https://w3c.github.io/trusted-types/dist/spec/).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// file is one file as it is served.
type file struct {
	contentType string
	tag         string // the ETag: the beginning of its SHA-256
	body        []byte
}

// Handler returns what serves the page at "/" and its files below Prefix. Nothing in it is secret: it needs no token. It panics
// when the binary carries a file of an unknown type.
func Handler() http.Handler {
	files, err := load(embedded)
	if err != nil { // a fault of the build, which the tests would have found
		panic(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, Prefix)
		if r.URL.Path == "/" {
			name = "index.html"
		}
		f, ok := files[name]
		if !ok {
			http.Error(w, "there is nothing at "+strconv.Quote(r.URL.Path), http.StatusNotFound)
			return
		}
		f.serve(w, r)
	})
}

// serve answers with the file, or says that the client has it already.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache") // to be asked for each time, and mostly answered with 304
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("ETag", f.tag)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	for tag := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag == f.tag || tag == "*" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(f.body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(f.body) // a client that is gone needs no answer
	}
}

// load reads every file below static, by its path there.
func load(from fs.FS) (map[string]*file, error) {
	types := map[string]string{
		".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}
	files := map[string]*file{}
	err := fs.WalkDir(from, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		contentType, ok := types[path.Ext(name)]
		if !ok {
			return fmt.Errorf("webui: %s has an unknown type", name)
		}
		body, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		files[strings.TrimPrefix(name, "static/")] = &file{contentType, `"` + hex.EncodeToString(sum[:16]) + `"`, body}
		return nil
	})
	return files, err
}
