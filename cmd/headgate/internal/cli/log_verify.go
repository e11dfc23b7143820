package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog/transfer"
)

func (a *app) logVerifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "make sure that a dump is whole, and the same as a log",
		ArgsUsage: "FILE",
		UsageText: "headgate log verify acme.json\n" +
			"headgate log verify acme.json --digest sha256-…\n" +
			"headgate log verify acme.json --env prod --store acme",
		Description: `Reads a dump and compares it with what it says of itself: the number of its events and, where headgate wrote it, their
digest. With --digest it must be that one, with --store (or --log) the log must have just the same events. A
difference ends with 8 and is named; a file that is cut off or no dump with 2, events that no backend could take with 7.

The digest is the SHA-256 over the events: numbers, names, clients, sessions and arguments. How a backend writes the same
arguments does not count, nor which store they are in, and no times. A dump of LiveStore's own CLI names none.`,
		Flags:  logFlags(&cli.StringFlag{Name: "digest", Usage: "the digest must be `DIGEST`"}),
		Action: a.logVerify,
	}
}

// A wholeDump is what `log verify` reports.
type wholeDump struct {
	File     string            `json:"file"`
	Store    livestore.StoreID `json:"store"` // that the dump was made of
	Events   int64             `json:"events"`
	Digest   string            `json:"digest"`
	Declared bool              `json:"digestDeclared"`
	Same     string            `json:"sameAs,omitempty"` // the log that has the same events
}

func (a *app) logVerify(c *cli.Context) (err error) {
	d, err := a.openDump(c, c.String("digest"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	v := wholeDump{File: d.Path, Store: d.Found.StoreID, Events: d.Found.Events, Digest: d.Found.Digest, Declared: d.Found.Declared}
	if c.IsSet("log") || c.IsSet("store") {
		l, err := a.oneLog(c)
		if err != nil {
			return err
		}
		r, err := l.open(c.Context)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		p := a.progress("comparing "+l.name(), d.Found.Events)
		defer p.Done()
		if err := transfer.Same(c.Context, r, d.Reader, p.Add); err != nil {
			if e := errs.As(err); e != nil && e.Where == "" {
				e.At("%s", l.name())
			}
			return readable(err)
		}
		v.Same = l.name()
	}
	return a.render(v, func(w io.Writer) error {
		fmt.Fprintf(w, "%s is whole: %s of store %s\ndigest %s\n", v.File, counted(v.Events, "event"), v.Store, v.Digest)
		if !v.Declared {
			fmt.Fprintln(w, "it names no digest, so that a changed event would not be noticed: note this one elsewhere")
		}
		if v.Same != "" {
			fmt.Fprintf(w, "%s has just these events\n", v.Same)
		}
		return nil
	})
}

// openDump opens and verifies the dump that the command is about. The caller closes it.
func (a *app) openDump(c *cli.Context, digest string) (operate.Dump, error) {
	name := c.Args().First()
	return operate.OpenDump(c.Context, a.abs(name), name, digest, a.progresses)
}

// progresses shows progress on stderr.
func (a *app) progresses(label string, total int64) (add func(int64), done func()) {
	p := a.progress(label, total)
	return p.Add, p.Done
}
