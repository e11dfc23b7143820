package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/livestore"
	"headgate/rollout"
)

func (a *app) rolloutStatusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "how far it is, who blocks, and what happens next", ArgsUsage: "NAME",
		UsageText: "headgate rollout status todo-created-v2 --env prod\nheadgate rollout status todo-created-v2 --env prod --watch",
		Description: `Shows the phase, the stores by whether their readers are there, the clients that hold stores back, the analysis, and
what happens next and when. It reads on in the logs of the stores that were ever open, to count the events of the new
version that are committed: --no-logs leaves them alone.`,
		Flags: []cli.Flag{
			envFlag(),
			&cli.BoolFlag{Name: "watch", Usage: "print it again whenever it changes, until interrupted"},
			&cli.BoolFlag{Name: "no-logs", Usage: "don't read the stores' logs"},
		},
		Action: a.rolloutStatus,
	}
}

// A rolloutStatus is what `rollout status` prints.
type rolloutStatus struct {
	Rollout     string                 `json:"rollout"`
	Environment string                 `json:"environment"`
	Events      []string               `json:"events"`
	Phase       rollout.Phase          `json:"phase"`
	Step        int                    `json:"step"` // 1 for the first; 0 outside of the ramp
	Steps       int                    `json:"steps"`
	Weight      string                 `json:"weight"`
	Since       time.Time              `json:"since,omitzero"`
	Attempt     int                    `json:"attempt"`
	Revision    int                    `json:"revision"`
	Floor       string                 `json:"floor"`
	Horizon     string                 `json:"horizon"`
	Paused      *rollout.Pause         `json:"paused,omitempty"`
	Stopped     string                 `json:"stopped,omitempty"`
	Approved    []rollout.Approval     `json:"approved,omitempty"`
	Stores      rollout.Tally          `json:"stores"`
	Blocking    []blockingClient       `json:"blocking"` // the latest first, at most blockingShown
	Clamped     int                    `json:"clamped,omitempty"`
	Committed   operate.CommittedCount `json:"committed"`
	Analysis    []rollout.AnalysisRun  `json:"analysis,omitempty"`
	Next        rollout.Next           `json:"next"`
	NextActions []string               `json:"next_actions"`
}

// A blockingClient holds a store back.
type blockingClient struct {
	Store livestore.StoreID `json:"store"`
	rollout.Blocker
	Until time.Time `json:"until"` // when it has been away for long enough
}

// blockingShown bounds the clients that are listed.
const blockingShown = 50

func (a *app) rolloutStatus(c *cli.Context) error {
	if !c.Bool("watch") {
		return a.withRollout(c, c.Args().First(), false, func(v *operate.Rollout) error {
			s, err := a.statusOf(c, v)
			if err != nil {
				return err
			}
			return a.render(s, func(w io.Writer) error { return a.writeRolloutStatus(w, s) })
		})
	}
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	var last []byte
	for {
		var b bytes.Buffer
		err := a.withRollout(c, c.Args().First(), false, func(v *operate.Rollout) error {
			s, err := a.statusOf(c, v)
			if err != nil {
				return err
			}
			if a.format == formatJSON {
				return writeJSON(&b, s)
			}
			return a.writeRolloutStatus(&b, s)
		})
		if err != nil {
			return err
		}
		if !bytes.Equal(b.Bytes(), last) {
			last = b.Bytes()
			a.rendered = true
			if _, err := a.stdout.Write(append(last, '\n')); err != nil {
				return err
			}
		}
		select {
		case <-c.Context.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (a *app) statusOf(c *cli.Context, v *operate.Rollout) (rolloutStatus, error) {
	err := v.Look(c.Context)
	if err != nil {
		return rolloutStatus{}, err
	}
	state := v.Row.State
	out := rolloutStatus{
		Rollout: v.Definition.Name, Environment: v.Name, Events: v.Definition.New(), Phase: state.Phase, Steps: len(v.Definition.Steps), Weight: state.Weight(v.Definition).String(),
		Since: state.Since, Attempt: state.Attempt, Revision: state.Revision, Floor: cmp.Or(state.Floor, v.Facts.Floor), Horizon: days(v.Definition.Horizon),
		Paused: state.Paused, Stopped: v.Facts.Stopped, Approved: state.Approved, Stores: v.Facts.Count(), Blocking: []blockingClient{},
		Analysis: state.Analysis, Next: rollout.Decide(v.Now(), v.Definition, state, v.Facts).Next, NextActions: v.NextActions(state),
	}
	if state.Phase == rollout.Ramp {
		out.Step = state.Step + 1
	}
	if state.Phase.Open() {
		out.Stores.Open = out.Stores.Stores
	}
	for i := range out.Analysis {
		if t, ok := v.Definition.Template(out.Analysis[i].Template); ok && out.Analysis[i].Query == "" {
			out.Analysis[i].Query = v.Shown(v.Resolve(t))
		}
	}
	for _, s := range v.Facts.Stores {
		out.Clamped += s.Verdict.Clamped
		for _, b := range s.Verdict.Blockers {
			out.Blocking = append(out.Blocking, blockingClient{s.ID, b, b.LastSeen.Add(v.Definition.Horizon)})
		}
	}
	slices.SortFunc(out.Blocking, func(a, b blockingClient) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.Store, b.Store), cmp.Compare(a.Client, b.Client))
	})
	out.Blocking = out.Blocking[:min(len(out.Blocking), blockingShown)]
	if c.Bool("no-logs") {
		out.Committed, err = v.KeptCount(c.Context)
	} else {
		out.Committed, err = v.CountCommitted(c.Context)
	}
	return out, err
}

