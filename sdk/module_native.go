//go:build !wasip1

package sdk

import "github.com/wfrt/wfrt/sdk/internal/guest"

// moduleHost returns the host of this program: none, natively.
func moduleHost() guest.Host { return nil }
