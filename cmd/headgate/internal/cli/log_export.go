package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"headgate/internal/atomicfile"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
	"headgate/internal/livestore/eventlog/filelog"
)

func (a *app) logExportCommand() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "write a log as a dump that `livestore sync import` takes",
		UsageText: "headgate log export --log file:data/demo/eventlog@6.db --out demo.json\n" +
			"headgate log export --env local --store demo --pending --out demo.json",
		Description: `Writes what ` + "`livestore sync export`" + ` would: the events that the backend confirmed, and their digest, by which
` + "`headgate log verify`" + ` and the import know the file again; note it elsewhere, too. Events that it has not are left out
without --pending, clientOnly events always: the format has no place for them. A log with gaps, broken parents or
events that can't be read or are too big to be pulled is refused, and nothing is written. The dump holds the
payloads, so the file is for its owner only (0600). An event that was committed with null arguments has {} in a
client's log; nobody can tell the two apart there.`,
		Flags: logFlags(
			&cli.StringFlag{Name: "out", Usage: "write to `FILE` instead of standard output"},
			&cli.BoolFlag{Name: "pending", Usage: "export the pending events too; their numbers are provisional"},
		),
		Action: a.logExport,
	}
}

type exportResult struct {
	Store      livestore.StoreID `json:"store"`
	Log        string            `json:"log"`
	Out        string            `json:"out"`
	Events     int64             `json:"events"`
	Digest     string            `json:"digest"`
	ExportedAt string            `json:"exportedAt"`
	ClientOnly int64             `json:"clientOnlyLeftOut"`
	Pending    int64             `json:"pendingLeftOut"`
}

func (r exportResult) String() string {
	s := fmt.Sprintf("exported %s of store %s", counted(r.Events, "event"), r.Store)
	if r.Out != "" {
		s += " to " + r.Out
	}
	return s + fmt.Sprintf("; left out: %d clientOnly, %d pending\ndigest %s", r.ClientOnly, r.Pending, r.Digest)
}

func (a *app) logExport(c *cli.Context) (err error) {
	l, err := a.oneLog(c)
	if err != nil {
		return err
	}
	out := c.String("out")
	if out == "" && a.format == formatJSON {
		return errs.Invalidf("--format json needs --out").Hintf("without --out the dump itself goes to standard output")
	}
	r, err := l.open(c.Context)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if f, ok := r.(*filelog.Reader); ok && l.store == "" {
		if l.store = storeOf(f.Path()); l.store == "" {
			return errs.Invalidf("a client's log does not say which store it is of").At("%s", f.Path()).Hintf("name the store with --store")
		}
		a.log.Warn("took the store's id from the folder's name, --store says it for sure", "store", l.store)
	}
	if out == "" {
		x, err := a.export(c.Context, r, a.stdout, l, c.Bool("pending"))
		if err != nil {
			return err
		}
		a.rendered = true
		fmt.Fprintf(a.stderr, "headgate: %s\n", x)
		return nil
	}
	if !filepath.IsAbs(out) {
		out = filepath.Join(a.dir, out)
	}
	f, err := atomicfile.Create(out, 0o600)
	if err != nil {
		return err
	}
	defer f.Abort()
	x, err := a.export(c.Context, r, f, l, c.Bool("pending"))
	if err != nil {
		return err
	}
	if err := f.Commit(); err != nil {
		return err
	}
	x.Out = c.String("out")
	return a.render(x, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, x)
		return err
	})
}

func (a *app) export(ctx context.Context, r eventlog.Reader, w io.Writer, l storeLog, pending bool) (exportResult, error) {
	p := a.progress("exporting "+l.name(), 0)
	defer p.Done()
	x, err := dumplog.Export(ctx, r, w, dumplog.ExportOptions{StoreID: l.store, Now: a.now(), Pending: pending, Progress: func() { p.Add(1) }})
	if err != nil {
		if e := errs.As(readable(err)); e != nil && e.Where == "" {
			e.At("%s", l.url)
		}
		return exportResult{}, readable(err)
	}
	return exportResult{
		Store: x.StoreID, Log: l.url.String(), Events: x.EventCount, Digest: x.Digest, ExportedAt: x.ExportedAt,
		ClientOnly: x.ClientOnly, Pending: x.Pending,
	}, nil
}

// storeOf returns the store that a client's log is of by the folder it lies in, which the node adapter names after
// the store; "" where the folder's name can't be a store's.
func storeOf(path string) livestore.StoreID {
	name := filepath.Base(filepath.Dir(path))
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			return ""
		}
	}
	return livestore.StoreID(name)
}
