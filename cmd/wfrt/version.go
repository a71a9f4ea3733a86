package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/abi"
)

// versions is what `wfrt version` tells.
type versions struct {
	Version  string `json:"version"`            // of the binary: a tag, a pseudo-version, or "(devel)"
	Revision string `json:"revision,omitempty"` // of the source, "+dirty" when it was changed
	SDK      string `json:"sdk"`                // that `wfrt new` and `wfrt build` write
	ABI      int    `json:"abi"`                // that plugins must speak
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func buildVersions() versions {
	v := versions{Version: "(devel)", SDK: sdk.Version, ABI: abi.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Revision = s.Value + v.Revision
		case s.Key == "vcs.modified" && s.Value == "true":
			v.Revision += "+dirty"
		}
	}
	return v
}

func (a *app) newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Tell the versions of the binary, the SDK and the plugin interface",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := buildVersions()
			if a.json() {
				return a.printJSON(v)
			}
			a.print("wfrt %s, SDK %s, ABI %d, %s, %s\n", v.Version, v.SDK, v.ABI, v.Go, v.Platform)
			return nil
		},
	}
}
