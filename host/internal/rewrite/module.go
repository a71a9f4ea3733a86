package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// module is an original module as far as it has been read, and what is to be added to it.
type module struct {
	granularity
	limits   Limits
	sections [sections][]byte // the original ones; nil: there is none
	names    []byte           // the content of the custom section "name", after its name

	types     []functionType
	added     []functionType    // the types that the rewrite needs besides; the first is that of the yield function
	results   map[string]uint32 // of a type without parameters in added: its index
	imports   int               // imported functions
	functions []uint32          // the type of each function, imported ones first
	tables    int
	globals   int
	elements  int
	data      int // −1: there is no data count section
	bodies    int // functions that code was found of

	mostEffort  int64 // to compile one of its functions
	effortTotal int64 // to compile all

	restorable   []Global
	originals    []int // the indices of the restorable globals
	unrestorable string
}

// functionType is the parameters and the results of a function, one byte for each type.
type functionType struct{ parameters, results []byte }

// split finds the sections of a binary.
func (m *module) split(raw []byte) error {
	if !bytes.HasPrefix(raw, preamble()) {
		return errors.New("it is not a WebAssembly module of version 1")
	}
	r := &reader{rest: raw[len(preamble()):]}
	for next := 0; len(r.rest) > 0; {
		id := sectionID(r.byte())
		content := r.bytes(r.u32())
		switch {
		case r.err != nil:
			return fmt.Errorf("a section of it %w", r.err)
		case id == customSection:
			custom := &reader{rest: content}
			if name := custom.name(); custom.err != nil {
				return fmt.Errorf("a custom section of it %w", custom.err)
			} else if name == "name" && m.names == nil {
				m.names = custom.rest
			}
		case id == tagSection:
			return unsupported("it has a section of tags", "exceptions")
		case id >= sections:
			return fmt.Errorf("it has a section of number %d, which is not of WebAssembly 2.0", id)
		case slices.Index(order(), id) < next:
			return fmt.Errorf("its %s section comes twice or too late", id)
		default:
			next = slices.Index(order(), id) + 1
			m.sections[id] = content
		}
	}
	return nil
}

// section returns the new content of a section; nil: there is none.
func (m *module) section(id sectionID) ([]byte, error) {
	r := &reader{rest: m.sections[id]}
	switch id {
	case typeSection, importSection, memorySection, globalSection, exportSection:
		if r.rest == nil {
			r.rest = []byte{0} // no entries
		}
	default:
		if r.rest == nil {
			return nil, nil
		}
	}
	if first := (&reader{rest: r.rest}).count(); first > maxEntries && id != startSection && id != dataCountSection {
		return nil, fmt.Errorf("its %s section has %d entries; the limit is %d", id, first, maxEntries)
	}
	var content []byte
	switch id {
	case typeSection:
		m.readTypes(r) // typeContent follows
	case importSection:
		content = m.importContent(r)
	case functionSection:
		content = m.functionContent(r)
	case tableSection:
		content = m.tableContent(r)
	case memorySection:
		content = m.memoryContent(r)
	case globalSection:
		content = m.globalContent(r)
	case exportSection:
		content = m.exportContent(r)
	case startSection:
		content = appendU32(nil, m.renumber(r.index(len(m.functions), "function")))
	case elementSection:
		content = m.elementContent(r)
	case dataCountSection:
		m.data = int(r.u32())
		content = appendU32(nil, m.data)
	case codeSection:
		content = m.codeContent(r)
	default:
		content = m.dataContent(r)
	}
	if err := r.end(); err != nil {
		return nil, sentence("its "+id.String()+" section", err)
	}
	return content, nil
}

// renumber returns the new index of a function.
func (m *module) renumber(function uint32) uint32 {
	if int(function) < m.imports {
		return function
	}
	return function + 1
}

// yieldFunction is the new index of the imported function.
func (m *module) yieldFunction() uint32 { return uint32(m.imports) }

// The indices of the globals that are added.
func (m *module) fuelGlobal() uint32  { return uint32(m.globals) }
func (m *module) depthGlobal() uint32 { return uint32(m.globals) + 1 }

func (m *module) cannotRestore(why string) {
	if m.unrestorable == "" {
		m.unrestorable = why
	}
}

