package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/planner"
)

func (a *app) rollbackStatusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "how far an incident is, and the next command",
		UsageText: "headgate rollback status\nheadgate rollback status --env prod --format json",
		Description: `Reads the incident's own files: no log, no control database. Without an open incident it names the last ones that were
closed.`,
		Flags:  []cli.Flag{&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"}},
		Action: a.rollbackStatus,
	}
}

// A rollbackState is how far incidents are.
type rollbackState struct {
	Incidents   []*corrective.Incident `json:"incidents"` // the open ones
	Closed      []*corrective.Incident `json:"closed"`    // the last of them
	Assessed    map[string]int         `json:"assessed"`  // of how many stores an open incident knows what happened there, by its id
	Situation   *situation             `json:"situation,omitempty"`
	NextActions []string               `json:"next_actions"`
}

const closedShown = 3

func (a *app) rollbackStatus(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if c.String("env") != "" {
		if _, err := cfg.Environment(c.String("env")); err != nil {
			return err
		}
	}
	all, err := a.incidents(cfg)
	if err != nil {
		return err
	}
	s := rollbackState{Incidents: []*corrective.Incident{}, Closed: []*corrective.Incident{}, Assessed: map[string]int{}, NextActions: []string{}}
	var open []*incident
	for _, i := range all {
		switch {
		case c.String("env") != "" && c.String("env") != i.Environment:
		case i.Closed != nil:
			s.Closed = append(s.Closed, i.Incident)
		default:
			s.Incidents, open = append(s.Incidents, i.Incident), append(open, i)
			s.Assessed[i.ID] = i.keptStores()
			s.NextActions = append(s.NextActions, i.nextCommand())
		}
	}
	s.Closed = s.Closed[max(0, len(s.Closed)-closedShown):]
	if len(open) == 0 {
		s.NextActions = append(s.NextActions, "headgate rollback --release RELEASE"+onlyEnv(c))
	}
	return a.render(s, func(w io.Writer) error {
		for _, i := range open {
			a.writeIncident(w, i)
		}
		if len(open) == 0 {
			fmt.Fprintln(w, "no incident is open")
		}
		for _, i := range s.Closed {
			fmt.Fprintf(w, "closed: %s on %s, by %s at %s: %s\n", i.ID, i.Environment, i.Closed.By, i.Closed.At.Format(time.RFC3339), i.Closed.Reason)
		}
		fmt.Fprintln(w)
		for _, n := range s.NextActions {
			fmt.Fprintf(w, "next: %s\n", n)
		}
		return nil
	})
}

// writeIncident tells how far an incident is: what is done on top.
func (a *app) writeIncident(w io.Writer, i *incident) {
	fmt.Fprintf(w, "%s on %s: %s\n", a.stdout.paint(strong, "incident "+i.ID), i.Environment, i.Selection)
	if len(i.Stores) > 0 {
		fmt.Fprintf(w, "  only in %s\n", strings.Join(i.Stores, ", "))
	}
	fmt.Fprintf(w, "  opened by %s at %s: %s\n", i.Opened.By, i.Opened.At.Format(time.RFC3339), i.Reason)
	next := i.Next()
	for _, s := range i.Steps {
		a.writeDoing(w, "  ", s, s.ID == next)
		if n := i.keptStores(); s.ID == corrective.WalkAssess && s.State == corrective.Todo && n > 0 {
			fmt.Fprintf(w, "          what happened in %s is known and kept\n", count(n, "store"))
		}
		if s.ID == corrective.WalkRun && i.Remedy != nil && s.State != corrective.Todo {
			for _, d := range i.Remedy.Steps {
				a.writeDoing(w, "      ", d, false)
			}
		}
	}
}

func (a *app) writeDoing(w io.Writer, indent string, d corrective.Doing, next bool) {
	mark, t := string(d.State), faint
	switch {
	case d.State == corrective.Done:
		t = good
	case d.State == corrective.Begun:
		t = warn
	case next:
		mark, t = "next", strong
	}
	line := fmt.Sprintf("%s%s %s", indent, a.stdout.paint(t, fmt.Sprintf("%-7s", mark)), d.ID)
	if d.Note != "" {
		line += ": " + d.Note
	}
	if d.By != "" {
		line += a.stdout.paint(faint, fmt.Sprintf("  (%s, %s)", d.By, d.At.Format(time.RFC3339)))
	}
	fmt.Fprintln(w, line)
}

// nextCommand is the exact command that comes next.
func (i *incident) nextCommand() string {
	switch i.Next() {
	case corrective.WalkStop:
		return i.app.here(commandLine([]string{"stop", "--env", i.Environment, "--reason", i.ID}))
	case corrective.WalkVerify:
		if v := i.corrected(); v != "" {
			return i.command("rollback verify --release " + v)
		}
		return "headgate release add " + i.shippedAs() + i.onlySchema()
	case corrective.WalkRun:
		for _, d := range i.Remedy.Steps {
			if strings.HasSuffix(d.ID, corrective.UnwrittenStep) {
				return i.planWith()
			}
			if d.State == corrective.Todo || d.State == corrective.Begun {
				if i.bySample() {
					return i.planWhole()
				}
				return i.command("rollback run --step " + d.ID)
			}
		}
		return i.command("rollback run")
	case "":
		return i.command("rollback close --reason TEXT")
	}
	return i.command("rollback " + i.Next())
}

