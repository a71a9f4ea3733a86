package host

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// keepVersions is how many versions of a plugin are kept for a rollback, also when no run needs them.
const keepVersions = 10

// ledgerName is the document that holds the ledger; ledgerFormat the version of docs/formats.md that this code writes.
const (
	ledgerName   = "plugins"
	ledgerFormat = 1
)

// ledger is what a host knows of its plugins from one start to the next: the truth about what serves, whatever lies in the
// plugins directory. A change makes a clone, which takes the place of the old one when it is durable.
type ledger struct {
	Format  int                     `json:"format"`
	Plugins map[string]*entry       `json:"plugins"`         // by name
	Older   map[string][]definition `json:"older,omitempty"` // by workflow: earlier definitions that runs may need, the newest first
}

// entry is one plugin.
type entry struct {
	Active   activation       `json:"active,omitzero"`   // what serves; zero: nothing does
	Canary   *trialEntry      `json:"canary,omitempty"`  // what is on trial
	Ended    *trialEnd        `json:"ended,omitempty"`   // the last trial that ended without a promotion
	Seen     runtime.Digest   `json:"seen,omitzero"`     // what lay in the directory when the file was last dealt with
	Objects  map[string][]int `json:"objects,omitempty"` // by workflow: the versions of objects that runs may have, beside that of what serves
	Versions []version        `json:"versions"`          // in the order in which they last began to serve; each digest once
}

// activation is a module that began to serve.
type activation struct {
	Digest runtime.Digest `json:"digest"`
	At     time.Time      `json:"at"`
	How    How            `json:"how"`
	By     string         `json:"by,omitempty"`
}

// trialEntry is a module that a share of the new runs begins on.
type trialEntry struct {
	Digest runtime.Digest `json:"digest"`
	Share  float64        `json:"share"`
	At     time.Time      `json:"at"`
	By     string         `json:"by,omitempty"`
}

// trialEnd is a trial that ended without a promotion.
type trialEnd struct {
	Digest runtime.Digest `json:"digest"`
	At     time.Time      `json:"at"`
	Cause  string         `json:"cause"`
}

// version is a module that a plugin has had.
type version struct {
	Digest     runtime.Digest   `json:"digest"`
	Size       int64            `json:"size"`
	Version    string           `json:"version,omitempty"` // as its author says
	SDK        string           `json:"sdk,omitempty"`
	DeployedAt time.Time        `json:"deployed_at"`
	How        How              `json:"how"`
	By         string           `json:"by,omitempty"`
	Workflows  map[string]int   `json:"workflows,omitempty"` // that it carries a part of, each with the version of its objects
	Reads      map[string][]int `json:"reads,omitempty"`     // by workflow: the versions of other objects that it reads
}

// definition is which modules make a definition of a workflow.
type definition struct {
	Digest runtime.Digest `json:"digest"`
	Parts  []partOf       `json:"parts"`
	Keeps  bool           `json:"keeps,omitempty"` // an earlier one: the runs pinned to it stay, as what serves does not read their objects
}

// partOf names a module of a plugin.
type partOf struct {
	Plugin string         `json:"plugin"`
	Digest runtime.Digest `json:"digest"`
}

func (p partOf) compare(other partOf) int {
	return cmp.Or(strings.Compare(p.Plugin, other.Plugin), bytes.Compare(p.Digest[:], other.Digest[:]))
}

func newLedger() *ledger {
	return &ledger{Format: ledgerFormat, Plugins: map[string]*entry{}, Older: map[string][]definition{}}
}

// decodeLedger reads what encode wrote.
func decodeLedger(raw []byte) (*ledger, error) {
	l := newLedger()
	if err := json.Unmarshal(raw, l); err != nil {
		return nil, fmt.Errorf("host: the document %q of the store is damaged: restore a backup: %w", ledgerName, err)
	}
	if l.Format != ledgerFormat {
		return nil, fmt.Errorf("host: the document %q of the store has format %d, and this wfrt knows %d: run the wfrt that wrote it, "+
			"or a newer one", ledgerName, l.Format, ledgerFormat)
	}
	for name, e := range l.Plugins {
		if e == nil {
			delete(l.Plugins, name)
		}
	}
	return l, nil
}

