package cli

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"headgate/internal/codegen"
	"headgate/internal/errs"
)

const epochBumpHelp = `Raises the epoch by adding a table named after it to the state's schema, so that LiveStore's state hash
moves and every client makes its state anew, from its own event log, at its next start. Events are kept, those
that were not sent yet too. Bump when the tables stay the same but what is in them would not: a materializer was
fixed, or a release reads an event that earlier releases skipped.

The new epoch is the highest one known plus one, looked for in the manifest, the generated file, the recorded
releases and every branch that git knows, so that no client ever reopens a state file of an earlier epoch.`

func (a *app) epochCommand() *cli.Command {
	return &cli.Command{
		Name:      "epoch",
		Category:  plumbing,
		Usage:     "have every client rebuild its state from its event log",
		UsageText: "headgate epoch bump --reason=todos-archived-before-1.2.0",
		Subcommands: []*cli.Command{{
			Name:        "bump",
			Usage:       "raise the epoch: every client rebuilds its state at its next start",
			Description: epochBumpHelp,
			UsageText:   "headgate epoch bump --reason=todos-archived-before-1.2.0\nheadgate epoch bump --schema main --dry-run",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`"},
				&cli.StringFlag{Name: "reason", Usage: "why, for the manifest: `TEXT`"},
				&cli.BoolFlag{Name: "dry-run", Usage: "print the new epoch, write nothing"},
				&cli.BoolFlag{Name: "force", Usage: "write over a generated file that was changed by hand"},
			},
			Action: a.epochBump,
		}},
	}
}

// A bump is what `headgate epoch bump` reports.
type bump struct {
	Schema      string           `json:"schema"`
	From        int              `json:"from"`
	To          int              `json:"to"`
	Reason      string           `json:"reason"`
	Table       string           `json:"table"`
	File        string           `json:"file"`
	Looked      []codegen.Looked `json:"looked"`
	Written     bool             `json:"written"`
	NextActions []string         `json:"next_actions"`
}

func (a *app) epochBump(c *cli.Context) error {
	reason := reasonOf(c)
	if len(reason) > 500 {
		return errs.Invalidf("--reason has %d bytes, 500 are enough for one line", len(reason))
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	s, err := cfg.Schema(c.String("schema"))
	if err != nil {
		return err
	}
	w := codegen.Workspace{Dir: cfg.Dir, Releases: cfg.Releases}
	if err := w.CheckStrategy(s.Name); err != nil {
		return err
	}
	m, err := codegen.Load(w.ManifestFile())
	if err != nil {
		return err
	}
	if _, err := w.Add(m, s.Name, s.Entry); err != nil {
		return err
	}
	known, err := w.KnownEpochs(c.Context, m, s.Name, true)
	if err != nil {
		return err
	}
	before, err := w.Files(m, s.Name)
	if err != nil {
		return err
	}
	for _, f := range before {
		if err := f.CheckOverwrite(); err != nil && !c.Bool("force") {
			errs.As(err).Then("headgate epoch bump --schema " + s.Name + " --force")
			return err
		}
	}
	from := m.Schemas[s.Name].Epoch
	to, err := m.Bump(s.Name, known, reason)
	if err != nil {
		return err
	}
	files, err := w.Files(m, s.Name)
	if err != nil {
		return err
	}
	result := bump{
		Schema: s.Name, From: from, To: to, Reason: reason, Table: fmt.Sprintf("headgate_epoch_%d", to),
		File: m.Schemas[s.Name].File, Looked: known.Looked, Written: !c.Bool("dry-run"), NextActions: []string{"headgate plan"},
	}
	if result.Written {
		if err := w.Save(m, files); err != nil {
			return err
		}
	}
	return a.render(result, func(out io.Writer) error { return a.writeBump(out, result) })
}

func (a *app) writeBump(w io.Writer, b bump) error {
	verb := "is now"
	if !b.Written {
		verb = "would be"
	}
	fmt.Fprintf(w, "schema %s: the epoch %s %d (it was %d)\n", b.Schema, verb, b.To, b.From)
	for _, l := range b.Looked {
		have := "no epoch"
		if l.Epoch >= 0 {
			have = fmt.Sprintf("epoch %d", l.Epoch)
		}
		if l.Note != "" {
			have += "; " + a.stdout.paint(warn, l.Note)
		}
		fmt.Fprintf(w, "  looked at %s: %s\n", l.Place, have)
	}
	if b.Written {
		fmt.Fprintf(w, "  wrote %s and %s\n", codegen.ManifestPath, b.File)
	}
	fmt.Fprintf(w, `
Every client that gets this code rebuilds its whole state from its own event log at its next start. Events,
unsent ones too, are kept. Until the rebuild is done the app waits; headgate plan says how long that is.
next: headgate plan
`)
	return nil
}
