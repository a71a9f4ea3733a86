package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// file is a configuration file that was read: its known keys, and the line of each.
type file struct {
	name   string
	values map[string]any // by key, only those that are set
	lines  map[string]int
	faults Faults

	workflows  []workflow // the names in the group of single workflows
	connectors []string   // the names in the group of connectors
	overrides  []override // in the group of single plugins
	secrets    []string   // the names in the group of secrets
}

// parseFile reads a YAML document. Faults are collected in the result, and what is not at fault is still read.
func parseFile(name string, content []byte) *file {
	f := &file{name: name, values: map[string]any{}, lines: map[string]int{}}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		f.notYAML(err)
		return f
	}
	if len(document.Content) == 0 {
		return f // empty, or only comments
	}
	keys := Keys()
	f.group("", document.Content[0], keys, append(groupsOf(keys), workflowsGroup, overridesGroup, secretsGroup, connectorsGroup))
	return f
}

// group reads a mapping whose keys begin with prefix.
func (f *file) group(prefix string, node *yaml.Node, keys, groups []string) {
	for _, entry := range f.mapping(prefix, node) {
		switch key := prefix + entry.key.Value; {
		case key == workflowsGroup:
			f.workflowGroups(entry.value)
		case key == overridesGroup:
			f.overrideGroups(entry.value)
		case key == secretsGroup:
			f.secretGroups(entry.value)
		case key == connectorsGroup:
			f.connectorGroups(entry.value)
		case slices.Contains(groups, key):
			f.group(key+".", entry.value, keys, groups)
		case !slices.Contains(keys, key):
			f.fault(entry.key.Line, "there is no key "+key, didYouMean(key, append(groups, keys...)))
		default:
			f.value(key, entry.value)
		}
	}
}

// entry is one line of a mapping.
type entry struct{ key, value *yaml.Node }

// mapping returns the entries of a mapping whose keys begin with prefix, each key once.
func (f *file) mapping(prefix string, node *yaml.Node) []entry {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		what := "the document is not a list of keys"
		if prefix != "" {
			what = strings.TrimSuffix(prefix, ".") + " is a group of keys, not a value"
		}
		f.fault(node.Line, what, "write `key: value` lines; config.yaml in the repository shows every key")
		return nil
	}
	var all []entry
	for i := 0; i+1 < len(node.Content); i += 2 {
		name := node.Content[i]
		key := prefix + name.Value
		if first, again := f.lines[key]; again {
			f.fault(name.Line, key+" is set twice", fmt.Sprintf("it is also on line %d; keep one", first))
			continue
		}
		f.lines[key] = name.Line
		all = append(all, entry{key: name, value: node.Content[i+1]})
	}
	return all
}

// value reads one scalar. A key without a value is as good as none.
func (f *file) value(key string, node *yaml.Node) {
	var value any
	if err := node.Decode(&value); err != nil || node.Kind != yaml.ScalarNode {
		f.fault(node.Line, key+" must be one value, not a list or a group", "write it as `"+key[strings.LastIndexByte(key, '.')+1:]+": value`")
		return
	}
	if value != nil {
		// The text as written, not the decoded number: 0x10 and 1_000 then read alike from every source.
		if _, isText := value.(string); !isText {
			value = scalar{node.Value}
		}
		f.values[key] = value
	}
}

// scalar is a YAML value that is not text, as it is written.
type scalar struct{ written string }

// String returns the value as it is written.
func (s scalar) String() string { return s.written }

func (f *file) fault(line int, what, hint string) {
	f.faults = append(f.faults, Fault{Where: fmt.Sprintf("%s:%d", f.name, line), What: what, Hint: hint})
}

// notYAML reports a document that cannot be parsed, with the line that the parser names.
func (f *file) notYAML(err error) {
	cause := strings.TrimPrefix(err.Error(), "yaml: ")
	var typed *yaml.TypeError
	if errors.As(err, &typed) {
		cause = strings.Join(typed.Errors, "; ")
	}
	where := f.name
	if m := regexp.MustCompile(`^line (\d+): (.*)$`).FindStringSubmatch(cause); m != nil {
		where, cause = f.name+":"+m[1], m[2]
	}
	f.faults = append(f.faults, Fault{
		Where: where, What: "is not YAML: " + cause, Hint: "check the indentation (spaces, no tabs) and the quotes near that line",
	})
}

// groupsOf returns the groups that keys lie in: "server", "plugins", "plugins.limits" …
func groupsOf(keys []string) []string {
	var groups []string
	for _, key := range keys {
		for i, r := range key {
			if r == '.' && !slices.Contains(groups, key[:i]) {
				groups = append(groups, key[:i])
			}
		}
	}
	return groups
}
