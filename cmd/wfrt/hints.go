package main

import (
	"strings"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// commandHint says what to do about a problem whose own hint is for programs: the command instead of the route. It returns the
// problem's own hint where that is for people too.
func commandHint(p *httpapi.Problem) string {
	const again = "give the command again; under an --idempotency-key it takes effect once"
	switch strings.TrimPrefix(p.Type, "urn:wfrt:problem:") {
	case "in-progress":
		return "`wfrt runs await " + p.RunID + "` waits until that run has ended; or trigger under another foreign ID"
	case "wrong-state":
		if !strings.HasPrefix(p.Hint, "GET ") {
			return p.Hint
		}
		fallthrough
	case "wrong-status", "run-ended":
		if p.RunID != "" {
			return "`wfrt runs get " + p.RunID + "` shows where the run is"
		}
		return "`wfrt runs get` shows where the run is"
	case "callback-refused":
		return "`wfrt runs history " + p.RunID + "` has the callback"
	case "too-many-callbacks":
		return "give the command again when some are handled; `wfrt runs get " + p.RunID + "` shows whether the run is paused"
	case "idempotency-key-reused":
		return "give what was given the first time, or another --idempotency-key for something new"
	case "run-removed":
		return "it has taken effect, and is not done again; give another --idempotency-key for something new"
	case "unknown-run":
		return "`wfrt runs list` lists the runs"
	case "unknown-schedule":
		return "`wfrt schedules list` lists the schedules"
	case "schedule-exists":
		return "`wfrt schedules delete` deletes the other; or choose another name"
	case "plugin-schedule":
		return "`wfrt schedules pause` holds it up"
	case "unconfigured-connector":
		return "configure it again and start the server anew, or drop the message: `wfrt connectors drop`"
	case "not-parked":
		return "`wfrt connectors parked` lists them"
	case "unknown-event":
		return "`wfrt outbox parked` lists them"
	case "unauthorized":
		return "set WFRT_TOKEN to the server's token"
	case "stopping", "interrupted", "slow":
		return again
	case "store-failed":
		return "the server must be started again once its disk is well; then " + again
	case "no-such-path", "method-not-allowed":
		return "the server may be of another version: `wfrt version` tells that of this command"
	case "invalid-request":
		if strings.Contains(p.Hint, "/openapi.json") {
			return ""
		}
		hint, _, _ := strings.Cut(p.Hint, ", with + in the offset percent-encoded") // as the client does
		return hint
	}
	return p.Hint
}
