package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ActionKind says what becomes of a message. Zero: nothing.
type ActionKind uint8

// Action kinds.
const (
	ActionNone     ActionKind = 0
	ActionTrigger  ActionKind = 1 // begins a run
	ActionCallback ActionKind = 2 // is input for a run that waits
)

// Action is what becomes of one message.
type Action struct {
	Kind      ActionKind
	Workflow  string
	ForeignID string
	Status    string // of a trigger where the run begins, empty: the workflow's start; of a callback the status that takes it
	Object    []byte // of a trigger one JSON value, empty: null; of a callback the payload
}

// Mapping makes an action of each message by rule. It is immutable.
type Mapping struct {
	Kind       ActionKind // ActionTrigger or ActionCallback
	Workflow   string
	ForeignID  Field
	Object     Field // zero: the value
	Status     string
	StatusFrom Field // zero: Status
}

// Field names a part of a message: of a kind that ParseField knows. The zero Field names none.
type Field struct {
	part string   // "key", "value" or "header"; "" for none
	path []string // of a value the members to go down; of a header its name
}

// IsZero reports whether the field names nothing.
func (f Field) IsZero() bool { return f.part == "" }

// ParseField reads the name of a field: "key", "value", "header.NAME", or "value.a.b" for the member b of the member a of a value that
// is JSON.
func ParseField(text string) (Field, error) {
	part, rest, deeper := strings.Cut(text, ".")
	f := Field{part: part}
	switch {
	case part == "key" && !deeper, part == "value" && !deeper:
		return f, nil
	case part == "header" && rest != "":
		f.path = []string{rest}
		return f, nil
	case part == "value":
		f.path = strings.Split(rest, ".")
		for _, name := range f.path {
			if name == "" {
				return Field{}, fmt.Errorf("%.80q has an empty member", text)
			}
		}
		return f, nil
	}
	return Field{}, fmt.Errorf("%.80q is not a part of a message: write key, value, value.MEMBER or header.NAME", text)
}

// String returns the field's name as ParseField reads it.
func (f Field) String() string { return strings.Join(append([]string{f.part}, f.path...), ".") }

// find returns the bytes of the field: of a member as the JSON has it.
func (f Field) find(m *Message) ([]byte, error) {
	found := m.Value
	switch f.part {
	case "key":
		found = m.Key
	case "header":
		found = nil
		for i := range m.Headers {
			if m.Headers[i].Name == f.path[0] {
				found = m.Headers[i].Value // the last counts
			}
		}
	}
	if found == nil {
		return nil, fmt.Errorf("the message has no %s", f)
	}
	if f.part != "value" {
		return found, nil
	}
	for i, name := range f.path {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(found, &members); err != nil {
			if !json.Valid(m.Value) {
				return nil, fmt.Errorf("its value is not JSON: %w", err)
			}
			return nil, fmt.Errorf("its %s is not a JSON object, and %s is looked for in it", Field{"value", f.path[:i]}, name)
		}
		member, ok := members[name]
		if !ok {
			return nil, fmt.Errorf("its value has no member %s", strings.Join(f.path[:i+1], "."))
		}
		found = member
	}
	return found, nil
}

// text returns the field as text: a member that is a JSON string without its quotes, or a number as it is written.
func (f Field) text(m *Message) (string, error) {
	found, err := f.find(m)
	if err != nil || f.part != "value" {
		return string(found), err
	}
	if len(f.path) == 0 && !json.Valid(found) {
		return string(found), nil // a value that is no JSON is text itself
	}
	found = []byte(strings.TrimSpace(string(found)))
	switch first := found[0]; {
	case first == '"':
		var text string
		err := json.Unmarshal(found, &text)
		return text, err
	case first == '-' || first >= '0' && first <= '9':
		return string(found), nil
	}
	return "", fmt.Errorf("its %s is neither text nor a number, but %.40s", f, found)
}

// Action returns what becomes of a message, or what is wrong with it.
func (p *Mapping) Action(m *Message) (Action, error) {
	a := Action{Kind: p.Kind, Workflow: p.Workflow, Status: p.Status}
	object := p.Object
	if object.IsZero() {
		object = Field{part: "value"}
	}
	var err error
	if a.ForeignID, err = p.ForeignID.text(m); err != nil {
		return a, fmt.Errorf("foreign_id: %w", err)
	}
	if !p.StatusFrom.IsZero() {
		if a.Status, err = p.StatusFrom.text(m); err != nil {
			return a, fmt.Errorf("status_field: %w", err)
		}
	}
	if a.Object, err = object.find(m); err != nil {
		return a, fmt.Errorf("object: %w", err)
	}
	if p.Kind == ActionTrigger && !json.Valid(a.Object) {
		return a, errors.New("object: its " + object.String() + " is not JSON: " + notJSON(a.Object))
	}
	return a, nil
}

// notJSON says why bytes are not JSON.
func notJSON(b []byte) string {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err.Error()
	}
	return "it holds more than one value"
}
