package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/internal/httpapi"
)

func (a *app) newCallback() *cobra.Command {
	call := client.Callback{}
	var payload string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "callback [WORKFLOW] STATUS [FOREIGN_ID]",
		Short: "Hand outside input to a run that waits in a status",
		Long: `Hand outside input to the newest run of FOREIGN_ID, which must be in STATUS; or with --run-id RUN to that run, and then only
STATUS is given. The workflow's handlers get the payload as it is. The payload is durable before a handler sees it: when the
run is paused or busy for longer than --wait, the callback is pending and is handled later.`,
		Example: `  wfrt callback orders in_delivery 10248 --payload '{"received":true}'
  wfrt callback in_delivery --run-id 01890a5d-ac96-774b-bcce-b302099a8057 --payload @photo.png`,
		Args: cobra.RangeArgs(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case call.RunID != "" && len(args) == 1:
				call.Status = args[0]
			case call.RunID == "" && len(args) == 3:
				call.Workflow, call.Status, call.ForeignID = args[0], args[1], args[2]
			case call.RunID != "":
				return usage("as in: wfrt callback "+args[min(1, len(args)-1)]+" --run-id "+call.RunID, "with --run-id only STATUS is given")
			default:
				return usage("as in: wfrt callback orders in_delivery 10248", "a run is named by WORKFLOW STATUS FOREIGN_ID, or by STATUS and --run-id")
			}
			content, _, err := a.readInput("--payload", payload)
			if err != nil {
				return err
			}
			call.Payload = content
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.callback(cmd.Context(), c, call, timeout)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&call.RunID, "run-id", "", "the `run`, instead of its workflow and foreign ID")
	flags.StringVar(&payload, "payload", "", "the payload: `TEXT`, @FILE, or - for standard input")
	flags.StringVar(&call.IdempotencyKey, "idempotency-key", "", "a repetition under the same `key` is answered as the first")
	flags.DurationVar(&call.Wait, "wait", 10*time.Second, "how long to wait until it is handled")
	flags.DurationVar(&timeout, "timeout", time.Minute, "with --idempotency-key, how long to try to reach the server")
	return cmd
}

// callback sends a callback and prints what became of it.
func (a *app) callback(ctx context.Context, c *client.Client, call client.Callback, timeout time.Duration) error {
	var answer httpapi.CallbackResult
	once := func(ctx context.Context) (err error) {
		answer, err = c.Callback(ctx, call)
		return err
	}
	var err error
	if call.IdempotencyKey == "" {
		err = once(ctx) // a request without a key must not be repeated: the first may have been taken in
	} else {
		err = client.Persist(ctx, timeout, once)
	}
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(&answer)
	}
	switch {
	case answer.Pending:
		a.note("callback %s is durable and pending: `wfrt runs history %s` will show what becomes of it", answer.CallbackID, answer.Run.RunID)
	case answer.Reason != "":
		a.note("callback %s moved nothing: %s", answer.CallbackID, oneLine(answer.Reason))
	}
	return a.printRun(&answer.Run)
}
