package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/corrective"
	"headgate/internal/errs"
)

// An incidentWalk leads through an incident on a terminal: what is done so far on top, then one question at a time. Each step is one of
// headgate's own commands, which keeps what it did in the incident's folder; so it can be left and gone on with anywhere.
type incidentWalk struct {
	app      *app
	c        *cli.Context
	env      config.Environment
	incident *incident
}

// manyStores is from how many stores on a sample is offered first, and sampled how many it reads.
const (
	manyStores = 200
	sampled    = 100
)

func (w *incidentWalk) run() error {
	a := w.app
	a.walking = true
	for {
		fmt.Fprintln(a.stdout)
		a.writeIncident(a.stdout, w.incident)
		before := w.incident.Next()
		err := w.step(before)
		if errors.Is(err, errLeft) {
			fmt.Fprintf(a.stdout, "\nEverything is kept. `headgate rollback --env %s` goes on from here.\n", w.env.Name)
			return nil
		}
		if w.c.Context.Err() != nil {
			return err
		}
		if err != nil {
			a.explain(a.failureFrom(err), err)
			if n, e := a.ask("That did not work. What now?", "leave, and look into it", "try it again"); e != nil || n == 0 {
				fmt.Fprintf(a.stdout, "\nEverything is kept. `headgate rollback --env %s` goes on from here.\n", w.env.Name)
				return nil
			}
		}
		if err := w.reload(); err != nil {
			return err
		}
		if w.incident.Closed != nil {
			return nil
		}
	}
}

// reload reads what the commands kept.
func (w *incidentWalk) reload() error {
	all, err := w.app.incidents(w.incident.cfg)
	for _, i := range all {
		if i.ID == w.incident.ID {
			w.incident = i
		}
	}
	return err
}

func (w *incidentWalk) do(words ...string) error {
	w.app.inventories.forget(w.env.Name)
	fmt.Fprintf(w.app.stdout, "\n%s\n", w.app.stdout.paint(faint, "$ "+commandLine(words)))
	return w.app.nested(w.c.Context, w.app.dir, w.app.stdout, words...)
}

func (w *incidentWalk) step(name string) error {
	switch name {
	case corrective.WalkStop:
		return w.stop(w.c.Context)
	case corrective.WalkAssess:
		return w.assess()
	case corrective.WalkPlan:
		return w.do("rollback", "plan", "--env", w.env.Name)
	case corrective.WalkGenerate:
		return w.generate()
	case corrective.WalkVerify:
		return w.verify()
	case corrective.WalkRun:
		if err := w.do("rollback", "run", "--env", w.env.Name); err != nil {
			return err
		}
		if err := w.reload(); err != nil || w.incident.Next() == "" {
			return err
		}
		return errLeft
	}
	return w.close()
}

// stop shows what goes on, and offers to stop it.
func (w *incidentWalk) stop(ctx context.Context) error {
	a := w.app
	s, err := a.situation(ctx, w.env)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "\n%s, as far as is known without reading a log\n", w.env.Name)
	s.write(a.stdout, a.now())
	if !s.running() {
		note := "nothing was running"
		if s.Stopped != "" {
			note = "stopped before"
		}
		return w.incident.mark(corrective.WalkStop, corrective.Skipped, note)
	}
	n, err := a.ask("Stop that first? It aborts what ramps up and pauses backfills after their batch; what is committed stays.",
		"stop it: headgate stop --env "+w.env.Name, "go on without")
	if err != nil {
		return err
	}
	if n == 1 {
		return w.incident.mark(corrective.WalkStop, corrective.Skipped, "decided against")
	}
	return w.do("stop", "--env", w.env.Name, "--reason", "incident "+w.incident.ID)
}

// stores is how many the incident is about.
func (w *incidentWalk) stores() (n int) {
	for _, s := range w.env.Stores {
		if s.Schema == w.incident.Schema && (len(w.incident.Stores) == 0 || slices.Contains(w.incident.Stores, string(s.ID))) {
			n++
		}
	}
	return n
}

