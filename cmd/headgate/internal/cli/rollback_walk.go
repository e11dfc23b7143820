package cli

import (
	"cmp"
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
	behind   *background // reads the logs of all stores meanwhile; nil for none
}

// A sampling says from how many stores on a sample is offered first, and how many it reads.
type sampling struct{ from, read int }

func defaultSampling() sampling { return sampling{from: 200, read: 100} }

func (w *incidentWalk) run() error {
	w.app.walking = true
	defer func() { w.behind.end() }()
	if err := w.follow(); err != nil {
		return err
	}
	for {
		if err := w.settle(); err != nil {
			return w.leave(err)
		}
		if err := w.reload(); err != nil {
			return err
		}
		if w.incident.Closed != nil {
			return nil
		}
		fmt.Fprintln(w.app.stdout)
		w.app.writeIncident(w.app.stdout, w.incident)
		if w.behind != nil {
			fmt.Fprintf(w.app.stdout, "  meanwhile %s\n", w.behind)
		}
		if err := w.step(w.incident.Next()); err != nil {
			if err := w.failed(err); err != nil {
				return w.leave(err)
			}
		}
	}
}

// leave ends the walk. Whoever left wanted that.
func (w *incidentWalk) leave(err error) error {
	again := w.incident.command("rollback")
	switch {
	case w.c.Context.Err() != nil:
		return errs.New(errs.Interrupted, "interrupted").Hintf("everything is kept").Then(again)
	case !errors.Is(err, errLeft):
		return err
	}
	fmt.Fprintf(w.app.stdout, "\nEverything is kept. `%s` goes on from here.\n", again)
	if w.behind != nil {
		fmt.Fprintf(w.app.stdout, "Nobody reads the other logs now (%s). `%s` does, in another terminal.\n", w.behind, w.incident.command("rollback assess"))
	}
	return nil
}

// failed says what went wrong in a step, and asks whether to try it again.
func (w *incidentWalk) failed(err error) error {
	if errors.Is(err, errLeft) || w.c.Context.Err() != nil {
		return err
	}
	w.app.explain(w.app.failureFrom(err), err)
	if n, e := w.app.ask("That did not work. What now?", "leave, and look into it", "try it again"); e != nil || n == 0 {
		return cmp.Or(e, errLeft)
	}
	return nil
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
	if w.behind != nil {
		return w.meanwhile()
	}
	line := []string{"rollback", "assess", "--env", w.env.Name}
	stores := w.stores()
	answers := []string{
		fmt.Sprintf("read the logs of all %s: every count and row", count(stores, "store")),
		"read them all, and count events only: much faster",
	}
	many := stores >= w.app.sampling.from
	if many {
		answers = append([]string{fmt.Sprintf("read %d of the %d stores first, and say how sure that is; then the others, while you go on", w.app.sampling.read, stores)}, answers...)
	}
	n, err := w.app.ask("What did it do? This reads, and changes nothing.", answers...)
	if err != nil {
		return err
	}
	switch {
	case many && n == 0:
		err := w.do(append(line, "--sample", fmt.Sprint(w.app.sampling.read))...)
		if err != nil && errs.CodeOf(err) != errs.Partial {
			return w.assessed(err)
		}
		if err := w.reload(); err != nil {
			return err
		}
		return w.follow()
	case n == len(answers)-1:
		line = append(line, "--no-state")
	}
	return w.assessed(w.do(line...))
}

// assessed goes on after all stores were read.
func (w *incidentWalk) assessed(err error) error {
	switch {
	case errs.CodeOf(err) == errs.Invalid && w.incident.Selection.Release != "":
		return w.narrow(err)
	case err != nil && errs.CodeOf(err) != errs.Partial:
		return err
	}
	return w.nothing()
}

// narrow asks for what tells the events of a release from others, where they don't say who wrote them. An incident keeps its
// selection, so it opens another one.
func (w *incidentWalk) narrow(wrong error) error {
	a, i := w.app, w.incident
	a.explainAlone(wrong)
	since, err := a.askSince("Since when did clients run "+i.Selection.Release+"?", "Nothing: leave")
	if err != nil || since == "" {
		return cmp.Or(err, errLeft)
	}
	sel := i.Selection
	if sel.Since, sel.After, err = parseSince(since, a.now()); err != nil {
		return err
	}
	if err := w.do("rollback", "close", "--env", w.env.Name, "--reason", "another selection"); err != nil {
		return err
	}
	w.incident, err = a.newIncident(w.c.Context, i.cfg, w.env, i.Schema, i.Bad, sel, i.Stores, i.Reason)
	return err
}

// meanwhile asks what to do while all logs are read.
func (w *incidentWalk) meanwhile() error {
	sample, err := w.incident.assessment()
	if err != nil {
		return err
	}
	answers := []string{"plan by the sample: it is only written", "wait for all of them"}
	if sample.Hit == 0 { // there is nothing to plan
		answers = answers[1:]
	}
	n, err := w.app.ask("All logs are read behind this, and what is found is kept. Go on?", answers...)
	if err != nil {
		return err
	}
	if n == len(answers)-1 {
		return w.wait()
	}
	return w.do("rollback", "plan", "--env", w.env.Name, "--sample", fmt.Sprint(w.app.sampling.read))
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
	if version != "" && strings.HasPrefix(w.incident.Step(corrective.WalkVerify).Note, notProven+version+" ") {
		return w.verifyAgain(version)
	}
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

// verifyAgain is verify of a release that was not right when it was last looked at.
func (w *incidentWalk) verifyAgain(version string) error {
	n, err := w.app.ask(version+" did not do what the corrections say. Its code must be that of "+w.incident.Remedy.Base+", but for them. Is it put right?",
		"not yet: leave, and put it right", "it is: record the code that lies here as "+version+" again, which never shipped, and prove it", "prove it as it is recorded")
	if err != nil || n == 0 {
		return cmp.Or(err, errLeft)
	}
	if n == 1 {
		if err := w.do("rollback", "generate", "--env", w.env.Name); err != nil {
			return err
		}
		if err := w.do("release", "add", version, "--schema", w.incident.Schema, "--force"); err != nil {
			return err
		}
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
