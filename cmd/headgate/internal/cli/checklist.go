package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/errs"
	"headgate/planner"
)

func (a *app) checklistCommand() *cli.Command {
	return &cli.Command{
		Name:      "checklist",
		Category:  daily,
		Usage:     "the production checklist, each item with its verdict",
		UsageText: "headgate checklist\nheadgate checklist --env prod --fail-on open --format markdown",
		Description: `What an app should have settled before it goes live. An item is passed or failed by findings and logs, attested by
a person, not applicable with a reason, or open. What people vouch for stands in headgate/checklist.yaml:

    attestations:
      - {item: B1, by: ana, at: 2026-11-02, expires: 2027-05-02, link: "https://…"}
      - {item: X2, notApplicable: true, reason: "the backend has to search the texts"}

Exit status 3 says that items failed; with --fail-on open, that some are undecided.`,
		Flags: append(comparisonFlags(),
			choice("fail-on", "exit with 3 when an item is `VERDICT`: failed, or also open", "failed", "open"),
			formatFlag("markdown"),
		),
		Action: a.checklist,
	}
}

func (a *app) checklist(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	schemas, err := schemasNamed(cfg, c.String("schema"))
	if err != nil {
		return err
	}
	failOn := planner.Failed
	if c.String("fail-on") == "open" {
		failOn = planner.Open
	}
	var lists []planner.Checklist
	var failed []string
	for _, s := range schemas {
		cmp, err := a.compare(c, cfg, s, nil, "")
		if err != nil {
			return err
		}
		in, err := a.input(c.Context, cmp, planner.ProfileFleet)
		if err != nil {
			return err
		}
		list, err := a.checklistOf(c.Context, cmp, in, planner.Check(in))
		if err != nil {
			return err
		}
		lists = append(lists, list)
		for _, item := range list.Failing(failOn) {
			if len(schemas) > 1 {
				item.ID = s.Name + " " + item.ID
			}
			failed = append(failed, item.ID)
		}
	}
	err = a.render(map[string]any{"checklists": lists},
		func(w io.Writer) error {
			return each(w, lists, func(w io.Writer, l planner.Checklist) error { return l.WriteText(w, a.paintSeverity) })
		},
		rendering{"markdown", func(w io.Writer) error {
			return each(w, lists, func(w io.Writer, l planner.Checklist) error { return l.WriteMarkdown(w) })
		}},
	)
	if err != nil || len(failed) == 0 {
		return err
	}
	return errs.New(errs.Findings, "%s of the checklist: %s", count(len(failed), "item"), strings.Join(failed, ", ")).
		Hintf("mend what failed, or accept its finding under suppressions in %s; for what is open, and only people can know, add a line to %s",
			config.FileName, checklistFile).Then("headgate help checklist")
}

// checklistOf decides the checklist of a comparison whose facts were gathered.
func (a *app) checklistOf(ctx context.Context, c comparison, in planner.Input, report planner.Report) (planner.Checklist, error) {
	attestations, err := loadAttestations(c.cfg)
	if err != nil {
		return planner.Checklist{}, err
	}
	drill, err := a.drillOf(c.cfg, c.schema.Name)
	if err != nil {
		return planner.Checklist{}, err
	}
	helper := false
	for _, m := range c.to.Script.Modules {
		helper = helper || strings.HasSuffix(m, ".generated.ts") && strings.Contains(m, "headgate")
	}
	return planner.NewChecklist(planner.ChecklistInput{
		To: in.To, From: in.From, History: in.History, Report: report, Facts: in.Facts, Attestations: attestations, Now: in.Now,
		HelperPresent: helper, RollbackDrill: drill, Telemetry: a.telemetryOf(ctx, c.env),
	}), nil
}

// telemetryOf is what was heard of an environment in the last 24 hours. Where that can't be asked, nothing is known.
func (a *app) telemetryOf(ctx context.Context, env *config.Environment) *planner.Telemetry {
	if env == nil {
		return nil
	}
	const within = 24 * time.Hour
	report, err := a.signalsOf(ctx, *env, within)
	if err != nil || report == nil {
		if err != nil {
			a.log.Warn("what was heard of the environment can't be asked", "environment", env.Name, "error", err)
		}
		return nil
	}
	since := a.now().Add(-within)
	t := &planner.Telemetry{Environment: env.Name, Connections: report.Reported.After(since), Apps: report.Told.After(since)}
	if report.Traced.After(since) {
		t.Traced = report.Traced
	}
	for _, s := range report.Signals {
		t.Latency = t.Latency || s.Value != nil && (strings.HasPrefix(string(s.Signal), "push-latency") || strings.HasPrefix(string(s.Signal), "pull-latency"))
	}
	return t
}