func (a *app) writeRolloutStatus(w io.Writer, s rolloutStatus) error {
	phase := string(s.Phase)
	if s.Step > 0 {
		phase += fmt.Sprintf(", step %d of %d", s.Step, s.Steps)
	}
	fmt.Fprintf(w, "%s on %s: %s, weight %s\n", s.Rollout, s.Environment, a.stdout.paint(strong, phase), s.Weight)
	if !s.Since.IsZero() {
		fmt.Fprintf(w, "  since %s, attempt %d, flags revision %d\n", s.Since.UTC().Format(time.RFC3339), s.Attempt, s.Revision)
	}
	fmt.Fprintf(w, "  builds from %s on emit it; clients away for %s don't count\n", s.Floor, s.Horizon)
	if s.Paused != nil {
		fmt.Fprintf(w, "  %s by %s at %s: %s\n", a.stdout.paint(warn, "paused"), s.Paused.By, s.Paused.At.UTC().Format(time.RFC3339), s.Paused.Reason)
	}
	if s.Stopped != "" {
		fmt.Fprintf(w, "  %s: %s\n", a.stdout.paint(bad, "everything is stopped"), s.Stopped)
	}
	for _, p := range s.Approved {
		fmt.Fprintf(w, "  approved for %s by %s\n", p.For, p.By)
	}
	n := s.Stores
	fmt.Fprintf(w, "  %s: %d open; %d eligible, %d waiting, %d blocked, %d unobserved\n", count(n.Stores, "store"), n.Open, n.Eligible, n.Waiting, n.Blocked, n.Unobserved)
	if s.Clamped > 0 {
		fmt.Fprintf(w, "  %s said to be seen in the future, and counts as seen now\n", count(s.Clamped, "client"))
	}
	writeCommitted(w, s.Committed)
	for _, r := range s.Analysis {
		fmt.Fprintf(w, "  analysis %s: %s; %d measured, %d failed, %d inconclusive, %d without data, %d errors", r.Template, r.Outcome, r.Measured, r.Failed, r.Inconclusive, r.NoData, r.Errors)
		if r.Why != "" {
			fmt.Fprintf(w, "; %s", r.Why)
		}
		fmt.Fprintf(w, "\n    query: %s\n", r.Query)
	}
	fmt.Fprintf(w, "  what happens next: %s\n", nextText(s.Next))
	if len(s.Blocking) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{{"STORE", "HELD BACK BY", "RELEASE", "LAST SEEN", "SAID BY", "UNTIL"}}
		for _, b := range s.Blocking {
			rows = append(rows, []string{string(b.Store), b.Client, b.Release, b.LastSeen.UTC().Format(time.RFC3339), string(b.Source), b.Until.UTC().Format(time.RFC3339)})
		}
		if err := table(w, rows); err != nil {
			return err
		}
	}
	for i, next := range s.NextActions {
		label := "\nnext:"
		if i > 0 {
			label = "  or:"
		}
		fmt.Fprintf(w, "%s %s\n", label, next)
	}
	return nil
}
