package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/corrective"
	"headgate/internal/errs"
)

// rollback opens an incident, or goes on with the one that is open.
func (a *app) rollback(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	asks := a.interactive && a.format == formatText
	i, err := a.openIncident(cfg, c.String("env"))
	if err != nil {
		return err
	}
	if slices.ContainsFunc(selecting(), c.IsSet) {
		if i, err = a.open(c, cfg); err != nil {
			return err
		}
	}
	name := c.String("env")
	if i != nil {
		name = i.Environment
	}
	if name == "" && asks && len(cfg.Environments) > 1 {
		if name, err = a.askEnvironment(cfg); name == "" || err != nil {
			return err
		}
	}
	env, err := a.environment(c.Context, cfg, name)
	if err != nil {
		return err
	}
	if i == nil && asks {
		if i, err = a.askSelection(c, cfg, env); err != nil || i == nil {
			return err
		}
	}
	if !asks {
		return a.rollbackScreen(c, env, i)
	}
	return (&incidentWalk{app: a, c: c, env: env, incident: i}).run()
}

// open opens an incident about the events that were typed, or returns the one that is about them already.
func (a *app) open(c *cli.Context, cfg *config.Config) (*incident, error) {
	env, err := a.environment(c.Context, cfg, c.String("env"))
	if err != nil {
		return nil, err
	}
	s, err := cfg.Schema(c.String("schema"))
	if err != nil {
		return nil, err
	}
	sel, err := a.selection(c, cfg, s)
	if err != nil {
		return nil, err
	}
	if _, err := a.storesOf(c.Context, cfg, env, s, c.StringSlice("store")); err != nil {
		return nil, err
	}
	open, err := a.openIncidents(cfg, env.Name)
	if err != nil {
		return nil, err
	}
	if len(open) > 0 {
		i := open[0]
		if i.Schema == s.Name && i.Selection.String() == sel.String() && slices.Equal(i.Stores, c.StringSlice("store")) {
			return i, nil
		}
	}
	if len(open) > 0 {
		i := open[0]
		return nil, errs.Invalidf("incident %s is open on %s already, about %s", i.ID, env.Name, i.Selection).
			Hintf("one at a time: go on with it, or close it first").Then(i.command("rollback")).Then(i.command("rollback close --reason TEXT"))
	}
	bad, err := a.badRelease(cfg, s, sel)
	if err != nil {
		return nil, err
	}
	return a.newIncident(c.Context, cfg, env, s.Name, bad, sel, c.StringSlice("store"), c.String("reason"))
}

// badRelease is the one whose materializers made the states: the selection's, or else the newest that is recorded.
func (a *app) badRelease(cfg *config.Config, s config.Schema, sel corrective.Selection) (string, error) {
	if sel.Release != "" {
		return sel.Release, nil
	}
	versions, err := releaseDir(cfg).Versions(s.Name)
	if err == nil && len(versions) == 0 {
		err = errs.NotFoundf("no release of %s is recorded", s.Name).Hintf("the events mean nothing without their materializers").Then("headgate release add 1.0.0")
	}
	if err != nil {
		return "", err
	}
	return versions[len(versions)-1], nil
}

// askEnvironment asks which of several environments is meant. It is empty where someone left.
func (a *app) askEnvironment(cfg *config.Config) (string, error) {
	answers := []string{"leave"}
	for _, e := range cfg.Environments {
		answers = append(answers, e.Name)
	}
	n, err := a.ask("Which environment is it about?", answers...)
	switch {
	case err != nil && !errors.Is(err, errLeft):
		return "", err
	case err != nil || n == 0:
		return "", nil
	}
	return answers[n], nil
}

// askSelection asks which events are bad, and opens an incident about them. It is nil where someone left.
func (a *app) askSelection(c *cli.Context, cfg *config.Config, env config.Environment) (*incident, error) {
	sit, err := a.situation(c.Context, env)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(a.stdout, "%s\n", a.stdout.paint(strong, env.Name+", as far as is known without reading a log"))
	sit.write(a.stdout, a.now())
	s, err := cfg.Schema(c.String("schema"))
	if err != nil {
		return nil, err
	}
	versions, err := releaseDir(cfg).Versions(s.Name)
	if err != nil {
		return nil, err
	}
	slices.Reverse(versions)
	flag := ""
	what, err := a.askUntil("Which release is bad, or which event?", "recorded are "+orNone(versions)+"; events are written in full, v1.TodoCreated. Nothing: leave", func(what string) error {
		if flag = "event"; !config.IsVersion(what) {
			return knownEvents(cfg, s, []string{what})
		}
		flag = "release"
		_, err := releaseDir(cfg).Load(s.Name, what)
		return err
	})
	if err != nil && !errors.Is(err, errLeft) {
		return nil, err
	}
	if err != nil || what == "" {
		return nil, nil
	}
	since, err := a.askSince("Since when?", "Nothing: from the beginning")
	if errors.Is(err, errLeft) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := c.Set(flag, what); err != nil {
		return nil, err
	}
	if since != "" {
		if err := c.Set("since", since); err != nil {
			return nil, err
		}
	}
	if err := c.Set("env", env.Name); err != nil {
		return nil, err
	}
	return a.open(c, cfg)
}

// askSince asks for a place in the logs. nothing says what an empty line means.
func (a *app) askSince(question, nothing string) (string, error) {
	return a.askUntil(question, "a number (e120), a time in UTC (2027-01-31T12:00:00Z) or an age (6h). "+nothing, func(since string) error {
		_, _, err := parseSince(since, a.now())
		return err
	})
}

// rollbackScreen says how it stands and what comes next. It asks and changes nothing.
func (a *app) rollbackScreen(c *cli.Context, env config.Environment, i *incident) error {
	sit, err := a.situation(c.Context, env)
	if err != nil {
		return err
	}
	s := rollbackState{Incidents: []*corrective.Incident{}, Closed: []*corrective.Incident{}, Assessed: map[string]int{}, Situation: &sit, NextActions: []string{a.here("headgate rollback --release RELEASE --env " + env.Name)}}
	if i != nil {
		s.Incidents, s.NextActions = append(s.Incidents, i.Incident), []string{i.nextCommand()}
		s.Assessed[i.ID] = i.keptStores()
		if i.Next() == corrective.WalkStop {
			s.NextActions = append(s.NextActions, i.command("rollback assess"))
		}
	}
	return a.render(s, func(w io.Writer) error {
		if i != nil {
			a.writeIncident(w, i)
		} else {
			fmt.Fprintf(w, "no incident is open on %s\n", env.Name)
		}
		fmt.Fprintf(w, "\n%s, as far as is known without reading a log\n", env.Name)
		sit.write(w, a.now())
		fmt.Fprintln(w)
		for _, n := range s.NextActions {
			fmt.Fprintf(w, "next: %s\n", n)
		}
		return nil
	})
}
