package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/rollout"
)

// A situation is what the control database, or the server in front of it, knows of an environment: no log is read for it.
type situation struct {
	Environment string                 `json:"environment"`
	Stopped     string                 `json:"stopped,omitempty"` // why nothing advances
	Floor       string                 `json:"floor,omitempty"`
	Unknown     []operate.UnknownEvent `json:"unknown"`  // events of the last day that readers did not know
	Releases    []control.ReleaseCount `json:"releases"` // that clients were seen on
	Rollouts    []rolloutSituation     `json:"rollouts"` // that were started
	Runs        []operate.RunStatus    `json:"runs"`     // under way or paused, and the last one that ended
	Unfinished  []operate.Unfinished   `json:"unfinished"`
}

// A rolloutSituation is one rollout, with the events of its new version that were counted last.
type rolloutSituation struct {
	operate.RolloutLine
	Committed int64 `json:"committed"`
	Stores    int   `json:"stores"` // that have some
}

// running reports whether something goes on that a stop would end.
func (s situation) running() bool {
	if s.Stopped != "" {
		return false
	}
	for _, r := range s.Rollouts {
		if r.Phase.Ramping() || r.Phase == rollout.Full || r.Phase == rollout.Draining {
			return true
		}
	}
	for _, r := range s.Runs {
		if r.State == control.Pending || r.State == control.Running {
			return true
		}
	}
	return false
}

// situation asks what goes on in an environment.
func (a *app) situation(ctx context.Context, env config.Environment) (s situation, err error) {
	s = situation{Environment: env.Name, Releases: []control.ReleaseCount{}, Unknown: []operate.UnknownEvent{}, Rollouts: []rolloutSituation{}, Runs: []operate.RunStatus{}, Unfinished: []operate.Unfinished{}}
	err = a.withOperationsOf(ctx, env, func(ops operations) error {
		status, err := ops.Status(ctx)
		if err != nil {
			return err
		}
		s.Stopped, s.Runs, s.Unfinished = status.Stopped, append(s.Runs, status.Runs...), append(s.Unfinished, status.Unfinished...)
		census, err := ops.Census(ctx, 0)
		if err != nil {
			return err
		}
		s.Releases = append(s.Releases, census.Releases...)
		floor, err := ops.Floor(ctx)
		if err != nil {
			return err
		}
		s.Floor = floor.Floor
		signals, err := ops.Signals(ctx, signalsBack)
		if err != nil {
			return err
		}
		s.Unknown = append(s.Unknown, signals.Unknown...)
		lines, err := ops.RolloutList(ctx)
		if err != nil {
			return err
		}
		for _, line := range lines {
			if line.Phase == rollout.Draft {
				continue
			}
			one := rolloutSituation{RolloutLine: line}
			if line.Problem == "" {
				r, err := ops.RolloutStatus(ctx, line.Name, false)
				if err != nil {
					return err
				}
				one.Committed, one.Stores = r.Committed.Events, len(r.Committed.Stores)
			}
			s.Rollouts = append(s.Rollouts, one)
		}
		return nil
	})
	return s, err
}

// rolloutLines lists an environment's rollouts.
func (a *app) rolloutLines(ctx context.Context, env config.Environment) (lines []operate.RolloutLine, err error) {
	err = a.withOperationsOf(ctx, env, func(ops operations) error {
		lines, err = ops.RolloutList(ctx)
		return err
	})
	return lines, err
}

// signalsBack is how far back an incident's first screen looks for unknown events.
const signalsBack = 24 * time.Hour

// linesShown bounds what a screen lists of a kind.
const linesShown = 8

// write tells it in a few lines.
func (s situation) write(w io.Writer, now time.Time) {
	if s.Stopped != "" {
		fmt.Fprintf(w, "  stopped: nothing opens or advances (%s)\n", s.Stopped)
	}
	for n, r := range s.Releases {
		if n == linesShown {
			fmt.Fprintf(w, "  and %d more releases: headgate census --env %s\n", len(s.Releases)-n, s.Environment)
			break
		}
		fmt.Fprintf(w, "  clients on %s: %d in %s, last seen %s\n", r.Release, r.Clients, count(int(r.Stores), "store"), ago(r.LastSeen, now))
	}
	if len(s.Releases) == 0 {
		fmt.Fprintf(w, "  nobody reported who is out there: headgate doctor --env %s\n", s.Environment)
	}
	if s.Floor != "" {
		fmt.Fprintf(w, "  floor: %s\n", s.Floor)
	}
	for n, u := range s.Unknown {
		if n == linesShown {
			fmt.Fprintf(w, "  and %d more kinds of unknown events: the dashboard of headgate serve\n", len(s.Unknown)-n)
			break
		}
		fmt.Fprintf(w, "  clients on %s did not know %s: %d times in the last 24 h\n", u.Release, u.Event, u.Count)
	}
	for _, r := range s.Rollouts {
		fmt.Fprintf(w, "  rollout %s (%s): %s, weight %s; %s of the new version in %s, as of the last count\n",
			r.Name, strings.Join(r.Events, ", "), r.Phase, r.Weight, counted(r.Committed, "event"), count(r.Stores, "store"))
	}
	for _, r := range s.Runs {
		var done, all int64
		for _, wave := range r.Waves {
			all += wave.Stores
			if wave.State == control.Succeeded {
				done += wave.Stores
			}
		}
		if r.State.Ended() && done == all {
			continue
		}
		fmt.Fprintf(w, "  backfill %s: %s, done in %d of %s; finish it (headgate migration up %[1]s --env %[5]s) or compensate it (headgate migration compensate %[1]s)\n",
			r.Migration, r.State, done, count(int(all), "store"), s.Environment)
	}
	for _, u := range s.Unfinished {
		fmt.Fprintf(w, "  backfill %s: %s not done by older runs; finish it (headgate migration up %[1]s --env %[3]s) or compensate it (headgate migration compensate %[1]s)\n",
			u.Migration, count(u.Stores, "store"), s.Environment)
	}
}

// ago says how long a time is past, roughly.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case d < 2*time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}
