package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"headgate/internal/atomicfile"
	"headgate/internal/errs"
)

// A draft is a file that a command begins, for people to go on with.
type draft struct {
	path, text string
	about      map[string]any // what JSON says of it beside
	said       string         // what the text says after its path
	next       string
}

// writeDraft writes a draft to a file that must not be there yet, or prints it with --dry-run.
func (a *app) writeDraft(c *cli.Context, d draft) error {
	shown := a.rel(d.path)
	value := map[string]any{"path": shown, "written": !c.Bool("dry-run")}
	maps.Copy(value, d.about)
	if c.Bool("dry-run") {
		value["text"] = d.text
		return a.render(value, func(w io.Writer) error {
			_, err := io.WriteString(w, d.text)
			return err
		})
	}
	if err := writeNew(d.path, d.text); err != nil {
		e := errs.As(a.nearby(err))
		if e != nil && e.Code == errs.Refused {
			e.Hintf("--dry-run prints the draft").Then(a.line + " --dry-run")
		}
		return err
	}
	value["next_actions"] = []string{d.next}
	return a.render(value, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "wrote %s; %s\n\nnext: %s\n", shown, d.said, d.next)
		return err
	})
}

// writeNew writes a file that must not be there yet, in a directory that is made where it is missing.
func writeNew(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return errs.New(errs.Internal, "can't create the directory").At("%s", filepath.Dir(path)).Because(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errs.Refusedf("the file is there already").At("%s", path)
	}
	return atomicfile.Write(path, []byte(text), 0o666)
}
