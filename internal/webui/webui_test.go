package webui

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// ask sends a request. headers are names and values in turn.
func ask(t *testing.T, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w
}

// each calls fn with every embedded file, by its path below static.
func each(t *testing.T, fn func(name, content string)) {
	t.Helper()
	n := 0
	err := fs.WalkDir(embedded, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(embedded, name)
		n++
		fn(strings.TrimPrefix(name, "static/"), string(content))
		return err
	})
	if err != nil || n < 20 {
		t.Fatalf("%d files: %v", n, err)
	}
}

func TestEveryFileIsServed(t *testing.T) {
	types := map[string]string{
		".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}
	tags := map[string]string{}
	each(t, func(name, content string) {
		target := Prefix + name
		w := ask(t, "GET", target)
		if w.Code != http.StatusOK || w.Body.String() != content || w.Header().Get("Content-Type") != types[path.Ext(name)] {
			t.Errorf("%s: %d with %d bytes of %s", target, w.Code, w.Body.Len(), w.Header().Get("Content-Type"))
		}
		tag := w.Header().Get("ETag")
		if other := tags[tag]; tag == "" || other != "" {
			t.Errorf("%s has the tag %s of %q", target, tag, other)
		}
		tags[tag] = target
		for _, known := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
			if again := ask(t, "GET", target, "If-None-Match", known); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
				t.Errorf("%s known as %s: %d with %d bytes", target, known, again.Code, again.Body.Len())
			}
		}
		if changed := ask(t, "GET", target, "If-None-Match", `"other"`); changed.Code != http.StatusOK {
			t.Errorf("%s known as another: %d", target, changed.Code)
		}
		if head := ask(t, "HEAD", target); head.Code != http.StatusOK || head.Body.Len() > 0 || head.Header().Get("ETag") != tag {
			t.Errorf("HEAD %s: %d with %d bytes", target, head.Code, head.Body.Len())
		}
	})
	if root := ask(t, "GET", "/"); root.Code != http.StatusOK || !strings.HasPrefix(root.Body.String(), "<!doctype html>") {
		t.Errorf("/: %d", root.Code)
	}
}

func TestHeadersKeepThePageToItsServer(t *testing.T) {
	for _, target := range []string{"/", Prefix + "app.js", Prefix + "style.css", Prefix + "icon.svg"} {
		h := ask(t, "GET", target).Header()
		for name, want := range map[string]string{
			"Cache-Control": "no-cache", "Cross-Origin-Opener-Policy": "same-origin", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
		policy := h.Get("Content-Security-Policy")
		for _, rule := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:", "frame-ancestors 'none'",
			"base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'",
		} {
			if !strings.Contains(policy+";", rule+";") {
				t.Errorf("%s: the policy lacks %q: %s", target, rule, policy)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %s", target, policy)
		}
	}
}

func TestWhatIsNotThere(t *testing.T) {
	for _, target := range []string{
		Prefix, Prefix + "nothing.js", Prefix + "views", Prefix + "views/", Prefix + "../webui.go", Prefix + "static/app.js", "/app.js", "/index.html", Prefix + "App.js",
	} {
		if w := ask(t, "GET", target); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

// Nothing is fetched from another host, and nothing is read as HTML or code, in no file.
func TestFilesReferToNoOtherHost(t *testing.T) {
	hosts := regexp.MustCompile(`(?i)\b(https?|wss?):?//[^\s"'` + "`" + `)<]*|["'(]//[a-z]`)
	parsed := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\(|new Function|srcdoc|style=|\.href = `)
	each(t, func(name, content string) {
		for _, address := range hosts.FindAllString(content, -1) {
			if address != "http://www.w3.org/2000/svg" { // a name, which nothing fetches
				t.Errorf("%s refers to %s", name, address)
			}
		}
		if found := parsed.FindString(content); found != "" {
			t.Errorf("%s has %s", name, found)
		}
	})
}

// Every import names a file that is there: there is no build step that would find out.
func TestImportsAreThere(t *testing.T) {
	imported := regexp.MustCompile(`(?m)^import .* from '([^']*)';$`)
	n := 0
	each(t, func(name, content string) {
		if strings.Count(content, "import ") != len(imported.FindAllString(content, -1)) && path.Ext(name) == ".js" {
			t.Errorf("%s has an import of another form", name)
		}
		for _, m := range imported.FindAllStringSubmatch(content, -1) {
			n++
			target := path.Join(path.Dir(name), m[1])
			if _, err := fs.Stat(embedded, "static/"+target); err != nil {
				t.Errorf("%s imports %s: %v", name, m[1], err)
			}
		}
	})
	if n < 50 {
		t.Errorf("%d imports were found", n)
	}
}

func TestAFileOfAnUnknownTypeIsRefused(t *testing.T) {
	if _, err := load(fstest.MapFS{"static/font.woff2": {Data: []byte("x")}}); err == nil || !strings.Contains(err.Error(), "font.woff2") {
		t.Errorf("the error is %v", err)
	}
}
