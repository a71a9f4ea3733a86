//go:build browser

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// attention is how long a tab waits for what must appear.
const attention = 20 * time.Second

// newBrowser starts Chromium, in which every name of the top-level domain example is this machine.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	command := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			command = found
			break
		}
	}
	if command == "" {
		t.Fatal("error: there is no Chromium\nhint: install it (Debian: apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(command),
		chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1"), chromedp.Flag("disable-dev-shm-usage", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's own needs another user
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// tab is a tab of the browser with the page of one server.
type tab struct {
	*testing.T
	ctx     context.Context //nolint:containedctx // a tab is one
	address string

	mu       sync.Mutex // guards troubles and expected
	troubles []string
	expected []string
}

// newTab opens a tab. At the end of its test no error may have come to its console but those that were expected.
func newTab(t *testing.T, browser context.Context, address string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	tb := &tab{T: t, ctx: ctx, address: address}
	if err := chromedp.Listen(ctx, tb.hear); err != nil {
		t.Fatal(err)
	}
	tb.do(chromedp.EmulateViewport(1300, 900))
	t.Cleanup(func() {
		cancel()
		tb.mu.Lock()
		defer tb.mu.Unlock()
		for _, trouble := range tb.troubles {
			if !holdsAny(trouble, tb.expected) {
				t.Errorf("the console has %s", trouble)
			}
		}
	})
	return tb
}

func holdsAny(text string, words []string) bool {
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// hear keeps what comes to the console.
func (tb *tab) hear(event any) {
	trouble := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		for _, arg := range e.Args {
			trouble += string(arg.Value) + " " + arg.Description
		}
	case *runtime.EventExceptionThrown:
		trouble = (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error()
	case *log.EventEntryAdded:
		trouble = fmt.Sprint(e.Entry.Level, ": ", e.Entry.Text, " ", e.Entry.URL)
	}
	if trouble != "" {
		tb.mu.Lock()
		defer tb.mu.Unlock()
		tb.troubles = append(tb.troubles, trouble)
	}
}

// expect allows the console messages that hold the text, such as those that the browser writes of an answer 409.
func (tb *tab) expect(text string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.expected = append(tb.expected, text)
}

func (tb *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	tb.Helper()
	if err := chromedp.Do(tb.ctx, actions...); err != nil {
		tb.Fatal(err)
	}
}

// show opens a view: "#/runs".
func (tb *tab) show(view string) {
	tb.Helper()
	tb.do(chromedp.Navigate(tb.address + "/" + view))
	tb.wait(`document.querySelector('main h1')`)
}

// wait returns once a JavaScript expression is true, which is looked at whenever the page or its address changes.
func (tb *tab) wait(expression string) {
	tb.Helper()
	look := fmt.Sprintf(`new Promise((resolve) => {
		const holds = () => { try { return Boolean(%s); } catch { return false; } };
		if (holds()) { resolve(true); return; }
		const end = (result) => { watch.disconnect(); removeEventListener('hashchange', look); clearTimeout(alarm); resolve(result); };
		const look = () => { if (holds()) end(true); };
		const watch = new MutationObserver(look);
		watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
		addEventListener('hashchange', look);
		const alarm = setTimeout(() => end(holds()), %d);
	})`, expression, attention.Milliseconds())
	held, err := chromedp.Run(tb.ctx, chromedp.Evaluate[bool](look, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.Fatal(err)
	}
	if !held {
		tb.Fatalf("never held: %s\nThe page at %s:\n%s", expression, tb.eval("location.hash"), tb.eval("document.body.innerText"))
	}
}

// waitText returns once the page's main part, or the dialog when one is open, has the text.
func (tb *tab) waitText(text string) {
	tb.Helper()
	tb.wait(fmt.Sprintf("(document.querySelector('dialog') ?? document.querySelector('main')).innerText.includes(%s)", quote(text)))
}

// eval returns the value of a JavaScript expression as text.
func (tb *tab) eval(expression string) string {
	tb.Helper()
	value, err := chromedp.Run(tb.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		tb.Fatal(err)
	}
	return value
}

// press presses a button or follows a link by its text, in the dialog when one is open: as one who has no mouse, with Enter.
func (tb *tab) press(text string) {
	tb.Helper()
	control := fmt.Sprintf(`[...(document.querySelector('dialog') ?? document).querySelectorAll('button, a')]
		.find((control) => control.textContent === %s && !control.disabled && control.getClientRects().length > 0)`, quote(text))
	tb.wait(fmt.Sprintf("(() => { const control = %s; control.focus(); return document.activeElement === control; })()", control))
	tb.do(chromedp.KeyEvent(kb.Enter))
}

// enter replaces what the control of a label has by what is typed, and ends with keys.
func (tb *tab) enter(label, text string, keys ...string) {
	tb.Helper()
	tb.wait(fmt.Sprintf(`(() => {
		const scope = document.querySelector('dialog') ?? document;
		const label = [...scope.querySelectorAll('label')].find((label) => label.textContent === %s);
		label.control.focus();
		label.control.select?.();
		return document.activeElement === label.control;
	})()`, quote(label)))
	tb.do(chromedp.KeyEvent(text))
	for _, key := range keys {
		tb.do(chromedp.KeyEvent(key))
	}
}

// quote writes a string as JavaScript does.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil { // a string always encodes
		panic(err)
	}
	return string(quoted)
}