// signalsOf are an environment's signals, from its server or its control database; nil where there is none yet.
func (a *app) signalsOf(ctx context.Context, env config.Environment, within time.Duration) (report *operate.SignalReport, err error) {
	if address := a.serverOf(env); address != "" {
		client, err := a.client(address, env.Name)
		if err != nil {
			return nil, err
		}
		r, err := client.Signals(ctx, within)
		return &r, err
	}
	db, err := a.existingControl(ctx, env)
	if db == nil || err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	r, err := a.operate(env, db).Signals(ctx, within)
	return &r, err
}

// checklistFile is where people vouch, relative to headgate.yaml.
const checklistFile = "headgate/checklist.yaml"

// A day is a date in a YAML file: midnight UTC.
type day struct{ time.Time }

// UnmarshalYAML reads 2026-11-02.
func (d *day) UnmarshalYAML(n *yaml.Node) error {
	t, err := time.Parse(time.DateOnly, n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is not a date like 2026-11-02", n.Line, n.Value)
	}
	d.Time = t
	return nil
}

func loadAttestations(cfg *config.Config) ([]planner.Attestation, error) {
	type entry struct {
		Item          string `yaml:"item"`
		By            string `yaml:"by"`
		At            day    `yaml:"at"`
		Expires       day    `yaml:"expires"`
		Link          string `yaml:"link"`
		NotApplicable bool   `yaml:"notApplicable"`
		Reason        string `yaml:"reason"`
	}
	var file struct {
		Attestations []yaml.Node `yaml:"attestations"`
	}
	path := filepath.Join(cfg.Dir, filepath.FromSlash(checklistFile))
	if found, err := readYAML(path, &file); err != nil || !found {
		return nil, err
	}
	var out []planner.Attestation
	for _, n := range file.Attestations {
		var e entry
		if err := decodeStrict(path, &n, &e); err != nil {
			return nil, err
		}
		at := planner.Attestation{
			Item: e.Item, By: e.By, At: e.At.Time, Expires: e.Expires.Time, Link: e.Link, NotApplicable: e.NotApplicable, Reason: e.Reason,
			Where: fmt.Sprintf("%s:%d", path, n.Line),
		}
		if err := at.Validate(); err != nil {
			return nil, err
		}
		out = append(out, at)
	}
	return out, nil
}

// readYAML reads a file that headgate keeps beside headgate.yaml, strictly. A file that is not there is not an error.
func readYAML(path string, into any) (found bool, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, errs.New(errs.Internal, "can't read the file").At("%s", path).Because(err).Hintf("make it readable")
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return false, yamlError(path, err)
	}
	return true, nil
}

// decodeStrict decodes one node; an unknown key is an error.
func decodeStrict(path string, n *yaml.Node, into any) error {
	data, err := yaml.Marshal(n)
	if err != nil {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return yamlError(fmt.Sprintf("%s:%d", path, n.Line), err)
	}
	return nil
}

// yamlError says what is wrong with a file, in the user's words: not which Go type it does not fit, and where names
// the line of an entry better than the decoder, which sees only the entry.
func yamlError(where string, err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	msg = strings.TrimPrefix(msg, "unmarshal errors:\n  ")
	msg = regexp.MustCompile(`(?m)^(\s*)line 1: `).ReplaceAllString(msg, "$1")
	msg = regexp.MustCompile(`field (\S+) not found in type \S+`).ReplaceAllString(msg, `unknown key "$1"`)
	msg = regexp.MustCompile(`cannot unmarshal \S+ (.*) into \S+`).ReplaceAllString(msg, "$1 does not fit here")
	return errs.Invalidf("%s", strings.ReplaceAll(msg, "\n  ", "; ")).At("%s", where).Hintf("see `headgate help checklist` and `headgate help baseline` for what may stand there")
}
