package host

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// connectorManifest is that of a workflow with one step and a connector's function.
const connectorManifest = `{"abi":1,"workflows":[{"name":"door","start":"closed","handlers":[` +
	`{"id":0,"kind":"step","name":"closed","status":"closed","to":["open"]},` +
	`{"id":1,"kind":"connector","name":"intake","retry":{"attempts":3}}],"terminal":["open"]}]}`

// connects asks the connector's function of a guest about a message.
func connects(t *testing.T, g guest, m *runtime.Message) runtime.Outcome {
	t.Helper()
	g.manifest = connectorManifest
	r := serveGuest(t, g)
	w := r.Catalog().Workflow("door")
	if w == nil || len(w.Connects) != 1 || w.Connects[0].Name != "intake" || w.Connects[0].Retry.Attempts != 3 {
		t.Fatalf("the catalog has %+v", w)
	}
	in := runtime.Invocation{
		Handler: w.Connects[0], Record: &runtime.Record{Workflow: "door", Object: []byte("null")}, Attempt: 1, Message: m,
		Now: time.Now(), Deadline: time.Now().Add(time.Minute),
	}
	var out runtime.Outcome
	if err := in.Handler.Invoker.Invoke(context.Background(), &in, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// writesAction is a guest that writes outputs, from its texts, and answers a code.
func writesAction(answer abi.Code, fields []abi.Field, texts ...string) guest {
	g := guest{texts: texts}
	for n, text := range texts {
		g.invoke = asm.Code(g.invoke, writeText(fields[n], n, text))
	}
	g.invoke = asm.Code(g.invoke, asm.I32(int32(answer)))
	return g
}

func TestConnectorActions(t *testing.T) {
	m := &runtime.Message{Topic: "northwind.orders", Partition: 3, Offset: 17, Value: []byte("{}")}
	const action, workflow, id, status, object = abi.FieldAction, abi.FieldActionWorkflow, abi.FieldActionForeignID, abi.FieldActionStatus,
		abi.FieldActionObject
	for name, c := range map[string]struct {
		guest guest
		kind  runtime.OutcomeKind
		want  runtime.Action
		cause string
	}{
		"trigger": {
			guest: writesAction(abi.CodeDone, []abi.Field{action, id, object}, "trigger", "7", `{"n":1}`), kind: runtime.OutcomeDone,
			want: runtime.Action{Kind: runtime.ActionTrigger, Workflow: "door", ForeignID: "7", Object: []byte(`{"n":1}`)},
		},
		"callback": {
			guest: writesAction(abi.CodeDone, []abi.Field{action, id, status, object}, "callback", "7", "closed", "raw"),
			kind:  runtime.OutcomeDone,
			want:  runtime.Action{Kind: runtime.ActionCallback, Workflow: "door", ForeignID: "7", Status: "closed", Object: []byte("raw")},
		},
		"nothing":         {guest: writesAction(abi.CodeSkip, nil), kind: runtime.OutcomeSkip},
		"an error":        {guest: writesAction(abi.CodeError, []abi.Field{abi.FieldReason}, "later"), kind: runtime.OutcomeError, cause: "later"},
		"for good":        {guest: writesAction(abi.CodePermanent, []abi.Field{abi.FieldReason}, "never"), kind: runtime.OutcomePermanent, cause: "never"},
		"no action":       {guest: writesAction(abi.CodeDone, []abi.Field{id}, "7"), kind: runtime.OutcomePermanent, cause: "did not write action"},
		"another action":  {guest: writesAction(abi.CodeDone, []abi.Field{action, id}, "delete", "7"), kind: runtime.OutcomePermanent, cause: `"delete"`},
		"no foreign ID":   {guest: writesAction(abi.CodeDone, []abi.Field{action}, "trigger"), kind: runtime.OutcomePermanent, cause: "action_foreign_id"},
		"no status":       {guest: writesAction(abi.CodeDone, []abi.Field{action, id}, "callback", "7"), kind: runtime.OutcomePermanent, cause: "action_status"},
		"object not JSON": {guest: writesAction(abi.CodeDone, []abi.Field{action, id, object}, "trigger", "7", "{"), kind: runtime.OutcomePermanent, cause: "not one JSON value"},
		"not UTF-8":       {guest: writesAction(abi.CodeDone, []abi.Field{action, id}, "trigger", "\xff"), kind: runtime.OutcomePermanent, cause: "not UTF-8"},
		"a step's code":   {guest: writesAction(abi.CodeRepeat, nil), kind: runtime.OutcomePermanent, cause: "answered the code 2"},
		"a foreign workflow": {
			guest: writesAction(abi.CodeDone, []abi.Field{action, id, workflow}, "trigger", "7", "bank"), kind: runtime.OutcomePermanent, cause: "bank",
		},
	} {
		t.Run(name, func(t *testing.T) {
			out := connects(t, c.guest, m)
			if out.Kind != c.kind || !strings.Contains(out.Reason, c.cause) || out.Changed {
				t.Fatalf("outcome %+v, want %d for %q", out, c.kind, c.cause)
			}
			a := out.Action
			if out.Kind == runtime.OutcomeDone && (a.Kind != c.want.Kind || a.Workflow != c.want.Workflow || a.ForeignID != c.want.ForeignID ||
				a.Status != c.want.Status || string(a.Object) != string(c.want.Object)) {
				t.Errorf("action %+v, want %+v", a, c.want)
			}
		})
	}
}

func TestConnectorInputs(t *testing.T) {
	full := &runtime.Message{
		Topic: "northwind.orders", Partition: 3, Offset: 17, Key: []byte("k"), Value: []byte{}, Time: time.Unix(0, 0x0102030405060708),
		Headers: []runtime.Header{{Name: "a", Value: []byte("1")}, {Name: "a"}},
	}
	bare := &runtime.Message{Topic: "t"}
	const absent = "4294967295 bytes are more than the limit"
	for _, c := range []struct {
		field abi.Field
		m     *runtime.Message
		want  string
	}{
		{abi.FieldTopic, full, "northwind.orders"},
		{abi.FieldPartition, full, "\x03\x00\x00\x00\x00\x00\x00\x00"},
		{abi.FieldOffset, full, "\x11\x00\x00\x00\x00\x00\x00\x00"},
		{abi.FieldMessageKey, full, "k"},
		{abi.FieldMessageValue, full, ""},
		{abi.FieldMessageHeaders, full, "\x01\x00\x00\x00a\x01\x00\x00\x001\x01\x00\x00\x00a\x00\x00\x00\x00"},
		{abi.FieldMessageTime, full, "\x08\x07\x06\x05\x04\x03\x02\x01"},
		{abi.FieldIdempotencyKey, full, "northwind.orders/3/17/connector/intake"},
		{abi.FieldWorkflow, full, "door"},
		{abi.FieldMessageKey, bare, absent},
		{abi.FieldMessageValue, bare, absent},
		{abi.FieldMessageHeaders, bare, ""},
		{abi.FieldObject, full, absent},
		{abi.FieldForeignID, full, absent},
		{abi.FieldRunID, full, absent},
		{abi.FieldStatus, full, absent},
		{abi.FieldPayload, full, absent},
	} {
		g := guest{invoke: asm.Code(asm.I32(int32(abi.FieldReason)), asm.I32(bufferAt), asm.I32(int32(c.field)), asm.I32(bufferAt), asm.I32(100), asm.Call(fnRead),
			asm.Call(fnWrite), asm.I32(int32(abi.CodeError)))}
		out := connects(t, g, c.m)
		if c.want == absent && strings.Contains(out.Reason, absent) || out.Reason == c.want {
			continue
		}
		t.Errorf("%s: %q, want %q", c.field, out.Reason, c.want)
	}
}
