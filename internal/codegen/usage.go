package codegen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxSource bounds the modules that are looked at: a longer one is a bundle.
const maxSource = 1 << 20

// A Usage is what the app's own modules use of what is generated. Paths are relative to the workspace, with slashes.
type Usage struct {
	Backends []string // modules that import LiveStore's sync-cf for a Worker, generated ones left out
	Wrapped  []string // modules that import the wrapper
	Identity []string // modules that send who they are in the sync payload
	Stamped  []string // modules that take the ids with the release in them
	Checked  []string // modules that go around the adapter with the start-up check
}

// Usage looks through the app's TypeScript and JavaScript modules. It does not run them.
func (w Workspace) Usage(ctx context.Context) (Usage, error) {
	var u Usage
	err := filepath.WalkDir(w.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		name := d.Name()
		if d.IsDir() {
			if path != w.Dir && (strings.HasPrefix(name, ".") || slices.Contains([]string{"node_modules", "dist", "build", "headgate"}, name)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !slices.Contains([]string{".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs"}, filepath.Ext(name)) || name == WorkerFileName {
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() > maxSource {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading a module of the app: %w", err)
		}
		rel, err := filepath.Rel(w.Dir, path)
		if err != nil {
			return fmt.Errorf("naming a module of the app: %w", err)
		}
		u.look(filepath.ToSlash(rel), text)
		return nil
	})
	return u, err
}

func (u *Usage) look(rel string, text []byte) {
	if Inspect(text).Generated {
		return
	}
	wrapped, bare := Wraps(text)
	if wrapped {
		u.Wrapped = append(u.Wrapped, rel)
	}
	if bare { // beside the wrapper, too: what it takes from there is not wrapped
		u.Backends = append(u.Backends, rel)
	}
	if bytes.Contains(text, []byte("syncIdentity(")) {
		u.Identity = append(u.Identity, rel)
	}
	if bytes.Contains(text, []byte("identityOf(")) {
		u.Stamped = append(u.Stamped, rel)
	}
	if bytes.Contains(text, []byte("withStartupCheck(")) {
		u.Checked = append(u.Checked, rel)
	}
}