func isNumeric(t byte) bool   { return t >= typeF64 && t <= typeI32 }
func isReference(t byte) bool { return t == typeFuncref || t == typeExternref }

// valueType reads the type of a value.
func (r *reader) valueType() byte {
	t := r.byte()
	if r.err == nil && !isNumeric(t) && t != typeV128 && !isReference(t) {
		r.fail(unsupported(fmt.Sprintf("has the type %#x of values", t), typeFeature(t)))
	}
	return t
}

func (r *reader) referenceType() byte {
	t := r.valueType()
	if r.err == nil && !isReference(t) {
		r.fail(clausef("has the type %#x where a reference should be", t))
	}
	return t
}

// limits reads the limits of a memory or a table.
func (r *reader) limits() (least, most uint32, bounded bool) {
	flags := r.byte()
	switch {
	case flags == 2, flags == 3:
		r.fail(unsupported("has a shared memory", "threads"))
	case flags >= 4 && flags <= 7:
		r.fail(unsupported("has addresses of 64 bits", "memory64"))
	case flags > 7:
		r.fail(unsupported(fmt.Sprintf("has limits with the flags %#x", flags), ""))
	}
	least = r.u32()
	if bounded = flags == 1; bounded {
		if most = r.u32(); r.err == nil && most < least {
			r.fail(clausef("has a least size, %d, greater than its maximum, %d", least, most))
		}
	}
	return least, most, bounded
}

func (m *module) readTypes(r *reader) {
	m.added = []functionType{{parameters: []byte{typeI32}}}
	values := func() []byte {
		n := r.count()
		types := r.rest[:n:n]
		for range n {
			r.valueType()
		}
		return types
	}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		if form := r.byte(); r.err == nil && form != typeFunction {
			r.fail(unsupported(fmt.Sprintf("has a type of the form %#x", form), typeFeature(form)))
		}
		m.types = append(m.types, functionType{parameters: values(), results: values()})
	}
}

// resultType returns the index of a type () → results.
func (m *module) resultType(results []byte) uint32 {
	index, ok := m.results[string(results)]
	if !ok {
		index = uint32(len(m.types) + len(m.added))
		m.added = append(m.added, functionType{results: results})
		m.results[string(results)] = index
	}
	return index
}

func (m *module) typeContent() []byte {
	out := appendU32(nil, len(m.types)+len(m.added))
	for _, types := range [][]functionType{m.types, m.added} {
		for i := range types {
			out = append(appendU32(append(out, typeFunction), len(types[i].parameters)), types[i].parameters...)
			out = append(appendU32(out, len(types[i].results)), types[i].results...)
		}
	}
	return out
}

// importContent adds the yield function after the functions that are imported.
func (m *module) importContent(r *reader) []byte {
	var list []byte
	for n := r.count(); n > 0 && r.err == nil; n-- {
		from, name, kind := r.name(), r.name(), r.byte()
		switch {
		case r.err != nil:
		case strings.HasPrefix(from, Prefix):
			r.fail(fmt.Errorf("it imports from %q; names that begin with %q are the server's", from, Prefix))
		case kind >= 1 && kind <= 3:
			what := [...]string{"table", "memory", "global"}[kind-1]
			r.fail(fmt.Errorf("it imports the %s %s.%s; a module has its own", what, from, name))
		case kind == 4:
			r.fail(unsupported(fmt.Sprintf("imports the tag %s.%s", from, name), "exceptions"))
		case kind != 0:
			r.fail(unsupported(fmt.Sprintf("imports %s.%s, of the kind %#x", from, name, kind), ""))
		}
		t := r.index(len(m.types), "type")
		m.functions = append(m.functions, t)
		list = appendU32(append(appendName(appendName(list, from), name), kind), t)
	}
	m.imports = len(m.functions)
	list = appendU32(append(appendName(appendName(list, HostModule), YieldFunction), 0), len(m.types))
	return append(appendU32(nil, m.imports+1), list...)
}

