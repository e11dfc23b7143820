package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
)

func (a *app) rolloutTickCommand() *cli.Command {
	return &cli.Command{
		Name: "tick", Usage: "look once, and do what is due", ArgsUsage: "[NAME]",
		UsageText: "headgate rollout tick --env prod\nheadgate rollout tick todo-created-v2 --env prod --dry-run",
		Description: `Looks at who is out there, measures what is due, and opens, advances, pauses or aborts. Without NAME: all rollouts that
are under way. Run it every few minutes, from cron or a timer; two at once do no step twice.`,
		Flags:  []cli.Flag{envFlag(), &cli.BoolFlag{Name: "dry-run", Usage: "say what would happen, change nothing"}},
		Action: a.rolloutTick,
	}
}

func (a *app) rolloutTick(c *cli.Context) error {
	names := c.Args().Slice()
	if len(names) == 0 {
		cfg, err := a.config()
		if err != nil {
			return err
		}
		if names, err = rolloutNames(cfg); err != nil {
			return err
		}
	}
	out := []rolloutResult{}
	for _, name := range names {
		err := a.withRollout(c, name, false, func(v *rolloutView) error {
			if !v.row.State.Phase.Active() && c.Args().Len() == 0 {
				return nil
			}
			r, err := v.tick(c.Context, c.Bool("dry-run"))
			out = append(out, r)
			return err
		})
		if err != nil {
			return err
		}
	}
	return a.render(out, func(w io.Writer) error {
		if len(out) == 0 {
			_, err := fmt.Fprintln(w, "no rollout is under way")
			return err
		}
		return each(w, out, writeRolloutResult)
	})
}

// maxMoves bounds a tick: a rollout that only waits goes through its phases at once, each move once.
const maxMoves = 10

// tick decides until nothing changes any more.
func (v *rolloutView) tick(ctx context.Context, dryRun bool) (rolloutResult, error) {
	from, opened := v.row.State.Phase, 0
	var reasons []string
	by := control.By{Actor: rollout.Controller}
	for move := 0; ; move++ {
		if p := v.row.State.Phase; p.Open() && !dryRun {
			if err := v.look(ctx); err != nil {
				return rolloutResult{}, err
			}
			if _, err := v.countCommitted(ctx); err != nil {
				return rolloutResult{}, err
			}
		}
		if err := v.look(ctx); err != nil {
			return rolloutResult{}, err
		}
		if move == 0 && !dryRun && v.facts.Stopped == "" {
			v.measure(ctx)
		}
		d := rollout.Decide(v.app.now(), v.def, v.row.State, v.facts)
		reasons, opened = append(reasons, d.Reasons...), opened+len(d.Open)
		if d.Changed && !dryRun {
			if _, err := v.take(ctx, d, by); err != nil {
				return rolloutResult{}, err
			}
			if err := v.reload(ctx); err != nil {
				return rolloutResult{}, err
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
func (v *rolloutView) measure(ctx context.Context) {
	for _, t := range rollout.Due(v.app.now(), v.def, v.row.State) {
		m := rollout.Measurement{Template: t.Name}
		args := v.resolve(t)
		m.Query = strings.TrimPrefix(commandLine(args), "headgate ")
		value, err := v.run(ctx, args)
		if m.At = v.app.now(); err != nil {
			m.Err = err.Error()
		}
		m.Value = value
		v.facts.Measurements = append(v.facts.Measurements, m)
	}
}

// resolve fills a template's command in.
func (v *rolloutView) resolve(t rollout.Template) []string {
	replace := strings.NewReplacer("{env}", v.env.Name, "{rollout}", v.def.Name, "{event}", v.def.Events[0].New(),
		"{weight}", strings.TrimSuffix(v.row.State.Weight(v.def).String(), " %"), "{step}", fmt.Sprint(v.row.State.Step+1))
	var out []string
	for _, word := range t.Command {
		out = append(out, replace.Replace(word))
	}
	return out
}

func (v *rolloutView) run(ctx context.Context, args []string) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = v.cfg.Dir
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
