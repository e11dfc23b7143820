package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"headgate/internal/errs"
	"headgate/internal/livestore/replay/state"
)

func (a *app) stateCommand() *cli.Command {
	return &cli.Command{
		Name:     "state",
		Category: plumbing,
		Usage:    "replay logs into states, and compare states",
		UsageText: "headgate state replay --log file:data/demo/eventlog@6.db --release 1.3.0 --out state.db\n" +
			"headgate state diff state.db data/demo/state-29922846017@6.db",
		Description: `A state is the SQLite database that a release's materializers make of a log: what LiveStore keeps on a client as
state<HASH>@6.db. It is compared by what is in it: rows by primary key, each value with its type, tables and indexes
by the text that made them. LiveStore's own tables (__livestore_*) are left out.`,
		Subcommands: []*cli.Command{
			a.stateReplayCommand(),
			a.stateDiffCommand(),
			{
				Name:      "digest",
				Usage:     "print what a state holds: rows and a digest per table",
				ArgsUsage: "FILE",
				UsageText: "headgate state digest state.db\nheadgate state digest state.db --format json",
				Description: `Two states with the same digest hold the same, whatever wrote them: schema, rows, values and their types. A file
that is being written, or whose writer was killed, is refused.`,
				Action: a.stateDigest,
			},
		},
	}
}

func (a *app) stateDigest(c *cli.Context) error {
	path := a.abs(c.Args().First())
	d, err := state.DigestFile(c.Context, path)
	if err != nil {
		return err
	}
	return a.render(struct {
		File string `json:"file"`
		state.Digest
	}{path, d}, func(w io.Writer) error { return writeDigest(w, d) })
}

func writeDigest(w io.Writer, d state.Digest) error {
	rows := [][]string{{"TABLE", "ROWS", "DIGEST"}}
	for _, t := range d.Tables {
		rows = append(rows, []string{t.Name, fmt.Sprint(t.Rows), short(t.Digest)})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nstate %s\n", d.Digest)
	return err
}

// short is the beginning of a digest, enough to compare by eye.
func short(digest string) string {
	const most = len("sha256-") + 16
	return digest[:min(len(digest), most)]
}

// openStates opens two state files.
func openStates(pathA, pathB string) (fa, fb *state.File, err error) {
	if fa, err = state.Open(pathA); err != nil {
		return nil, nil, err
	}
	if fb, err = state.Open(pathB); err != nil {
		fa.Close()
		return nil, nil, err
	}
	return fa, fb, nil
}

// compareStates compares two state files.
func compareStates(ctx context.Context, pathA, pathB string, o state.Options) (state.Diff, error) {
	fa, fb, err := openStates(pathA, pathB)
	if err != nil {
		return state.Diff{}, err
	}
	defer fa.Close()
	defer fb.Close()
	return state.Compare(ctx, fa, fb, o)
}

// differs is the error of a comparison that found something.
func differs(d state.Diff) error {
	if d.Equal {
		return nil
	}
	tables := 0
	for _, t := range d.Tables {
		if !t.Equal() {
			tables++
		}
	}
	return errs.New(errs.Mismatch, "the states differ: %s, %s", count(tables, "table"), count(len(d.Schema), "schema difference"))
}