func (l *ledger) encode() []byte {
	raw, err := json.Marshal(l)
	if err != nil { // strings, numbers and times of this century always encode
		panic(err)
	}
	return raw
}

// clone returns a copy that shares nothing with l.
func (l *ledger) clone() *ledger {
	c := newLedger()
	for name, e := range l.Plugins {
		copied := *e
		copied.Versions = slices.Clone(e.Versions)
		copied.Objects = maps.Clone(e.Objects) // a list is never changed in place
		c.Plugins[name] = &copied              // a trial is never changed in place
	}
	for workflow, definitions := range l.Older {
		c.Older[workflow] = slices.Clone(definitions) // nor are the parts of a definition
	}
	return c
}

// entry returns the entry of a plugin, made if need be.
func (l *ledger) entry(plugin string) *entry {
	if l.Plugins[plugin] == nil {
		l.Plugins[plugin] = &entry{}
	}
	return l.Plugins[plugin]
}

// active returns the digest of what serves for a plugin; zero for nothing.
func (l *ledger) active(plugin string) runtime.Digest {
	if e := l.Plugins[plugin]; e != nil {
		return e.Active.Digest
	}
	return runtime.Digest{}
}

// mayHave notes that runs of a workflow may have objects of some version.
func (e *entry) mayHave(workflow string, objects int) {
	if slices.Contains(e.Objects[workflow], objects) {
		return
	}
	if e.Objects == nil {
		e.Objects = make(map[string][]int)
	}
	e.Objects[workflow] = slices.Sorted(slices.Values(append(slices.Clone(e.Objects[workflow]), objects)))
}

// leave notes the objects that runs may have of what serves, before v takes its place.
func (e *entry) leave(v *version) {
	for workflow, objects := range e.carries(e.Active.Digest) {
		if next, carries := v.Workflows[workflow]; !carries || next != objects {
			e.mayHave(workflow, objects)
		}
	}
}

