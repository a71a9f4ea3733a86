package host

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// How many events one invocation may emit, and how much data they may hold, each and together: docs/abi.md, section 10. Kafka takes
// messages of 1 MB unless it is told otherwise.
const (
	maxEmits     = 64
	maxEmitBytes = 256 << 10
	maxEmitTotal = 1 << 20
)

// emit is emit(type_ptr, type_len, content_type_ptr, content_type_len, data_ptr, data_len). It adds an event to the outcome, which
// the engine commits with the outcome or forgets with it. What it keeps is copied out of the guest's memory.
func emit(i *instance, guest api.Module, stack []uint64) {
	c := &i.call
	switch {
	case c.phase != phaseInvoke:
		fail("emit: only a handler may emit an event")
	case !c.in.Handler.Kind.Moves():
		fail("emit: a %s cannot emit an event; a step, a callback or a timeout can", c.in.Handler.Kind)
	}
	argument := func(name string, at, limit int) []byte {
		ptr, size := uint32(stack[at]), uint32(stack[at+1])
		if uint64(size) > uint64(limit) {
			fail("emit: the %s has %d bytes, more than the limit of %d", name, size, limit)
		}
		return i.view(guest, "emit", ptr, size)
	}
	c.boundEmits(uint64(uint32(stack[5])))
	e := runtime.Emit{
		Type: string(argument("type", 0, abi.MaxNameBytes)), ContentType: string(argument("content type", 2, 1<<10)),
		Data: append([]byte(nil), argument("data", 4, maxEmitBytes)...),
	}
	if err := abi.CheckName(e.Type); err != nil {
		fail("emit: the type %v", err)
	}
	if err := abi.CheckContentType(e.ContentType); err != nil {
		fail("emit: the content type %v", err)
	}
	switch {
	case e.ContentType == "" && len(e.Data) > 0:
		fail("emit: the data has no content type")
	case isJSON(e.ContentType) && !json.Valid(e.Data):
		fail("emit: the data is not one JSON value, as its content type %s says", e.ContentType)
	}
	if why := i.module.caps.Load().mayEmit(e.Type); why != "" {
		panic(&fault{text: "emit: " + why, refused: true})
	}
	c.out.Emits = append(c.out.Emits, e)
}

// boundEmits ends the call when there are too many events, or their data is too much, with another of so many bytes.
func (c *call) boundEmits(size uint64) {
	sum := size
	for n := range c.out.Emits {
		sum += uint64(len(c.out.Emits[n].Data))
	}
	switch {
	case len(c.out.Emits) >= maxEmits:
		exceed(&LimitError{Limit: LimitHostCalls, Used: maxEmits + 1, Max: maxEmits, Of: "emit", Fixed: true})
	case size > maxEmitBytes:
		exceed(&LimitError{Limit: LimitOutput, Used: size, Max: maxEmitBytes, Of: "emit: the data", Fixed: true})
	case sum > maxEmitTotal:
		exceed(&LimitError{Limit: LimitOutput, Used: sum, Max: maxEmitTotal, Of: "emit: the data of all events", Fixed: true})
	}
}

// isJSON reports whether a content type is that of JSON, or of a format made of it.
func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// mayEmit returns why an event of a type may not be emitted, or "".
func (c *capabilities) mayEmit(kind string) string {
	switch {
	case !matchesAny(c.asks.Emit, kind):
		return fmt.Sprintf("the plugin does not ask to emit events of the type %s: ask with sdk.AskEmit(%q)", kind, kind)
	case !matchesAny(c.grants.Emit, kind):
		return fmt.Sprintf("the operator does not let the plugin emit events of the type %s: add it to %s", kind, c.key("emit"))
	default:
		return ""
	}
}
