package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
)

// app is what all commands share: the streams and the persistent flags.
type app struct {
	streams
	output string // "table" or "json"
	server string
}

// newRoot returns the tree of commands.
func newRoot(std streams) *cobra.Command {
	a := &app{streams: std}
	root := &cobra.Command{
		Use:   "wfrt",
		Short: "Workflows whose steps are WebAssembly plugins",
		Long: `wfrt serves workflows whose steps are WebAssembly plugins.

  wfrt new greet                                      write a plugin
  wfrt build greet -o plugins/greet.wasm              compile it
  wfrt serve                                          serve every plugin in ./plugins
  wfrt trigger greet ada --object '{"name":"Ada"}'    begin a run`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if timeout := c.Flag("timeout"); timeout != nil && strings.HasPrefix(timeout.Value.String(), "-") {
				return usage("give a duration such as 30s or 2m", "--timeout is %s", timeout.Value)
			}
			if a.output != "table" && a.output != "json" {
				return usage("use --output table or --output json", "there is no output %q", a.output)
			}
			return nil
		},
	}
	root.SuggestionsMinimumDistance = 1
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		what, _, _ := strings.Cut(err.Error(), ": strconv.") // how Go parses numbers helps nobody
		return &failure{code: exitUsage, err: errors.New(what)}
	})
	root.PersistentFlags().StringVar(&a.output, "output", "table", "`table` for people, json for programs")
	root.AddGroup(&cobra.Group{ID: "plugin", Title: "Plugins:"}, &cobra.Group{ID: "server", Title: "The server:"},
		&cobra.Group{ID: "client", Title: "Runs, on a server:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			if group == "client" {
				a.serverFlag(c)
			}
			checkArgs(c)
			root.AddCommand(c)
		}
	}
	store := a.newStore()
	store.PersistentFlags().StringVar(&a.server, "server", "", "address of the server (WFRT_SERVER, default "+defaultServer+")")
	add("plugin", a.newNew(), a.newBuild(), a.newDev(), a.newCheck())
	add("server", a.newServe(), store)
	add("client", a.newTrigger(), a.newCallback(), a.newRuns(), a.newSchedules(), a.newConnectors(), a.newWorkflows(), a.newPlugins(),
		a.newEvents(), a.newOutbox())
	version := a.newVersion()
	checkArgs(version)
	root.AddCommand(version)
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		checkArgs(completion)
	}
	root.Args = noSuchCommand
	root.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return root
}

// noSuchCommand refuses an argument of a command that only groups others.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean `" + c.CommandPath() + " " + near[0] + "`?"
	}
	return usage(hint, "there is no command `%s %s`", c.CommandPath(), args[0])
}

// checkArgs makes what is wrong with positional arguments a usage error, for a command and those below it.
func checkArgs(c *cobra.Command) {
	if c.HasSubCommands() {
		c.SuggestionsMinimumDistance = 1
		c.Args = noSuchCommand
		c.RunE = func(c *cobra.Command, _ []string) error {
			var names []string
			for _, sub := range c.Commands() {
				names = append(names, sub.Name())
			}
			return usage("", "`%s` wants one of: %s", c.CommandPath(), strings.Join(names, ", "))
		}
		for _, sub := range c.Commands() {
			checkArgs(sub)
		}
		return
	}
	check := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		var told *failure
		if err == nil || errors.As(err, &told) { // the command has said it itself
			return err
		}
		_, wanted, _ := strings.Cut(c.Use, " ")
		if wanted == "" {
			wanted = "no arguments"
		}
		hint := ""
		if await := c.Flag("await"); await != nil && await.Value.String() == settled {
			hint = "to await a status write --await=" + args[len(args)-1]
		}
		if c.Flag("workflow") != nil && len(args) > 0 {
			hint = "to select a workflow write --workflow " + args[0]
		}
		return usage(hint, "`%s` takes %s; there are %d", c.CommandPath(), wanted, len(args))
	}
}

const defaultServer = "http://127.0.0.1:8080"

// serverFlag lets a command, and those below it, be told which server is meant.
func (a *app) serverFlag(c *cobra.Command) {
	c.PersistentFlags().StringVar(&a.server, "server", "", "address of the server (WFRT_SERVER, default "+defaultServer+")")
}

// client returns a client of the server that the flag, else WFRT_SERVER, names.
func (a *app) client() (*client.Client, error) {
	server := a.server
	if server == "" {
		server = os.Getenv("WFRT_SERVER")
	}
	if server == "" {
		server = defaultServer
	}
	return client.New(server, os.Getenv("WFRT_TOKEN"))
}

// note writes a line for people beside the output.
func (a *app) note(format string, args ...any) {
	_, _ = fmt.Fprintf(a.err, format+"\n", args...) // nobody is left to be told
}

// print writes part of the output. A reader that has gone away is no failure of the command.
func (a *app) print(format string, args ...any) {
	_, _ = fmt.Fprintf(a.out, format, args...)
}
