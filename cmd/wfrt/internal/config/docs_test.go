package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const documentation = "../../../../docs/configuration.md"

// TestDocumentationListsEveryKey compares the table of docs/configuration.md with config.yaml; UPDATE=1 writes it.
func TestDocumentationListsEveryKey(t *testing.T) {
	content, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range WorkflowKeys() {
		if row := "| `workflows.NAME." + key + "` |"; !strings.Contains(string(content), row) {
			t.Errorf("%s does not hold %s", documentation, row)
		}
	}
	for _, key := range ConnectorKeys() {
		if row := "| `connectors.NAME." + key + "` |"; !strings.Contains(string(content), row) {
			t.Errorf("%s does not hold %s", documentation, row)
		}
	}
	const begin, end = "go test ./cmd/wfrt/internal/config -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(string(content), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", documentation)
	}
	want := before + begin + "\n" + keyTable(t) + "\n" + end + after
	if want == string(content) {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Fatalf("%s does not agree with config.yaml: UPDATE=1 go test writes it", documentation)
	}
	if err := os.WriteFile(documentation, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// keyTable makes the table of keys from config.yaml and its comments.
func keyTable(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(repositoryFile)
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| key | environment | default | takes effect | |\n| --- | --- | --- | --- | --- |\n")
	var walk func(prefix string, group *yaml.Node)
	walk = func(prefix string, group *yaml.Node) {
		for i := 0; i < len(group.Content); i += 2 {
			name, value := group.Content[i], group.Content[i+1]
			key := prefix + name.Value
			if key == overridesGroup || key == secretsGroup {
				continue // it has a section of its own
			}
			if value.Kind == yaml.MappingNode {
				walk(key+".", value)
				continue
			}
			written := value.Value
			if written == "" {
				written = `""`
			}
			comment := strings.ReplaceAll(strings.TrimPrefix(name.HeadComment, "# "), "\n# ", " ")
			comment, _, _ = strings.Cut(comment, " Defaults to ")
			comment = strings.ReplaceAll(comment, "|", `\|`)
			effect := "next start"
			if AtOnce(key) {
				effect = "at once"
			}
			fmt.Fprintf(&table, "| `%s` | `%s` | `%s` | %s | %s |\n", key, EnvName(key), written, effect, comment)
		}
	}
	walk("", document.Content[0])
	return table.String()
}