func (w *incidentWalk) assess() error {
	a, env := w.app, []string{"rollback", "assess", "--env", w.env.Name}
	stores := w.stores()
	exactly := fmt.Sprintf("read the logs of all %s: every count and row", count(stores, "store"))
	only := "read them all, and count events only: much faster"
	if stores < manyStores || w.incident.Step(corrective.WalkAssess).Note != "" {
		n, err := a.ask("What did it do? This reads, and changes nothing.", exactly, only)
		if err != nil {
			return err
		}
		if n == 1 {
			env = append(env, "--no-state")
		}
		if err := w.do(env...); err != nil && errs.CodeOf(err) != errs.Partial {
			return err
		}
		return w.nothing()
	}
	n, err := a.ask("What did it do? This reads, and changes nothing.", fmt.Sprintf("read %d of the %d stores first, and say how sure that is", sampled, stores), exactly, only)
	if err != nil {
		return err
	}
	switch n {
	case 0:
		return w.do(append(env, "--sample", fmt.Sprint(sampled))...)
	case 2:
		env = append(env, "--no-state")
	}
	if err := w.do(env...); err != nil {
		return err
	}
	return w.nothing()
}

// nothing asks what to do where the selection matches no event.
func (w *incidentWalk) nothing() error {
	if err := w.reload(); err != nil || w.incident.Step(corrective.WalkAssess).State == corrective.Done {
		return err
	}
	n, err := w.app.ask("No event is meant by that. What now?", "leave, and look at the logs: headgate log stats --env "+w.env.Name, "close the incident: it matches nothing")
	if err != nil || n == 0 {
		return errLeft
	}
	return w.do("rollback", "close", "--env", w.env.Name, "--reason", "matches nothing")
}

func (w *incidentWalk) generate() error {
	path := correctionsPath(w.incident.Schema)
	n, err := w.app.ask("What is to be made of the bad events stands in "+path+". Is it right? The code of "+w.incident.Remedy.Base+" must lie here.",
		"not yet: leave, and edit it", "it is: write it into the app's code. Nothing is deployed by that")
	if err != nil || n == 0 {
		return errLeft
	}
	return w.do("rollback", "generate", "--env", w.env.Name)
}

func (w *incidentWalk) verify() error {
	version := w.incident.corrected()
	if version == "" {
		version = w.incident.shippedAs()
		n, err := w.app.ask("Are the edits made that it named, and do the app's own tests pass?",
			"not yet: leave, and make them", "they are: record the code that lies here as "+version+", and prove it on copies of the logs")
		if err != nil || n == 0 {
			return errLeft
		}
		if err := w.do("release", "add", version, "--schema", w.incident.Schema); err != nil {
			return err
		}
	} else if n, err := w.app.ask("Prove on copies of the logs that "+version+" ends right? It reads, and changes nothing.", "prove it", "leave"); err != nil || n == 1 {
		return errLeft
	}
	return w.do("rollback", "verify", "--env", w.env.Name, "--release", version)
}

func (w *incidentWalk) close() error {
	n, err := w.app.ask("Every step is done. Close the incident?", "not yet: leave it open, and watch what comes in", "close it")
	if err != nil || n == 0 {
		return errLeft
	}
	reason, err := w.app.askText("Why is it over?", "one line, for the incident and the audit. Nothing: leave it open")
	if err != nil || reason == "" {
		return errLeft
	}
	return w.do("rollback", "close", "--env", w.env.Name, "--reason", reason)
}

// askRemedy shows the ranked ways and asks which one to plan.
func (i *incident) askRemedy(c *cli.Context, r *rollbackReport) (corrective.Remedy, error) {
	a := i.app
	a.writeRanking(a.stdout, *r)
	var ways []corrective.Remedy
	var answers []string
	for _, m := range r.Remedies {
		if m.Possible {
			title := m.Title
			if m.Kind.Destructive() {
				title += " (loses data)"
			}
			ways, answers = append(ways, m), append(answers, fmt.Sprintf("%s: %s", m.Kind, title))
		}
	}
	if len(ways) == 0 {
		return r.Remedies[0], nil // which says why it is none
	}
	if ways[0].Kind.Destructive() {
		ways, answers = append([]corrective.Remedy{{}}, ways...), append([]string{"leave: each way loses data"}, answers...)
	}
	n, err := a.ask("Which way? The plan is only written; each of its steps asks again.", answers...)
	if err != nil || ways[n].Kind == "" {
		return corrective.Remedy{}, errLeft
	}
	m := ways[n]
	if !m.Kind.Destructive() {
		return m, nil
	}
	why, err := a.askText("It loses: "+strings.Join(m.Loses, "; ")+". Why is that accepted?", "one line, for the plan and the audit. Nothing: leave")
	if err != nil || why == "" {
		return m, errLeft
	}
	return m, errors.Join(c.Set("accept-loss", "true"), c.Set("reason", why))
}
