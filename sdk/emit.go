package sdk

import (
	"context"
	"errors"
	"fmt"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// AskEmit asks the operator to let this plugin emit events of some types; "order.*" stands for every type that begins so, "*" for
// any. Call it from init.
func AskEmit(types ...string) { guest.Default.AskEmit(types) }

// Emit writes an event of the author's own, beside the one that tells of the run's change: a type, which is a name as a status is,
// and data: Raw, nil for none, or anything that encoding/json can encode. ctx is that of a step, callback or timeout.
//
// It is an effect of the outcome: stored with it, or forgotten after an error and with the skip of a callback or timeout. The
// event's ID, "<run ID>/<version>/<number>", is the same for every delivery. An error means that the arguments are wrong. A type
// that is not granted pauses the run.
func Emit(ctx context.Context, kind string, data any) error {
	if data == nil {
		return EmitBytes(ctx, kind, "", nil)
	}
	doc, err := document(data)
	if err != nil {
		return fmt.Errorf("sdk: Emit: encode the data of %T: %w", data, err)
	}
	return EmitBytes(ctx, kind, "application/json", doc)
}

// EmitBytes is Emit with data of another content type.
func EmitBytes(ctx context.Context, kind, contentType string, data []byte) error {
	host, ok := ctx.Value(hostKey{}).(guest.Host)
	if !ok {
		return errors.New("sdk: Emit: the context is not one of a running step, callback or timeout")
	}
	if err := abi.CheckName(kind); err != nil {
		return fmt.Errorf("sdk: Emit: the type %w", err)
	}
	if err := abi.CheckContentType(contentType); err != nil {
		return fmt.Errorf("sdk: Emit: the content type %w", err)
	}
	if contentType == "" && len(data) > 0 {
		return errors.New("sdk: Emit: the data has no content type")
	}
	host.Emit(kind, contentType, data)
	return nil
}
