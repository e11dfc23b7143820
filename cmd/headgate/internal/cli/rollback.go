package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore"
)

func (a *app) rollbackCommand() *cli.Command {
	return &cli.Command{
		Name:      "rollback",
		Category:  daily,
		Usage:     "get over a bad release: what it did, what to do about it, step by step",
		UsageText: "headgate rollback\nheadgate rollback --release 1.3.0 --env prod\nheadgate rollback --event v2.TodoCreated --since 6h --env prod",
		Description: `A committed event can't be un-committed, and deploying the old release again does not bring the old state back: LiveStore
rebuilds a client's state only when the hash of its tables moves. So look before anything is deployed.

With a release, an event or another condition it opens an incident, a folder below headgate/incidents. On a terminal it then
leads through it: stop what makes it worse, assess what it did, plan the remedy, generate the corrections, verify them on copies
of the logs, run the plan. One question at a time, and Enter is always the safe answer; leave with q at any point, and
headgate rollback goes on from there. Each step is a command of its own, below, and takes from the open incident what it is not
told. Without a terminal it says how it stands and which command comes next, and asks nothing.

While an incident is open, headgate gate lets nothing through to its environment but the release that was verified.`,
		Flags: append(slices.DeleteFunc(selectionFlags(), func(f cli.Flag) bool {
			return slices.Contains([]string{"no-state", "jobs", "format"}, f.Names()[0])
		}), &cli.StringFlag{Name: "reason", Usage: "what happened, in a few words: `TEXT`"}),
		Action: a.rollback,
		Subcommands: []*cli.Command{
			a.rollbackAssessCommand(), a.rollbackPlanCommand(), a.rollbackGenerateCommand(), a.rollbackVerifyCommand(), a.rollbackRunCommand(),
			a.rollbackStatusCommand(), a.rollbackCloseCommand(), a.rollbackInstructionsCommand(), a.rollbackDrillCommand(),
		},
	}
}

// selectionFlags say which events are the bad ones, and where to look for them.
func selectionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "release", Usage: "the events that `RELEASE` wrote"},
		&cli.StringSliceFlag{Name: "event", Usage: "the events named `NAME`; may be repeated"},
		&cli.StringFlag{Name: "where", Usage: "the events for which the `SQL` expression holds: args ->> 'list' = 'archive'"},
		&cli.StringFlag{Name: "since", Usage: "the events from `POINT` on: a number (e120), a time (2027-01-31T12:00:00Z) or an age (6h)"},
		&cli.StringSliceFlag{Name: "client", Usage: "the events of the client `ID`; may be repeated"},
		&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
		&cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`, where the app has several"},
		&cli.StringSliceFlag{Name: "store", Usage: "only the store `STORE`; may be given several times"},
		&cli.BoolFlag{Name: "no-state", Usage: "count events only"},
		&cli.IntFlag{Name: "jobs", Usage: "work on `N` stores at a time; as many as there are processors by default"},
		formatFlag("markdown"),
	}
}

// selected is the selection as it was typed.
func (a *app) selected(c *cli.Context) (corrective.Selection, error) {
	sel := corrective.Selection{
		Release: c.String("release"), Events: c.StringSlice("event"), Where: c.String("where"), Clients: c.StringSlice("client"),
	}
	if !c.IsSet("since") {
		return sel, nil
	}
	var err error
	sel.Since, sel.After, err = parseSince(c.String("since"), a.now())
	return sel, err
}

// selection reads selectionFlags.
func (a *app) selection(c *cli.Context, cfg *config.Config, s config.Schema) (corrective.Selection, error) {
	sel, err := a.selected(c)
	if err != nil {
		return sel, err
	}
	if err := sel.Validate(c.Context); err != nil {
		return sel, err
	}
	if sel.Release != "" {
		if _, err := releaseDir(cfg).Load(s.Name, sel.Release); err != nil {
			return sel, err
		}
	}
	return sel, knownEvents(cfg, s, sel.Events)
}

// knownEvents refuses a name that no recorded release defines: it would pick nothing, and look like good news.
func knownEvents(cfg *config.Config, s config.Schema, names []string) error {
	releases, err := releaseDir(cfg).LoadAll(s.Name)
	if err != nil {
		return err
	}
	for _, name := range names {
		known := false
		for _, r := range releases {
			_, ok := r.Event(name)
			known = known || ok
		}
		if !known {
			return errs.NotFoundf("no recorded release of %s defines an event %q", s.Name, name).
				Hintf("names are written in full: v1.TodoCreated").Then("headgate release list" + onlySchema(cfg, s))
		}
	}
	return nil
}

// parseSince reads a place in a log: e120 or 120, a time, a day, or an age.
func parseSince(text string, now time.Time) (livestore.SeqNum, time.Time, error) {
	if n, err := strconv.ParseInt(strings.TrimPrefix(text, "e"), 10, 64); err == nil && n > 0 {
		return livestore.SeqNum(n), time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return 0, t, nil
		}
	}
	if d, err := config.ParseDuration(text); err == nil && d > 0 {
		return 0, now.Add(-d), nil
	}
	return 0, time.Time{}, errs.Invalidf("--since: %q is no place in a log", text).
		Hintf("write an event's number (e120), a time in UTC (2027-01-31T12:00:00Z), a day, or an age (6h, 2d)")
}
