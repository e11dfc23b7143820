package cli

import (
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/internal/errs"
	"headgate/internal/livestore/replay/state"
)

func (a *app) stateDiffCommand() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "compare two states by primary key",
		ArgsUsage: "FILE FILE",
		UsageText: "headgate state diff before.db after.db\n" +
			"headgate state diff before.db after.db --table todos --rows 20 --reveal",
		Description: `Counts per table, then the first rows that differ. Values are shown as type, length and a hash whose key is of this
run alone, so that equal values can be told from different ones and nothing leaves this machine; --reveal shows them.
A table without a primary key is compared by whole rows. Ends with 0 if the states are equal and 8 if they differ.`,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "rows", Usage: "show the first `N` rows that differ, per table", Value: 5},
			&cli.StringSliceFlag{Name: "table", Usage: "compare only the table `NAME`; may be repeated"},
			&cli.BoolFlag{Name: "reveal", Usage: "show values: they are the users' data"},
		},
		Action: a.stateDiff,
	}
}

func (a *app) stateDiff(c *cli.Context) error {
	pathA, pathB := a.abs(c.Args().Get(0)), a.abs(c.Args().Get(1))
	if c.Int("rows") < 0 {
		return errs.Invalidf("--rows %d is negative", c.Int("rows"))
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return errs.New(errs.Internal, "no randomness").Because(err)
	}
	if c.Bool("reveal") {
		a.log.Info("values of a state are revealed", "a", pathA, "b", pathB)
	}
	d, err := compareStates(c.Context, pathA, pathB, state.Options{
		Rows: c.Int("rows"), HashKey: key, Reveal: c.Bool("reveal"), Tables: c.StringSlice("table"),
	})
	if err != nil {
		return err
	}
	for _, name := range c.StringSlice("table") {
		if !slices.ContainsFunc(d.Tables, func(t state.TableDiff) bool { return t.Name == name }) {
			return errs.NotFoundf("neither state has a table %q", name).Then(fmt.Sprintf("headgate state digest %s", c.Args().First()))
		}
	}
	err = a.render(struct {
		A string `json:"a"`
		B string `json:"b"`
		state.Diff
	}{pathA, pathB, d}, func(w io.Writer) error { return a.writeDiff(w, d) })
	if err != nil {
		return err
	}
	if e := errs.As(differs(d)); e != nil {
		if !c.Bool("reveal") {
			e.Then(fmt.Sprintf("headgate state diff %s %s --reveal", c.Args().Get(0), c.Args().Get(1)))
		}
		return e
	}
	return nil
}

func (a *app) writeDiff(w io.Writer, d state.Diff) error {
	for _, o := range d.Schema {
		fmt.Fprintf(w, "%s %s %s\n", o.Type, a.stdout.paint(strong, o.Name), sideOf(o.A != "", o.B != "", "made differently"))
		if o.A != "" {
			fmt.Fprintf(w, "  a: %s\n", oneLine(o.A))
		}
		if o.B != "" {
			fmt.Fprintf(w, "  b: %s\n", oneLine(o.B))
		}
	}
	if len(d.Schema) > 0 {
		fmt.Fprintln(w)
	}
	rows := [][]string{{"TABLE", "ROWS A", "ROWS B", "ONLY A", "ONLY B", "CHANGED", ""}}
	for _, t := range d.Tables {
		verdict := a.stdout.paint(good, "equal")
		if !t.Equal() {
			verdict = a.stdout.paint(bad, "differs")
		}
		rows = append(rows, []string{t.Name, fmt.Sprint(t.RowsA), fmt.Sprint(t.RowsB), fmt.Sprint(t.OnlyA), fmt.Sprint(t.OnlyB), fmt.Sprint(t.Changed), verdict})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	for _, t := range d.Tables {
		a.writeRows(w, t)
	}
	return nil
}

func (a *app) writeRows(w io.Writer, t state.TableDiff) {
	if len(t.Rows) == 0 {
		return
	}
	total := t.OnlyA + t.OnlyB + t.Changed
	fmt.Fprintf(w, "\n%s, first %d of %d\n", a.stdout.paint(strong, t.Name), len(t.Rows), total)
	for _, r := range t.Rows {
		var key []string
		for _, v := range r.Key {
			key = append(key, v.Column+"="+v.String())
		}
		fmt.Fprintf(w, "  %s  %s\n", strings.Join(key, " "), sideOf(r.In != "b", r.In != "a", "changed"))
		for _, c := range r.Columns {
			fmt.Fprintf(w, "    %s: %s, now %s\n", c.Column, c.A, c.B)
		}
	}
}

func sideOf(a, b bool, both string) string {
	switch {
	case a && b:
		return both
	case a:
		return "only in a"
	}
	return "only in b"
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
