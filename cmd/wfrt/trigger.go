package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/internal/spelling"
)

// settled is what --await means without a status: the run has ended, or is paused.
const settled = "(settled)"

// triggerFlags are the flags of trigger.
type triggerFlags struct {
	foreignID      string
	object         string
	startAt        string
	idempotencyKey string
	await          string // "" or settled or a status
	timeout        time.Duration

	fromFile       string
	foreignIDField string
	concurrency    int
}

func (a *app) newTrigger() *cobra.Command {
	var f triggerFlags
	cmd := &cobra.Command{
		Use:   "trigger WORKFLOW [FOREIGN_ID]",
		Short: "Begin a run, or one for each line of a file",
		Long: `Begin a run of a workflow, for what your own system calls FOREIGN_ID. While it is active, no other run of the
workflow can begin for the same FOREIGN_ID.

With --from-file, every line of a file is the object of a run, and --foreign-id-field says which member of it is the
foreign ID. Each line is sent under an idempotency key made of the file's content and the line's number: sending the
file again begins nothing twice, and a server that is killed and started again in the middle loses no line.`,
		Example: `  wfrt trigger hello ada --object '{"name":"Ada"}' --await
  wfrt trigger orders 10248 --object @order.json --await=shipped
  wfrt trigger orders --from-file orders.jsonl --foreign-id-field order_id --await`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				if f.foreignID != "" {
					return usage("", "the foreign ID is given twice: %q and --foreign-id %q", args[1], f.foreignID)
				}
				f.foreignID = args[1]
			}
			for _, name := range []string{"object", "start-at", "idempotency-key"} {
				if f.fromFile != "" && cmd.Flags().Changed(name) {
					return usage("every line of the file is an object, and has a key of its own", "--%s does not go with --from-file", name)
				}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if f.fromFile != "" {
				return a.triggerFile(cmd.Context(), c, args[0], f)
			}
			return a.triggerOne(cmd.Context(), c, args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.foreignID, "foreign-id", "", "your own `name` for what the run is about")
	flags.StringVar(&f.object, "object", "", "the run's object: `JSON`, @FILE, or - for standard input")
	flags.StringVar(&f.startAt, "start-at", "", "the `status` to begin in (default: the workflow's start)")
	flags.StringVar(&f.idempotencyKey, "idempotency-key", "", "a repetition under the same `key` begins nothing")
	flags.StringVar(&f.await, "await", "", "wait until the run has ended or is paused, or with --await=`STATUS` until it is there")
	flags.Lookup("await").NoOptDefVal = settled
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "how long to try to reach the server, and with --await how long to wait for a run")
	flags.StringVar(&f.fromFile, "from-file", "", "begin a run for each line of this `file` of JSON lines")
	flags.StringVar(&f.foreignIDField, "foreign-id-field", "", "the `member` of each object that is its foreign ID, as order_id or order.id")
	flags.IntVar(&f.concurrency, "concurrency", 32, "lines of the file under way at a time")
	return cmd
}

// status returns what to await: "" for settled.
func (f *triggerFlags) status() string { return strings.TrimPrefix(f.await, settled) }

// triggerOne begins one run.
func (a *app) triggerOne(ctx context.Context, c *client.Client, workflow string, f triggerFlags) error {
	switch {
	case f.foreignID == "":
		return usage("name what the run is about, as in: wfrt trigger "+workflow+" 10248", "there is no foreign ID")
	case f.foreignIDField != "":
		return usage("add --from-file FILE, or name the foreign ID itself", "--foreign-id-field is for files")
	}
	object, err := a.readObject(f.object)
	if err != nil {
		return err
	}
	if err := awaitable(ctx, c, workflow, &f); err != nil {
		return err
	}
	request := httpapi.TriggerRequest{ForeignID: f.foreignID, Object: object, StartAt: f.startAt}
	var done client.Triggered
	once := func(ctx context.Context) (err error) {
		done, err = c.Trigger(ctx, workflow, request, f.idempotencyKey)
		return err
	}
	if f.idempotencyKey == "" {
		err = once(ctx) // a request without a key must not be repeated: the first may have begun a run
	} else {
		err = client.Persist(ctx, f.timeout, once)
	}
	if err != nil {
		return err
	}
	if done.Repeated {
		a.note("repeated: this idempotency key began the run before")
	}
	if f.await == "" {
		return a.printRun(&done.Run)
	}
	return a.await(ctx, c, done.Run.RunID, client.Until{Status: f.status()}, f.timeout)
}

