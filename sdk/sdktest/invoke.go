package sdktest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// answer is what one invocation came to.
type answer struct {
	code    abi.Code
	status  string // the destination, of CodeTo
	reason  string
	delay   time.Duration
	due     time.Time // of a timer's CodeDone
	changed bool      // object is the new object
	object  []byte
	intents []Intent
	emits   []Emit
	taken   []Measurement
	logs    []Log
}

func (a *answer) failed() bool { return a.code == abi.CodeError || a.code == abi.CodePermanent }

// invoke calls a handler once. It fails the test when the server would refuse the answer.
func invoke(t testing.TB, h *abi.Handler, on *host) answer {
	t.Helper()
	a := answer{code: guest.Default.Invoke(guest.NewCall(on), h.ID), logs: on.logs, reason: string(on.outputs[abi.FieldReason])}
	a.taken = on.taken
	if on.refused != "" {
		a.code, a.reason = abi.CodePermanent, on.refused
	}
	if a.failed() {
		return a
	}
	if a.code != abi.CodeSkip || h.Kind == abi.KindStep { // another skip makes no version, and so no event
		a.emits = on.emits
	}
	a.intents, a.delay = on.intents, time.Duration(on.integer(abi.FieldDelay))
	a.due = time.Unix(0, int64(on.integer(abi.FieldDue))).UTC()
	if doc, ok := on.outputs[abi.FieldNewObject]; ok {
		if !json.Valid(doc) {
			t.Fatalf("sdktest: %s: the new object is not JSON: %.200s", describe(h), doc)
		}
		a.object, a.changed = doc, true
	}
	if a.code == abi.CodeTo {
		a.status = string(on.outputs[abi.FieldNewStatus])
		if !slices.Contains(h.To, a.status) {
			t.Fatalf("sdktest: %s goes to %q, but is registered to go to %q only", describe(h), a.status, h.To)
		}
	}
	return a
}

// describe says which handler of a workflow it is.
func describe(h *abi.Handler) string {
	switch {
	case h.Kind == abi.KindStep:
		return fmt.Sprintf("step of %q", h.Status)
	case h.Status != "":
		return fmt.Sprintf("%s %q of %q", h.Kind, h.Name, h.Status)
	default:
		return fmt.Sprintf("%s %q", h.Kind, h.Name)
	}
}

// integer returns an integer output; 0 when it was not written.
func (h *host) integer(field abi.Field) uint64 {
	value := h.outputs[field]
	if len(value) != 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(value)
}
