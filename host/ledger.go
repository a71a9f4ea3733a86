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
	Objects  map[string][]int `json:"objects,omitempty"` // by workflow: the versions of the objects of runs that go by what serves; see settle
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
	Keeps  bool           `json:"keeps,omitempty"` // an earlier one: the runs that are pinned to it stay with it; see settle
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

// mayHave notes that runs of a workflow which go by what serves may have objects of some version.
func (e *entry) mayHave(workflow string, objects int) {
	if slices.Contains(e.Objects[workflow], objects) {
		return
	}
	if e.Objects == nil {
		e.Objects = make(map[string][]int)
	}
	e.Objects[workflow] = slices.Sorted(slices.Values(append(slices.Clone(e.Objects[workflow]), objects)))
}

// settle notes which runs go by what serves from now on, and the versions of the objects that they may have. Where a workflow pins its
// runs they are none that begin, and an earlier definition keeps those that are pinned to it. Elsewhere they are all that begin, and those
// of earlier definitions whose objects are read: for good, as they soon have objects of what serves.
func (l *ledger) settle(serving []*runtime.Workflow) {
	for _, w := range serving {
		if w.Pinned {
			continue
		}
		l.mayHave(w.Name, l.supposed(w.Name, partOf{}))
		for i := range l.Older[w.Name] {
			if def := &l.Older[w.Name][i]; def.Keeps && !l.unread(w.Name, *def) {
				def.Keeps = false
				l.mayHave(w.Name, *def)
			}
		}
	}
}

// mixed returns the workflows of which a ledger has more versions of objects than settle would note of them without runs.
func (l *ledger) mixed(serving *runtime.Catalog) []string {
	var all []string
	for _, e := range l.Plugins {
		for workflow, had := range e.Objects {
			own, carries := e.carries(e.Active.Digest)[workflow]
			w := serving.Workflow(workflow)
			if w == nil || w.Pinned || !carries || !slices.Equal(had, []int{own}) {
				all = append(all, workflow)
			}
		}
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

// unreadOf returns the workflows of which there is an earlier definition, made of a module, whose objects may not be read.
func (l *ledger) unreadOf(p partOf) []string {
	var all []string
	for workflow, definitions := range l.Older {
		if slices.ContainsFunc(definitions, func(def definition) bool { return slices.Contains(def.Parts, p) && l.unread(workflow, def) }) {
			all = append(all, workflow)
		}
	}
	slices.Sort(all)
	return all
}

// mayHave notes that runs with objects that the modules of a definition wrote go by what serves.
func (l *ledger) mayHave(workflow string, def definition) {
	for _, p := range def.Parts {
		if e := l.Plugins[p.Plugin]; e != nil {
			if objects, known := e.carries(p.Digest)[workflow]; known {
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

// endTrial takes the canary of a plugin back. Its runs stay with it unless settle has them go by what serves. It comes after the earlier
// definitions: no other run goes by it.
func (l *ledger) endTrial(plugin string, end trialEnd) {
	e := l.Plugins[plugin]
	for workflow := range e.carries(end.Digest) {
		if len(l.supposed(workflow, partOf{}).Parts) == 0 {
			continue // it had no run
		}
		def := l.supposed(workflow, partOf{plugin, end.Digest})
		def.Keeps = true
		l.Older[workflow] = append(l.without(workflow, def.Digest), def)
	}
	e.Canary, e.Ended = nil, &end
}

// kept reports whether an earlier definition keeps the runs that are pinned to it.
func (l *ledger) kept(workflow string, d runtime.Digest) bool {
	return slices.ContainsFunc(l.Older[workflow], func(def definition) bool { return def.Digest == d && def.Keeps })
}

// drop removes a definition from the earlier ones.
func (l *ledger) drop(workflow string, d runtime.Digest) { l.Older[workflow] = l.without(workflow, d) }

func (l *ledger) without(workflow string, d runtime.Digest) []definition {
	return slices.DeleteFunc(slices.Clone(l.Older[workflow]), func(def definition) bool { return def.Digest == d })
}
