package sdk

import (
	"context"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// SelfTest registers a function by which the plugin tests itself: the server calls it once, after it has compiled the module and
// before the module takes a run. When it returns an error, panics or takes too long, the module is refused with that as the cause,
// and the one before serves on. It sees no run, and cannot ask for one. ctx ends at its deadline. Register it from init, at most
// one in a plugin.
//
//	func init() { sdk.SelfTest(func(context.Context) error { _, err := parsePrices(embedded); return err }) }
func SelfTest(test func(ctx context.Context) error) { selfTest(&guest.Default, test) }

func selfTest(p *guest.Plugin, test func(ctx context.Context) error) {
	if test == nil {
		p.SelfTest(nil)
		return
	}
	p.SelfTest(func(c *guest.Call, _ *any) abi.Code {
		ctx := new(stepContext)
		ctx.begin(c.Host)
		defer ctx.end()
		if err := test(ctx); err != nil {
			return because(c, abi.CodePermanent, err.Error())
		}
		return abi.CodeDone
	})
}
