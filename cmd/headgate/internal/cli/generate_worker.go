package cli

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"headgate/internal/codegen"
)

// renderWorker brings the wrapper of the sync backend into m when --worker asks for it, and renders it. The file has no
// path where the app has no wrapper.
func (a *app) renderWorker(c *cli.Context, w codegen.Workspace, m *codegen.Manifest) (generated, codegen.File, error) {
	if entry := c.String("worker"); entry != "" {
		path, err := filepath.Abs(entry)
		if err != nil {
			return generated{}, codegen.File{}, fmt.Errorf("finding the backend's module: %w", err)
		}
		if err := w.AddWorker(m, path); err != nil {
			return generated{}, codegen.File{}, err
		}
	}
	if m.Worker == nil {
		return generated{}, codegen.File{}, nil
	}
	f, err := w.WorkerFile(m)
	return generated{
		File: m.Worker.File, Status: f.Status, Notes: []codegen.Adapter{},
		Import: "import { handleSyncRequest, makeDurableObject, makeWorker, matchSyncRequest } from './" + codegen.WorkerFileName + "'",
	}, f, err
}

func writeWorker(w io.Writer, g generated, verb string, check bool) {
	fmt.Fprintf(w, "%s: %s\n", g.File, verb)
	if g.Status == codegen.Missing && !check {
		fmt.Fprintf(w, "  in the backend's module, in place of the import from '@livestore/sync-cf/cf-worker':\n    %s\n", g.Import)
		fmt.Fprintln(w, "  and its secrets: HEADGATE_URL and HEADGATE_TOKEN; HEADGATE_ADMIN_TOKEN for the admin route")
	}
}
