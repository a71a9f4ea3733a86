package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// maxForeignID is the length of the longest foreign ID, in bytes.
const maxForeignID = 256

var errNotJSON = errors.New("it is not JSON")

// AskTrigger asks the operator to let this plugin trigger and call back workflows that it carries no part of; "*" stands for any, and "audit.*"
// for those whose names begin so. Its own workflows need no grant. Call it from init.
func AskTrigger(workflows ...string) { guest.Default.AskTrigger(workflows) }

// Trigger asks for a run of a workflow, of this plugin or another, about a foreign ID and with an object: Raw, nil for null,
// or anything that encoding/json can encode. ctx is the function's.
//
// It is an effect of the outcome: the wish is stored together with it and then fulfilled once, or, after an error,
// forgotten. Of a workflow that the plugin carries no part of it needs AskTrigger and the operator's grant; without, the run is paused.
// What became of it is in the history of this run; that the foreign ID has an active run already is no failure. A
// callback that skips has no outcome, and no effects. An error means that the arguments are wrong.
func Trigger(ctx context.Context, workflow, foreignID string, object any) error {
	host, err := target(ctx, workflow, foreignID)
	if err != nil {
		return fmt.Errorf("sdk: Trigger: %w", err)
	}
	doc, err := document(object)
	if err != nil {
		return fmt.Errorf("sdk: Trigger: encode the object of %T: %w", object, err)
	}
	host.Trigger(workflow, foreignID, doc)
	return nil
}

// Callback asks for a callback to another run: the newest of a workflow, of this plugin or another, about a foreign ID. It takes
// the callback in a status, with a payload: Raw as it is, or anything that encoding/json can encode. ctx is the function's.
//
// It is an effect of the outcome, by the same rules as Trigger, and granted with it. The run gets it once. Until there is a run
// that is in the status it is tried again for some minutes, and while too many callbacks wait for the run, for as long as it takes.
// What became of it is in the history of this run; what the other run's functions made of it, in that run's. Several that are
// asked for, and a Trigger of the run, may be delivered in any order.
func Callback[S ~string](ctx context.Context, workflow, foreignID string, status S, payload any) error {
	host, err := target(ctx, workflow, foreignID)
	if err != nil {
		return fmt.Errorf("sdk: Callback: %w", err)
	}
	if err := abi.CheckName(string(status)); err != nil {
		return fmt.Errorf("sdk: Callback: the status %w", err)
	}
	doc, ok := payload.(Raw)
	if !ok {
		if doc, err = document(payload); err != nil {
			return fmt.Errorf("sdk: Callback: encode the payload of %T: %w", payload, err)
		}
	}
	host.Callback(workflow, foreignID, string(status), doc)
	return nil
}

// target returns the host that is to be asked for something about another run, or what is wrong with how that is named.
func target(ctx context.Context, workflow, foreignID string) (guest.Host, error) {
	host, ok := ctx.Value(hostKey{}).(guest.Host)
	if !ok {
		return nil, errors.New("the context is not one of a running step, callback, timeout or hook")
	}
	if err := abi.CheckName(workflow); err != nil {
		return nil, fmt.Errorf("the workflow's name %w", err)
	}
	if n := len(foreignID); n == 0 || n > maxForeignID || !utf8.ValidString(foreignID) {
		return nil, fmt.Errorf("the foreign ID %.32q has %d bytes; it is 1–%d bytes of UTF-8", foreignID, n, maxForeignID)
	}
	return host, nil
}

// document returns an object as JSON.
func document(object any) ([]byte, error) {
	if raw, ok := object.(Raw); ok {
		if len(raw) > 0 && !json.Valid(raw) {
			return nil, errNotJSON
		}
		return rawCodec{}.encode(nil, &raw)
	}
	return jsonCodec[any]{}.encode(new(guest.Call), &object)
}
