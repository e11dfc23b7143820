package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"headgate/corrective"
	"headgate/internal/atomicfile"
	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog/dumplog"
)

func (a *app) logTransformCommand() *cli.Command {
	return &cli.Command{
		Name:      "transform",
		Usage:     "make a dump of what corrections make of another one",
		ArgsUsage: "FILE",
		UsageText: "headgate log transform acme.json --corrections headgate/corrections/main.yaml --out better.json\n" +
			"headgate log transform damaged.json --out dense.json",
		Description: `Writes the events of a dump with corrections applied: those that are skipped are left out, others get other arguments, or
other events in their place, by the same file that corrects what the app's next release makes of them (headgate help
corrections-file). What comes out is numbered from 1 without gaps, keeps the writers, and has a digest; a log that it is
imported into holds it like any other. FILE.provenance.jsonl beside it says of each event which one it was, by number,
correction and digest of its former arguments; of those that were dropped, too.

Without --corrections the events are only numbered anew. Corrections of which none matches anything are an error, and
nothing is written. Payloads go from file to file, both for their owner only (0600).`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "corrections", Usage: "apply the corrections of `FILE`"},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write the dump to `FILE`", Required: true},
		},
		Action: a.logTransform,
	}
}

// A transformation is what `log transform` reports.
type transformation struct {
	corrective.Transformed
	Out         string   `json:"out"`
	Provenance  string   `json:"provenance"`
	NextActions []string `json:"next_actions"`
}

func (a *app) logTransform(c *cli.Context) (err error) {
	name, out := c.Args().First(), c.String("out")
	corrections, err := a.correctionsTyped(c)
	if err != nil {
		return err
	}
	d, err := a.transformable(c, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	t := transformation{Out: out, Provenance: out + ".provenance.jsonl"}
	for _, made := range []string{t.Out, t.Provenance} {
		if sameFileOnDisk(a.abs(made), a.abs(name)) {
			return errs.Refusedf("%s is what is transformed: writing over it would lose what is dropped", made).Hintf("name another file with --out")
		}
	}
	dump, err := atomicfile.Create(a.abs(t.Out), 0o600)
	if err != nil {
		return err
	}
	defer dump.Abort()
	provenance, err := atomicfile.Create(a.abs(t.Provenance), 0o600)
	if err != nil {
		return err
	}
	defer provenance.Abort()
	p := a.progress("transforming "+name, 2*d.Header().EventCount)
	defer p.Done()
	t.Transformed, err = corrective.Transform{
		Log: d, Store: d.Header().StoreID, Corrections: corrections, Out: dump, Provenance: provenance, Now: a.now(),
		Progress: func() { p.Add(1) },
	}.Run(c.Context)
	if err != nil {
		return readable(err)
	}
	if err := provenance.Commit(); err != nil { // a dump without it would not say what it is made of
		return err
	}
	if err := dump.Commit(); err != nil {
		return err
	}
	t.NextActions = []string{"headgate log verify " + t.Out, "headgate log import " + t.Out + " --env ENV --store STORE --dry-run"}
	return a.render(t, func(w io.Writer) error { return writeTransformation(w, t) })
}

// sameFileOnDisk reports whether two paths lead to one file that exists.
func sameFileOnDisk(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

func writeTransformation(w io.Writer, t transformation) error {
	fmt.Fprintf(w, "wrote %s of store %s to %s, of %d that were read\n", counted(t.Written, "event"), t.Store, t.Out, t.Read)
	rows := [][]string{{"CORRECTION", "MATCHED", "DROPPED", "MADE"}}
	for _, n := range t.Corrections {
		note := ""
		if n.Matched == 0 {
			note = "matches nothing"
		}
		rows = append(rows, []string{n.Name, fmt.Sprint(n.Matched), fmt.Sprint(n.Dropped), fmt.Sprint(n.Made), note})
	}
	if len(t.Corrections) > 0 {
		rows = append(rows, []string{"none", fmt.Sprint(t.Unchanged), "0", fmt.Sprint(t.Unchanged)})
		if err := table(w, rows); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "digest %s\n%s says where each event comes from\n\n", t.Digest, t.Provenance)
	for _, n := range t.NextActions {
		fmt.Fprintf(w, "next: %s\n", n)
	}
	return nil
}

// correctionsTyped reads the file that --corrections names; none without it.
func (a *app) correctionsTyped(c *cli.Context) (corrective.Corrections, error) {
	name := c.String("corrections")
	if name == "" {
		return corrective.Corrections{}, nil
	}
	text, err := os.ReadFile(a.abs(name))
	if errors.Is(err, fs.ErrNotExist) {
		return corrective.Corrections{}, errs.NotFoundf("there is no such file").At("%s", name).Then("headgate help corrections-file")
	}
	if err != nil {
		return corrective.Corrections{}, errs.Invalidf("can't read the corrections").At("%s", name).Because(err)
	}
	parsed, err := corrective.ParseCorrections(c.Context, name, text)
	if err == nil && len(parsed.List) == 0 {
		err = errs.Invalidf("the file has no correction").At("%s", name).Then("headgate help corrections-file")
	}
	return parsed, err
}

// transformable opens a dump that is what it says of itself. A number that is missing in it is no hindrance: those are given
// anew.
func (a *app) transformable(c *cli.Context, name string) (*dumplog.Reader, error) {
	r, err := dumplog.Open(c.Context, a.abs(name), dumplog.Options{})
	if err != nil {
		return nil, err
	}
	p := a.progress("reading "+name, r.Header().EventCount)
	defer p.Done()
	if _, err := r.Verify(c.Context, func() { p.Add(1) }); err != nil && errs.CodeOf(err) != errs.Findings {
		return nil, errors.Join(readable(err), r.Close())
	}
	return r, nil
}
