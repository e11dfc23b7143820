package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/atomicfile"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/replay"
	"headgate/planner"
)

// baselineFile holds the accepted debt, relative to headgate.yaml.
const baselineFile = "headgate/baseline.yaml"

func (a *app) baselineCommand() *cli.Command {
	return &cli.Command{
		Name:     "baseline",
		Category: plumbing,
		Usage:    "take stock of an app that has years behind it and no recorded releases",
		UsageText: "headgate baseline --env prod --owner ana --dry-run\n" +
			"headgate baseline --env prod --owner ana --expires 180d",
		Description: `Reads the logs of the environment under the code as it lies here: which event names they hold and in which
shapes, what the code does not know or can't decode, whether a rebuild would go through, and what ` + "`headgate check`" + `
finds already. What is found is written to headgate/baseline.yaml as accepted debt, with an owner and an expiry, so that
check reports only what is new. Review the file and commit it; delete a line to see its finding again. Shapes hold keys
and types, never values.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`, where the app has several"},
			&cli.StringFlag{Name: "env", Usage: "read the logs of the environment `ENV`"},
			&cli.StringFlag{Name: "owner", Usage: "`NAME` of who answers for the debt"},
			&cli.StringFlag{Name: "expires", Usage: "when the debt is due: a `DATE` such as 2027-03-31, or a time from now such as 90d", Value: "90d"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print what would be written, write nothing"},
			&cli.BoolFlag{Name: "force", Usage: "replace a baseline that is there"},
		},
		Action: a.baseline,
	}
}

// A debt is an accepted finding in the baseline file.
type debt struct {
	Code    string `yaml:"code" json:"code"`
	Path    string `yaml:"path,omitempty" json:"path,omitempty"`
	Reason  string `yaml:"reason" json:"reason"`
	Owner   string `yaml:"owner" json:"owner"`
	Expires string `yaml:"expires" json:"expires"` // a date
}

// A storeStock is what one log held.
type storeStock struct {
	Store  livestore.StoreID `json:"store"`
	Head   livestore.SeqNum  `json:"head"`
	Events []eventStock      `json:"events"`
	// Rebuild is why a rebuild of this log would fail; empty when it goes through.
	Rebuild string `json:"rebuild,omitempty"`
}

type eventStock struct {
	Name    string       `json:"name"`
	Events  int64        `json:"events"`
	Unknown bool         `json:"unknown,omitempty"` // the code does not define it
	Failing int64        `json:"failing,omitempty"` // events that don't decode
	First   []string     `json:"firstFailing,omitempty"`
	Shapes  []shapeStock `json:"shapes"`
}

type shapeStock struct {
	Shape  string `json:"shape"`
	Events int64  `json:"events"`
	From   string `json:"from"`
	To     string `json:"to"`
}

