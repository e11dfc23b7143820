package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"headgate/corrective"
)

// A background reads the logs of all stores of an incident while somebody walks through it, who went on with a sample. It is a goroutine
// of the walk, which waits for it when it is left: nothing goes on that nobody knows of. What it found in a store is kept at once,
// so that it is begun again with the walk, or by headgate rollback assess, and goes on from there.
type background struct {
	assessor *assessor
	stop     context.CancelFunc
	ended    chan struct{}
	report   assessment // when it ended
	err      error
}

// assessBehind begins to assess all stores of the incident. The caller ends it.
func (w *incidentWalk) assessBehind() (*background, error) {
	i := w.incident
	kind, err := i.cfg.Schema(i.Schema)
	if err != nil {
		return nil, err
	}
	s := &assessor{app: w.app, cfg: i.cfg, env: w.env, schema: kind, selection: i.Selection, jobs: max(1, workers(0)/2)} // half for what is done meanwhile
	if err := s.prepare(w.c.Context, i, i.Stores, "", 0); err != nil {
		return nil, err
	}
	if s.back, err = s.before(i.Target); err != nil { // what the plan asks next
		s.kept.Close()
		return nil, err
	}
	s.progress.show(false)
	ctx, stop := context.WithCancel(w.c.Context)
	b := &background{assessor: s, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(b.ended)
		b.report, b.err = s.all(ctx, look{})
	}()
	return b, nil
}

// end stops it, and waits until it has.
func (b *background) end() {
	if b == nil {
		return
	}
	b.stop()
	<-b.ended
	b.assessor.kept.Close()
}

// over reports whether it is at its end.
func (b *background) over() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

// String says how far it is.
func (b *background) String() string { return b.assessor.progress.String() }

// follow begins to read all stores, where a sample was read and they were not: of a walk that was left, too.
func (w *incidentWalk) follow() error {
	if w.behind != nil || w.incident.Step(corrective.WalkAssess).State == corrective.Done {
		return nil
	}
	r, err := w.incident.assessment()
	if err != nil || r.Estimate == nil {
		return err
	}
	w.behind, err = w.assessBehind()
	return err
}

// settle takes what was found behind the walk, when that is over, and offers to plan by it.
func (w *incidentWalk) settle() error {
	if w.behind == nil || !w.behind.over() {
		return nil
	}
	b, a := w.behind, w.app
	w.behind = nil
	b.end()
	if b.err != nil {
		a.explain(a.failureFrom(b.err), b.err)
		return nil
	}
	if err := w.incident.assessed(&b.report); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "\nAll logs are read: %s in %d of %s.\n", counted(b.report.Events.Total(), "bad event"), b.report.Hit, count(b.report.Stores, "store"))
	fmt.Fprint(a.stdout, a.failedText(b.report.Failed))
	if b.report.Hit == 0 && len(b.report.Failed) == 0 {
		return w.nothing()
	}
	if !w.incident.bySample() {
		return nil
	}
	n, err := a.ask("The plan is by a sample. Plan the same for all stores? What is done stays done.", "plan it: it is only written", "later: nothing is deployed before")
	if err != nil || n == 1 {
		return err
	}
	return w.do("rollback", "plan", "--env", w.env.Name, "--remedy", string(w.incident.Remedy.Kind))
}

// wait stays until all logs are read.
func (w *incidentWalk) wait() error {
	w.behind.assessor.progress.show(true)
	select {
	case <-w.behind.ended:
		return nil // settle says what came of it
	case <-w.c.Context.Done():
		return context.Cause(w.c.Context)
	}
}

// assessment is what was assessed last; zero where nothing was, or where another headgate wrote it.
func (i *incident) assessment() (r assessment, err error) {
	data, err := os.ReadFile(i.path("assess.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if json.Unmarshal(data, &r) != nil || r.Selection != i.Selection.String() {
		return assessment{}, nil
	}
	return r, nil
}
