package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestDocumentationNamesEveryCommand(t *testing.T) {
	content, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.HasSubCommands() {
			for _, sub := range c.Commands() {
				walk(sub)
			}
			return
		}
		if !strings.Contains(string(content), "| `"+c.CommandPath()) {
			t.Errorf("docs/cli.md does not name `%s`", c.CommandPath())
		}
		if c.Short == "" || c.Args == nil {
			t.Errorf("`%s` has no short description or takes any arguments", c.CommandPath())
		}
	}
	walk(newRoot(streams{}))
}