// awaitable returns an error when the workflow has no such status as --await names: better before a run begins than after.
func awaitable(ctx context.Context, c *client.Client, workflow string, f *triggerFlags) error {
	if f.status() == "" {
		return nil
	}
	var list httpapi.WorkflowList
	if err := client.Persist(ctx, f.timeout, func(ctx context.Context) (err error) {
		list, err = c.Workflows(ctx)
		return err
	}); err != nil {
		return err
	}
	i := slices.IndexFunc(list.Workflows, func(w httpapi.Workflow) bool { return w.Name == workflow })
	if i < 0 {
		return nil // the trigger says so
	}
	var known []string
	for _, s := range list.Workflows[i].Statuses {
		known = append(known, s.Name)
	}
	if slices.Contains(known, f.status()) {
		return nil
	}
	hint := "it has " + strings.Join(known, ", ")
	if near := spelling.Nearest(f.status(), known); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return usage(hint, "workflow %s has no status %q to await; no run was begun", workflow, f.status())
}

// await waits for a run and prints it.
func (a *app) await(ctx context.Context, c *client.Client, id string, until client.Until, timeout time.Duration) error {
	answer, err := awaitRun(ctx, c, id, until, timeout)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return &failure{
				exitTimeout, fmt.Errorf("run %s is not where it is awaited after %s", id, timeout),
				"it goes on; `wfrt runs get " + id + "` shows where it is, and --timeout allows more time",
			}
		}
		return err
	}
	if err := a.printRun(&answer.Run); err != nil {
		return err
	}
	return elsewhere(&answer, until)
}

// awaitRun waits for a run within a time, through the absence of the server.
func awaitRun(ctx context.Context, c *client.Client, id string, until client.Until, timeout time.Duration) (httpapi.Awaited, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var answer httpapi.Awaited
	err := client.Persist(ctx, timeout, func(ctx context.Context) (err error) {
		answer, err = c.Await(ctx, id, until)
		return err
	})
	return answer, err
}

// elsewhere returns an error unless the run is where it was awaited. Who awaits no particular place awaits a good end.
func elsewhere(answer *httpapi.Awaited, until client.Until) error {
	run := &answer.Run
	if good(answer, until) {
		return nil
	}
	err := fmt.Errorf("run %s is %s in the status %s", run.RunID, run.State, run.Status)
	if run.Reason != "" {
		err = fmt.Errorf("%w: %s", err, run.Reason)
	}
	return &failure{exitElsewhere, err, "`wfrt runs history " + run.RunID + "` shows how it came there"}
}

// good reports whether a run is where it was awaited; without a wish, whether it has not gone wrong.
func good(answer *httpapi.Awaited, until client.Until) bool {
	if until == (client.Until{}) {
		return answer.Run.State != "Paused" && answer.Run.State != "Cancelled"
	}
	return answer.Reached
}

// readObject reads an object from the command line, a file or standard input. None is null.
func (a *app) readObject(from string) (json.RawMessage, error) {
	content, source, err := a.readInput("--object", from)
	if err != nil || from == "" {
		return nil, err
	}
	if !json.Valid(content) {
		return nil, usage(`write one JSON value, as --object '{"name":"Ada"}'`, "%s is not one JSON value", source)
	}
	return content, nil
}

// readInput reads the value of a flag: itself, @FILE, or - for standard input; and says where it came from.
func (a *app) readInput(flag, from string) (content []byte, source string, err error) {
	source = flag
	switch {
	case from == "-":
		source = "standard input"
		content, err = io.ReadAll(a.in)
	case strings.HasPrefix(from, "@"):
		source = from[1:]
		content, err = os.ReadFile(source) //nolint:gosec // the person names the file
	default:
		content = []byte(from)
	}
	if err != nil {
		what := strings.TrimPrefix(flag, "--")
		return nil, source, &failure{exitNotFound, fmt.Errorf("the %s cannot be read: %w", what, err), "check the file that " + flag + " names"}
	}
	return content, source, nil
}