// mixed returns the workflows whose runs may have objects of other versions than that of what serves.
func (l *ledger) mixed() []string {
	var all []string
	for _, e := range l.Plugins {
		all = slices.AppendSeq(all, maps.Keys(e.Objects))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// empty notes that a workflow has no runs.
func (l *ledger) empty(workflow string) {
	for _, e := range l.Plugins {
		delete(e.Objects, workflow)
	}
}

// activate has a version serve. It becomes the newest of the list, and the trial of it, if there is one, is over.
func (e *entry) activate(v *version, a activation) {
	e.add(v)
	e.Active = a
	if e.Canary != nil && e.Canary.Digest == a.Digest {
		e.Canary = nil
	}
}

// add puts a version at the end of the list; one that is known keeps what is said of its first deployment.
func (e *entry) add(v *version) {
	kept := *v
	if at := e.index(v.Digest); at >= 0 {
		kept = e.Versions[at]
		kept.Workflows, kept.Reads = v.Workflows, v.Reads
		e.Versions = slices.Delete(e.Versions, at, at+1)
	}
	e.Versions = append(e.Versions, kept)
}

func (e *entry) index(d runtime.Digest) int {
	return slices.IndexFunc(e.Versions, func(v version) bool { return v.Digest == d })
}

// previous returns the version that served before the active one, or nil.
func (e *entry) previous() *version {
	for i := len(e.Versions) - 1; i >= 0; i-- {
		v := &e.Versions[i]
		if v.Digest != e.Active.Digest && (e.Canary == nil || v.Digest != e.Canary.Digest) {
			return v
		}
	}
	return nil
}

// carries returns the workflows of a version, each with the version of its objects, as far as the ledger has them.
func (e *entry) carries(d runtime.Digest) map[string]int {
	if at := e.index(d); at >= 0 {
		return e.Versions[at].Workflows
	}
	return nil
}

// reads reports whether a version of the plugin is known to read objects of some version.
func (e *entry) reads(d runtime.Digest, workflow string, objects int) bool {
	at := e.index(d)
	if at < 0 {
		return false
	}
	own, carries := e.Versions[at].Workflows[workflow]
	return carries && (own == objects || slices.Contains(e.Versions[at].Reads[workflow], objects))
}

// unread reports whether a definition may have written objects that what serves in the place of its modules does not read.
func (l *ledger) unread(workflow string, def definition) bool {
	return slices.ContainsFunc(def.Parts, func(p partOf) bool {
		e := l.Plugins[p.Plugin]
		if e == nil {
			return true
		}
		objects, known := e.carries(p.Digest)[workflow]
		return e.Active.Digest != p.Digest && (!known || !e.reads(e.Active.Digest, workflow, objects))
	})
}

// free has the runs of earlier definitions that keep them go by what serves, where that reads their objects now.
func (l *ledger) free() {
	for workflow, definitions := range l.Older {
		for i := range definitions {
			if def := &definitions[i]; def.Keeps && !l.unread(workflow, *def) {
				def.Keeps = false
				l.mayHave(workflow, *def)
			}
		}
	}
}

// mayHave notes that runs of a definition, with objects that its modules wrote, go by what serves.
func (l *ledger) mayHave(workflow string, def definition) {
	for _, p := range def.Parts {
		if e := l.Plugins[p.Plugin]; e != nil && e.Active.Digest != p.Digest {
			if objects, known := e.carries(p.Digest)[workflow]; known && objects != e.carries(e.Active.Digest)[workflow] {
				e.mayHave(workflow, objects)
			}
		}
	}
}

// needs reports whether an earlier definition is made of this module of the plugin.
func (l *ledger) needs(plugin string, d runtime.Digest) bool {
	for _, definitions := range l.Older {
		for _, def := range definitions {
			if slices.Contains(def.Parts, partOf{plugin, d}) {
				return true
			}
		}
	}
	return false
}

// prune forgets the versions that nothing needs and that are not among the newest keepVersions, and the plugins of which
// nothing is left.
func (l *ledger) prune() {
	for name, e := range l.Plugins {
		old := max(0, len(e.Versions)-keepVersions)
		kept := slices.DeleteFunc(slices.Clone(e.Versions[:old]), func(v version) bool {
			return v.Digest != e.Active.Digest && (e.Canary == nil || e.Canary.Digest != v.Digest) && !l.needs(name, v.Digest)
		})
		e.Versions = append(kept, e.Versions[old:]...)
		if e.Active == (activation{}) && e.Seen == (runtime.Digest{}) && e.Canary == nil && len(e.Versions) == 0 {
			delete(l.Plugins, name)
		}
	}
	for workflow, definitions := range l.Older {
		if len(definitions) == 0 {
			delete(l.Older, workflow)
		}
	}
}

// digests returns those of all versions.
func (l *ledger) digests() map[runtime.Digest]bool {
	all := make(map[runtime.Digest]bool)
	for _, e := range l.Plugins {
		for i := range e.Versions {
			all[e.Versions[i].Digest] = true
		}
	}
	return all
}

// loaded returns the modules that have to be loaded: those that serve, those on trial and those of earlier definitions.
func (l *ledger) loaded() map[partOf]bool {
	all := make(map[partOf]bool)
	for name, e := range l.Plugins {
		if e.Active.Digest != (runtime.Digest{}) {
			all[partOf{name, e.Active.Digest}] = true
		}
		if e.Canary != nil {
			all[partOf{name, e.Canary.Digest}] = true
		}
	}
	for _, definitions := range l.Older {
		for _, def := range definitions {
			for _, p := range def.Parts {
				all[p] = true
			}
		}
	}
	return all
}

// servesAs reports whether the catalogs of both ledgers are the same.
func (l *ledger) servesAs(other *ledger) bool {
	shape := func(l *ledger) string {
		c := l.clone()
		for name, e := range c.Plugins {
			c.Plugins[name] = &entry{Active: activation{Digest: e.Active.Digest}, Canary: e.Canary}
			if e.Active == (activation{}) {
				delete(c.Plugins, name)
			}
		}
		return string(c.encode())
	}
	return shape(l) == shape(other)
}

// keep puts a definition before the earlier ones of its workflow, once.
func (l *ledger) keep(workflow string, def definition) {
	l.Older[workflow] = append([]definition{def}, l.without(workflow, def.Digest)...)
}

// drop removes a definition from the earlier ones.
func (l *ledger) drop(workflow string, d runtime.Digest) { l.Older[workflow] = l.without(workflow, d) }

func (l *ledger) without(workflow string, d runtime.Digest) []definition {
	return slices.DeleteFunc(slices.Clone(l.Older[workflow]), func(def definition) bool { return def.Digest == d })
}