func (m *module) functionContent(r *reader) []byte {
	n := r.count()
	out := appendU32(make([]byte, 0, n+5), n)
	for ; n > 0 && r.err == nil; n-- {
		m.functions = append(m.functions, r.index(len(m.types), "type"))
		out = appendU32(out, m.functions[len(m.functions)-1])
	}
	size := 0
	for i := range m.types {
		size += 1 + len(m.types[i].parameters) + len(m.types[i].results)
	}
	if size*len(m.functions) > maxDeclared {
		r.fail(fmt.Errorf("it has %d functions and %d types of the size %d: too many to compile; the limit of functions × size is %d",
			len(m.functions), len(m.types), size, maxDeclared))
	}
	return out
}

func (m *module) tableContent(r *reader) []byte {
	m.tables = r.count()
	if m.tables > maxTables {
		r.fail(fmt.Errorf("it has %d tables; the limit is %d", m.tables, maxTables))
	}
	out := appendU32(nil, m.tables)
	each := uint32(maxTable / max(m.tables, 1))
	for range m.tables {
		if len(r.rest) > 0 && r.rest[0] == typeNone {
			r.fail(unsupported("has a table with an initialiser", "typed function references"))
		}
		element := r.referenceType()
		least, most, bounded := r.limits()
		if least > each {
			r.fail(fmt.Errorf("it has a table of %d elements; the limit is %d for each of %d tables", least, each, m.tables))
		}
		if !bounded || most > each {
			most = each
		}
		out = appendU32(appendU32(append(out, element, 1), least), most)
	}
	return out
}

func (m *module) memoryContent(r *reader) []byte {
	switch n := r.u32(); {
	case r.err != nil:
	case n == 0:
		r.fail(errors.New("it has no memory; a module has one of its own, and exports it as \"memory\""))
	case n > 1:
		r.fail(unsupported(fmt.Sprintf("has %d memories", n), "multiple memories"))
	}
	least, most, bounded := r.limits()
	switch {
	case r.err != nil:
	case least > maxPages || most > maxPages:
		r.fail(errors.New("it has a memory of more than 4 GiB"))
	case least > m.limits.MemoryPages:
		r.fail(fmt.Errorf("its memory begins with %d pages of 64 KiB; the limit is %d", least, m.limits.MemoryPages))
	}
	if !bounded || most > m.limits.MemoryPages {
		most = m.limits.MemoryPages
	}
	m.limits.MemoryPages = most
	return appendU32(appendU32([]byte{1, 1}, least), most)
}

// globalContent adds the fuel and the depth after the globals of the module.
func (m *module) globalContent(r *reader) []byte {
	var list []byte
	if m.globals = r.count(); m.globals > maxGlobals {
		r.fail(fmt.Errorf("it has %d globals; the limit is %d", m.globals, maxGlobals))
	}
	for n := range m.globals {
		if r.err != nil {
			return nil
		}
		t, mutable := r.valueType(), r.byte()
		switch {
		case mutable == 0 || r.err != nil:
		case mutable > 1:
			r.fail(unsupported(fmt.Sprintf("has a global with the flags %#x", mutable), ""))
		case isNumeric(t):
			m.restorable = append(m.restorable, Global{Export: Prefix + "g" + strconv.Itoa(len(m.restorable)), Type: t})
			m.originals = append(m.originals, n)
		case t == typeV128:
			m.cannotRestore("it has a mutable global of type v128")
		default:
			m.cannotRestore("it has a mutable global that is a reference")
		}
		list = m.appendConstant(append(list, t, mutable), r)
	}
	list = append(append(list, typeI64, 1, opI64Const, 0), opEnd)
	list = append(appendSigned(append(list, typeI64, 1, opI64Const), int64(m.limits.Depth)), opEnd)
	return append(appendU32(nil, m.globals+2), list...)
}

// appendConstant reads the expression of an initialiser or an offset, which is one instruction, and writes it.
func (m *module) appendConstant(out []byte, r *reader) []byte {
	op := r.byte()
	out = append(out, op)
	switch op {
	case opI32Const:
		out = appendSigned(out, r.signed(32))
	case opI64Const:
		out = appendSigned(out, r.signed(64))
	case opF32Const:
		out = append(out, r.bytes(4)...)
	case opF64Const:
		out = append(out, r.bytes(8)...)
	case opRefNull:
		out = append(out, r.referenceType())
	case opRefFunc:
		out = appendU32(out, m.renumber(r.index(len(m.functions), "function")))
	case opVector:
		if sub := r.u32(); r.err == nil && sub != vectorConst {
			r.fail(clause("has an initialiser that is not constant"))
		}
		out = append(append(out, vectorConst), r.bytes(16)...)
	case opGlobalGet:
		r.fail(clause("has an initialiser that reads a global; it may read imported ones only, and there are none"))
	default:
		if r.err == nil {
			r.fail(clause("has an initialiser that is not constant"))
		}
	}
	if end := r.byte(); r.err == nil && end != opEnd {
		r.fail(unsupported("has an initialiser of several instructions", "extended constants"))
	}
	return append(out, opEnd)
}