func (a *app) baseline(c *cli.Context) error {
	if c.String("owner") == "" {
		return errs.Invalidf("--owner is missing").Hintf("accepted debt has someone who answers for it")
	}
	expires, err := expiry(c.String("expires"), a.now())
	if err != nil {
		return err
	}
	cfg, s, env, err := a.chosen(c)
	if err != nil {
		return err
	}
	path := filepath.Join(cfg.Dir, filepath.FromSlash(baselineFile))
	if _, err := os.Stat(path); err == nil && !c.Bool("force") && !c.Bool("dry-run") {
		return errs.Refusedf("there is a baseline already").At("%s", path).
			Hintf("its debt was accepted by someone; --force replaces it, --dry-run shows what a new one would say")
	}
	to, err := a.evaluate(c.Context, cfg, s, cfg.Dir, workingTree)
	if err != nil {
		return err
	}
	var stock []storeStock
	for _, st := range env.Stores {
		if st.Schema != s.Name {
			continue
		}
		log, err := a.storeLog(cfg, env, st)
		if err != nil {
			return err
		}
		one, err := a.takeStock(c, to, log)
		if err != nil {
			return atStore(err, cfg, st)
		}
		stock = append(stock, one)
	}
	facts, err := a.gather(c.Context, comparison{cfg: cfg, schema: s, env: &env, to: to})
	if err != nil {
		return err
	}
	report := planner.Check(planner.Input{To: to.Release, Profile: planner.ProfileFleet, Facts: facts, Now: a.now()})
	debts := []debt{}
	for _, f := range report.Findings {
		if !f.Severity.AtLeast(planner.Warning) {
			continue
		}
		debts = append(debts, debt{
			Code: string(f.Code), Path: f.Place(), Owner: c.String("owner"), Expires: expires,
			Reason: "found when the baseline was taken: " + f.Message,
		})
	}
	if !c.Bool("dry-run") {
		if err := writeBaseline(path, s.Name, env.Name, stock, debts); err != nil {
			return err
		}
	}
	value := map[string]any{"schema": s.Name, "environment": env.Name, "stores": stock, "debt": debts, "path": path, "dryRun": c.Bool("dry-run")}
	return a.render(value, func(w io.Writer) error {
		for _, st := range stock {
			if err := a.writeStock(w, st); err != nil {
				return err
			}
		}
		verb := "written to " + a.rel(path)
		if c.Bool("dry-run") {
			verb = "not written (--dry-run)"
		}
		fmt.Fprintf(w, "%s accepted until %s, %s\n", count(len(debts), "finding"), expires, verb)
		for _, d := range debts {
			fmt.Fprintf(w, "  %s %s\n", d.Code, d.Path)
		}
		_, err := fmt.Fprintf(w, "\nnext: headgate check\n")
		return err
	})
}

// expiry reads a date, or a duration from now on, as a date.
func expiry(s string, now time.Time) (string, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		if !t.After(now) {
			return "", errs.Invalidf("--expires %s is not in the future", s)
		}
		return s, nil
	}
	life, err := config.ParseDuration(s)
	if err != nil {
		return "", errs.Invalidf("--expires %q is neither a date nor a duration", s).Hintf("write 2027-03-31, or 90d, 12w")
	}
	return now.Add(life).UTC().Format(time.DateOnly), nil
}