// bySample reports whether the plan deploys something, and was made by a sample of the stores.
func (i *incident) bySample() bool {
	return i.Remedy != nil && i.Remedy.Sampled && i.Remedy.Kind == corrective.CorrectiveRelease
}

// planWhole is the command that brings a plan by a sample closer to one of all stores.
func (i *incident) planWhole() string {
	if i.Step(corrective.WalkAssess).State != corrective.Done {
		return i.command("rollback assess")
	}
	return i.command("rollback plan --remedy " + string(i.Remedy.Kind))
}

// onlySchema names the schema in a command, where the app has several.
func (i *incident) onlySchema() string {
	s, err := i.cfg.Schema(i.Schema)
	if err != nil {
		return ""
	}
	return onlySchema(i.cfg, s)
}

// corrected is the release that was recorded last, where it came after the bad one.
func (i *incident) corrected() string {
	versions, err := releaseDir(i.cfg).Versions(i.Schema)
	if err != nil || len(versions) == 0 {
		return ""
	}
	last := versions[len(versions)-1]
	if last == i.Bad || schema.CompareVersions(last, i.Bad) < 0 {
		return ""
	}
	return last
}

// shippedAs is the version that the plan gives the corrected release.
func (i *incident) shippedAs() string {
	p, err := i.plan()
	if err != nil {
		return "VERSION"
	}
	for _, s := range p.Intent.Steps {
		if s.Kind == planner.ProveCorrections {
			return s.Release
		}
	}
	return "VERSION"
}

// releases gives `rollback verify` what the plan says: what the corrected release is built on, and what clients run now.
func (i *incident) releases(c *cli.Context) error {
	if i.Remedy == nil || i.Remedy.Kind != corrective.CorrectiveRelease {
		return nil
	}
	for name, v := range map[string]string{"base": i.Remedy.Base, "bad": i.Remedy.Bad, "release": i.corrected()} {
		if v == "" || c.IsSet(name) {
			continue
		}
		if err := c.Set(name, v); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) rollbackCloseCommand() *cli.Command {
	return &cli.Command{
		Name:      "close",
		Usage:     "end an incident",
		UsageText: "headgate rollback close --env prod --reason=1.3.1-is-everywhere",
		Description: `The folder stays, with all that was found and done. It says what was not done, and closes all the same: a false alarm
ends like this, too. What headgate stop holds stays held until --lift.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "reason", Usage: "why it is over: `TEXT`"},
		},
		Action: a.rollbackClose,
	}
}

func (a *app) rollbackClose(c *cli.Context) error {
	i, err := a.neededIncident(c)
	if err != nil {
		return err
	}
	reason, err := a.neededReason(c, "it stays in the incident and in the audit: what ended it, or that it was a false alarm")
	if err != nil {
		return err
	}
	left := []string{}
	for _, s := range i.Steps {
		if s.State == corrective.Todo || s.State == corrective.Begun {
			left = append(left, s.ID)
		}
	}
	if err := i.record(c.Context, operate.CloseIncident, reason, operate.IncidentNote{Left: left}); err != nil {
		return err
	}
	i.Closed = &corrective.Deed{By: a.by("").Actor, At: a.now().UTC().Truncate(time.Second), Reason: reason}
	if err := i.save(); err != nil {
		return err
	}
	_ = os.Remove(i.path(keptFile)) // best effort: assess.json says what was found
	next := []string{i.command("rollback status")}
	if i.Step(corrective.WalkStop).State == corrective.Done {
		next = []string{a.here("headgate stop --env " + i.Environment + " --lift --reason TEXT")}
	}
	return a.render(map[string]any{"incident": i.Incident, "left": left, "next_actions": next}, func(w io.Writer) error {
		fmt.Fprintf(w, "incident %s is closed; its folder stays\n", i.ID)
		if len(left) > 0 {
			fmt.Fprintf(w, "  not done: %s\n", strings.Join(left, ", "))
		}
		_, err := fmt.Fprintf(w, "\nnext: %s\n", next[0])
		return err
	})
}

// stepped is an error about a step of the plan that does not exist.
func (i *incident) stepped(name string) error {
	var ids []string
	for _, d := range i.Remedy.Steps {
		ids = append(ids, d.ID)
	}
	return errs.NotFoundf("the plan has no step %q", name).At("%s", i.shown("plan.json")).
		Hintf("there are: %s", strings.Join(ids, ", ")).Then(i.command("rollback status"))
}

// doing finds a step of the plan by its id, by its number, or by the id without it.
func (i *incident) doing(name string) *corrective.Doing {
	for n := range i.Remedy.Steps {
		d := &i.Remedy.Steps[n]
		number, bare, _ := strings.Cut(d.ID, "-")
		if name == d.ID || name == bare || name == number {
			return d
		}
	}
	return nil
}