func (m *module) exportContent(r *reader) []byte {
	n := r.count()
	out := appendU32(nil, n+1+len(m.restorable))
	for ; n > 0 && r.err == nil; n-- {
		name, kind := r.name(), r.byte()
		if r.err == nil && strings.HasPrefix(name, Prefix) {
			r.fail(fmt.Errorf("its export %q begins with %q, which is the server's", name, Prefix))
		}
		out = append(appendName(out, name), kind)
		switch kind {
		case 0:
			out = appendU32(out, m.renumber(r.index(len(m.functions), "function")))
		case 1:
			out = appendU32(out, r.index(m.tables, "table"))
		case 2:
			out = appendU32(out, r.index(1, "memory"))
		case 3:
			out = appendU32(out, r.index(m.globals, "global"))
		case 4:
			r.fail(unsupported(fmt.Sprintf("exports the tag %q", name), "exceptions"))
		default:
			r.fail(unsupported(fmt.Sprintf("has the export %q, of the kind %#x", name, kind), ""))
		}
	}
	out = appendU32(append(appendName(out, FuelGlobal), 3), m.fuelGlobal())
	for i := range m.restorable {
		out = appendU32(append(appendName(out, m.restorable[i].Export), 3), m.originals[i])
	}
	return out
}

func (m *module) elementContent(r *reader) []byte {
	m.elements = r.count()
	out := appendU32(make([]byte, 0, len(m.sections[elementSection])+16), m.elements)
	elements := 0
	for range m.elements {
		if r.err != nil {
			return nil
		}
		flags := r.u32()
		if flags > 7 {
			r.fail(unsupported(fmt.Sprintf("has a segment with the flags %#x", flags), ""))
		}
		out = append(out, byte(flags))
		passive, explicit, expressions := flags&1 != 0, flags&2 != 0, flags&4 != 0
		if !passive {
			if explicit {
				out = appendU32(out, r.index(m.tables, "table"))
			}
			out = m.appendConstant(out, r)
		}
		if passive || explicit {
			if expressions {
				out = append(out, r.referenceType())
			} else if out = append(out, 0); r.byte() != 0 {
				r.fail(errMalformed)
			}
		}
		n := r.count()
		if elements += n; elements > maxTable {
			r.fail(fmt.Errorf("its segments have more than %d elements", maxTable))
		}
		for out = appendU32(out, n); n > 0 && r.err == nil; n-- {
			if expressions {
				out = m.appendConstant(out, r)
			} else {
				out = appendU32(out, m.renumber(r.index(len(m.functions), "function")))
			}
		}
	}
	return out
}

// nameContent renumbers the names of functions, which tell more than numbers in the trace of a trap. Other names are dropped, and
// all of them when something is wrong with the section, as it has no meaning.
func (m *module) nameContent() []byte {
	const ofModule, ofFunctions = 0, 1
	out := appendName(nil, "name")
	empty := len(out)
	for r := (&reader{rest: m.names}); len(r.rest) > 0; {
		id := r.byte()
		part := &reader{rest: r.bytes(r.u32())}
		var list []byte
		switch id {
		case ofModule:
			list = appendName(list, part.name())
		case ofFunctions:
			n := part.count()
			for list = appendU32(list, n); n > 0 && part.err == nil; n-- {
				list = appendU32(list, m.renumber(part.index(len(m.functions), "function")))
				list = appendName(list, part.name())
			}
		default:
			continue
		}
		if r.err != nil || part.end() != nil {
			return nil
		}
		out = append(appendU32(append(out, id), len(list)), list...)
	}
	if len(out) == empty {
		return nil
	}
	return out
}