// takeStock reads one log.
func (a *app) takeStock(c *cli.Context, to build, log storeLog) (storeStock, error) {
	ctx := c.Context
	out := storeStock{Store: log.store, Events: []eventStock{}}
	l, err := a.launcher()
	if err != nil {
		return out, err
	}
	r, err := log.open(ctx)
	if err != nil {
		return out, err
	}
	defer r.Close() //nolint:errcheck // read only
	p := a.progress("reading the log of "+string(log.store), 0)
	defer p.Done()
	shaper := eventlog.NewShaper()
	for e, err := range r.Events(ctx, livestore.ClientSeq{}) {
		var bad *eventlog.Malformed
		if errors.As(err, &bad) {
			continue // the rebuild below reports it
		}
		if err != nil {
			return out, err
		}
		shaper.Add(e)
		p.Add(1)
	}
	ev, err := probe.Decode(ctx, l, programOf(to), r, nil, livestore.ClientSeq{}, p.Add)
	if err != nil {
		return out, err
	}
	decoded := map[string]probe.Decoding{}
	for _, d := range ev.Events {
		decoded[d.Event] = d
	}
	for _, n := range shaper.Events() {
		d := decoded[n.Name]
		one := eventStock{Name: n.Name, Events: n.Events, Unknown: d.Undefined, Shapes: []shapeStock{}}
		if !d.Undefined {
			one.Failing = d.Failing
			for _, o := range d.Offenders {
				one.First = append(one.First, fmt.Sprintf("%s at %s: wanted %s", o.Seq, o.Path, o.Wanted))
			}
		}
		for _, sh := range n.Shapes {
			one.Shapes = append(one.Shapes, shapeStock{Shape: sh.Form, Events: sh.Events, From: sh.First.String(), To: sh.Last.String()})
		}
		out.Events = append(out.Events, one)
	}
	tmp, err := os.MkdirTemp("", "headgate-baseline-")
	if err != nil {
		return out, errs.New(errs.Internal, "make a temporary directory").Because(err)
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // best effort; it is in the system's temporary directory
	res, err := replay.Replay(ctx, l, replay.Target{Release: to.Release, Program: programOf(to), Locate: to.Script.LocateTrace}, r,
		replay.Options{Out: filepath.Join(tmp, "state.db"), Progress: p.Add, Now: a.now})
	if err != nil {
		return out, err
	}
	out.Head = res.Confirmed
	if res.Poison != nil {
		out.Rebuild = res.Poison.String()
	}
	return out, nil
}

func (a *app) writeStock(w io.Writer, st storeStock) error {
	fmt.Fprintf(w, "store %s, head %d\n", a.stdout.paint(strong, string(st.Store)), st.Head)
	rows := [][]string{{"  EVENT", "EVENTS", "SHAPES", "UNDER THE CODE HERE"}}
	for _, e := range st.Events {
		verdict := "decodes"
		switch {
		case e.Unknown:
			verdict = a.stdout.paint(warn, "unknown: skipped on replay")
		case e.Failing > 0:
			verdict = a.stdout.paint(bad, fmt.Sprintf("%d don't decode, first %s", e.Failing, e.First[0]))
		}
		rows = append(rows, []string{"  " + e.Name, fmt.Sprint(e.Events), fmt.Sprint(len(e.Shapes)), verdict})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	if st.Rebuild != "" {
		fmt.Fprintf(w, "  %s %s\n", a.stdout.paint(bad, "a rebuild fails:"), st.Rebuild)
	} else {
		fmt.Fprintf(w, "  a rebuild goes through\n")
	}
	_, err := fmt.Fprintln(w)
	return err
}

// writeBaseline writes the debt, with what the logs held as a comment: it is for the reader, not for headgate.
func writeBaseline(path, schema, env string, stock []storeStock, debts []debt) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Accepted debt of schema %s, taken from the logs of environment %s by `headgate baseline`.\n", schema, env)
	b.WriteString("# `headgate check` reports what is not listed here. A line counts until it expires; remove it to see its finding.\n#\n")
	for _, st := range stock {
		fmt.Fprintf(&b, "# Store %s, head %d:\n", st.Store, st.Head)
		for _, e := range st.Events {
			note := ""
			if e.Unknown {
				note = ", unknown to the code"
			} else if e.Failing > 0 {
				note = fmt.Sprintf(", %d don't decode", e.Failing)
			}
			fmt.Fprintf(&b, "#   %s: %s%s\n", e.Name, count(int(e.Events), "event"), note)
			for _, sh := range e.Shapes {
				fmt.Fprintf(&b, "#     %s to %s, %dx %s\n", sh.From, sh.To, sh.Events, sh.Shape)
			}
		}
		if st.Rebuild != "" {
			fmt.Fprintf(&b, "#   a rebuild fails: %s\n", st.Rebuild)
		}
	}
	text, err := yaml.Marshal(map[string]any{"debt": debts})
	if err != nil {
		return err
	}
	b.Write(text)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return errs.New(errs.Internal, "create the directory").At("%s", filepath.Dir(path)).Because(err)
	}
	return atomicfile.Write(path, []byte(b.String()), 0o666)
}

// loadBaseline reads the accepted debt; none when there is no baseline.
func loadBaseline(cfg *config.Config) ([]planner.Suppression, error) {
	var file struct {
		Debt []yaml.Node `yaml:"debt"`
	}
	path := filepath.Join(cfg.Dir, filepath.FromSlash(baselineFile))
	if found, err := readYAML(path, &file); err != nil || !found {
		return nil, err
	}
	var out []planner.Suppression
	for _, n := range file.Debt {
		var d debt
		if err := decodeStrict(path, &n, &d); err != nil {
			return nil, err
		}
		where := fmt.Sprintf("%s:%d", path, n.Line)
		expires, err := time.Parse(time.DateOnly, d.Expires)
		if err != nil {
			return nil, errs.Invalidf("expires is %q, not a date like 2027-03-31", d.Expires).At("%s", where).Hintf("accepted debt ends on a day")
		}
		s := planner.Suppression{Code: planner.Code(d.Code), Path: d.Path, Reason: d.Reason, Owner: d.Owner, Expires: expires, Where: where}
		if err := s.Validate(); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}
