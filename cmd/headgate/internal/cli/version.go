package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// A version is what `headgate --version` prints.
type version struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built with changes that are not in Commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// buildVersion reads what the Go linker recorded; nothing is stamped in by hand.
func buildVersion() version {
	v := version{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (a *app) printVersion() error {
	v := buildVersion()
	return a.render(v, func(w io.Writer) error {
		commit := v.Commit
		if len(commit) > 12 {
			commit = commit[:12]
		}
		if commit == "" {
			commit = "unknown"
		}
		if v.Modified {
			commit += " with local changes"
		}
		_, err := fmt.Fprintf(w, "headgate %s, commit %s, %s %s\n", v.Version, commit, v.Go, v.Platform)
		return err
	})
}
