package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
)

// sideBySide is how many rollouts a tick looks at side by side.
const sideBySide = 4

// Tick looks once at the rollouts that are named, or at all that are under way, and does what is due. One that fails
// holds no other, and neither does one whose analysis takes its time: several are looked at side by side. The errors come
// joined, beside the results of the others.
func (r Rollouts) Tick(ctx context.Context, dryRun bool, names ...string) ([]RolloutResult, error) {
	all := len(names) == 0
	if all {
		var err error
		if names, err = r.Names(); err != nil {
			return nil, err
		}
	}
	r.shared = &sharedFleet{read: r.readFleet, now: r.Now}
	results, failed := make([]*RolloutResult, len(names)), make([]error, len(names))
	var g errgroup.Group
	g.SetLimit(sideBySide)
	for i, name := range names {
		g.Go(func() error {
			results[i], failed[i] = r.tick(ctx, dryRun, name, all)
			return nil
		})
	}
	_ = g.Wait() // the errors are kept
	out := []RolloutResult{}
	for _, result := range results {
		if result != nil {
			out = append(out, *result)
		}
	}
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	return out, errors.Join(failed...)
}

// tick looks at one rollout; nil where it is not under way, and only those are asked for.
func (r Rollouts) tick(ctx context.Context, dryRun bool, name string, active bool) (*RolloutResult, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	v, err := r.Open(ctx, name, false)
	if err != nil || active && !v.Row.State.Phase.Active() {
		return nil, err
	}
	result, err := v.Tick(ctx, dryRun)
	if err != nil {
		return nil, err
	}
	return &result, nil
}

// maxMoves bounds a tick: a rollout that only waits goes through its phases at once, each move once.
const maxMoves = 10

// Tick decides until nothing changes any more.
func (v *Rollout) Tick(ctx context.Context, dryRun bool) (RolloutResult, error) {
	from, opened := v.Row.State.Phase, 0
	var reasons []string
	by := control.By{Actor: rollout.Controller}
	unread := 0
	for move := 0; ; move++ {
		if err := v.Look(ctx); err != nil {
			return RolloutResult{}, err
		}
		if move == 0 && v.Row.State.Phase.Open() && !dryRun {
			count, err := v.CountCommitted(ctx)
			if err != nil {
				return RolloutResult{}, err
			}
			unread = len(count.Unread)
			if err := v.lookBack(ctx); err != nil {
				return RolloutResult{}, err
			}
		}
		v.Facts.Unread = unread
		if move == 0 && !dryRun && v.Facts.Stopped == "" {
			v.measure(ctx)
		}
		if c := rollout.ConfirmDue(v.Now(), v.Definition, v.Row.State, v.Facts); c != nil && !dryRun {
			v.Facts.Confirmation = v.confirm(ctx, c, false)
		}
		if asked := v.Facts; len(asked.Measurements) > 0 || asked.Confirmation != nil { // that took its time: who is out there now?
			v.shared.forget()
			if err := v.Look(ctx); err != nil {
				return RolloutResult{}, err
			}
			v.Facts.Measurements, v.Facts.Confirmation, v.Facts.Unread = asked.Measurements, asked.Confirmation, unread
		}
		d := rollout.Decide(v.Now(), v.Definition, v.Row.State, v.Facts)
		reasons, opened = append(reasons, d.Reasons...), opened+len(d.Open)
		if d.Changed && !dryRun {
			if _, err := v.Take(ctx, d, by); err != nil {
				return RolloutResult{}, err
			}
			if err := v.Reload(ctx); err != nil {
				return RolloutResult{}, err
			}
			if move < maxMoves {
				continue // also where somebody else was faster: look again
			}
		}
		r := v.result(from, d, dryRun)
		r.Reasons = append([]string{}, reasons...)
		r.Opened = opened
		return r, nil
	}
}

// measureTime bounds a measurement.
const measureTime = time.Minute

// measure asks what is due. A query that fails is a measurement with an error.
func (v *Rollout) measure(ctx context.Context) {
	for _, t := range rollout.Due(v.Now(), v.Definition, v.Row.State) {
		m := v.take(ctx, t)
		m.Template, m.Query, m.At = t.Name, v.Query(t), v.Now()
		v.Facts.Measurements = append(v.Facts.Measurements, m)
	}
}

// take measures once.
func (v *Rollout) take(ctx context.Context, t rollout.Template) (m rollout.Measurement) {
	ctx, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	var err error
	switch {
	case t.Signal != "":
		m, err = v.signal(ctx, t)
	case t.Prometheus != nil:
		m.Value, err = v.prometheus(ctx, *t.Prometheus)
	default:
		m.Value, err = v.run(ctx, v.command(t))
	}
	if err != nil {
		m.Err = v.told(err)
	}
	return m
}

// Query is what a template asks, filled in, for people.
func (v *Rollout) Query(t rollout.Template) string {
	switch {
	case t.Signal != "":
		return fmt.Sprintf("%s of the last %s in the stores that are open", t.Signal, minutes(t.For))
	case t.Prometheus != nil:
		return t.Prometheus.Address + ": " + v.filled().Replace(t.Prometheus.Query)
	}
	return v.Shown(v.command(t))
}

// minutes is a duration without the zeros at its end: 10m.
func minutes(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// filled replaces what a template may leave open.
func (v *Rollout) filled() *strings.Replacer {
	return strings.NewReplacer("{env}", v.Name, "{rollout}", v.Definition.Name, "{event}", v.Definition.Events[0].New(),
		"{weight}", strings.TrimSuffix(v.Row.State.Weight(v.Definition).String(), " %"), "{step}", fmt.Sprint(v.Row.State.Step+1))
}

// command is a template's command, filled in.
func (v *Rollout) command(t rollout.Template) []string {
	replace := v.filled()
	var out []string
	for _, word := range t.Command {
		out = append(out, replace.Replace(word))
	}
	return out
}

func (v *Rollout) run(ctx context.Context, args []string) (any, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = v.Dir
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return nil, fmt.Errorf("%s: %w %s", args[0], err, said)
	}
	var value any
	if err := json.Unmarshal(stdout.Bytes(), &value); err != nil {
		return nil, errs.Invalidf("%s printed no JSON", args[0]).Because(err)
	}
	return value, nil
}
