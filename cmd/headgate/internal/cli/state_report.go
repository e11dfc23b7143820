package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/replay/state"
)

// A replayReport is what `state replay` says about one store.
type replayReport struct {
	Store   string `json:"store"`
	Log     string `json:"log"`
	Schema  string `json:"schema"`
	Release string `json:"release"`
	Out     string `json:"out,omitempty"`
	Outcome string `json:"outcome"` // replayed, poison or failed

	Error string `json:"error,omitempty"`

	Head           string        `json:"head,omitempty"`
	Confirmed      int64         `json:"confirmed"`
	Events         int64         `json:"events"`
	Applied        int64         `json:"applied"`
	FromCheckpoint int64         `json:"fromCheckpoint"`
	Skipped        []skipReport  `json:"skipped"`
	Poison         *poisonReport `json:"poison,omitempty"`
	State          *state.Digest `json:"state,omitempty"`
	NotDerivable   []string      `json:"notDerivable"`
	Unverifiable   []string      `json:"unverifiable"`
	Seconds        float64       `json:"seconds"`
	Rate           float64       `json:"eventsPerSecond"`

	took time.Duration
}

type skipReport struct {
	Event  string `json:"event"`
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
	First  string `json:"first"`
	Last   string `json:"last"`
}

type poisonReport struct {
	Seq     string `json:"seq"`
	Event   string `json:"event"`
	Stage   string `json:"stage"`
	Path    string `json:"path,omitempty"`
	Wanted  string `json:"wanted,omitempty"`
	Error   string `json:"error,omitempty"`
	Message string `json:"message,omitempty"`
	SQL     string `json:"sql,omitempty"`
	Where   string `json:"where,omitempty"`

	text string
}

func newReplayReport(t replayTask, res replay.Result, err error) replayReport {
	r := replayReport{
		Store: t.log.name(), Log: t.log.url.String(), Schema: t.schema, Release: t.target.Release.Version, Out: t.out, Outcome: "replayed",
		Skipped: []skipReport{}, NotDerivable: []string{}, Unverifiable: []string{},
	}
	if err != nil {
		r.Outcome, r.Error, r.Out = "failed", err.Error(), ""
		return r
	}
	r.Head, r.Confirmed, r.Events, r.Applied, r.FromCheckpoint = res.Head.String(), int64(res.Confirmed), res.Events, res.Applied, res.FromCheckpoint
	r.NotDerivable, r.Unverifiable, r.Seconds, r.Rate, r.took = res.NotDerivable, res.Unverifiable, res.Duration.Seconds(), res.Rate, res.Duration
	for _, s := range res.Skipped {
		r.Skipped = append(r.Skipped, skipReport{s.Name, s.Reason, s.Count, s.First.String(), s.Last.String()})
	}
	if p := res.Poison; p != nil {
		r.Outcome, r.Out = "poison", ""
		r.Poison = &poisonReport{
			Seq: p.Seq.String(), Event: p.Event, Stage: string(p.Stage), Path: p.Path, Wanted: p.Wanted, Error: p.Error,
			Message: p.Message, SQL: p.SQL, Where: p.Where, text: p.String(),
		}
		return r
	}
	r.State = &res.State
	return r
}

func (a *app) renderReplays(reports []replayReport) error {
	return a.render(map[string]any{"replays": reports}, func(w io.Writer) error {
		for i, r := range reports {
			if i > 0 {
				fmt.Fprintln(w)
			}
			if err := a.writeReplay(w, r, len(reports) == 1); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *app) writeReplay(w io.Writer, r replayReport, alone bool) error {
	release := r.Release
	if release == workingTree {
		release = "the working tree"
	}
	name := a.stdout.paint(strong, r.Store)
	switch r.Outcome {
	case "failed":
		_, err := fmt.Fprintf(w, "%s under %s: %s %s\n", name, release, a.stdout.paint(bad, "failed:"), r.Error)
		return err
	case "poison":
		fmt.Fprintf(w, "%s under %s: %s after %s\n  %s\n", name, release, a.stdout.paint(bad, "poison"), counted(r.Events, "event"), r.Poison.text)
		if r.Poison.SQL != "" {
			fmt.Fprintf(w, "  %s\n", oneLine(r.Poison.SQL))
		}
	default:
		fmt.Fprintf(w, "%s under %s: %s up to %s, %d applied, %d skipped, in %s", name, release, counted(r.Events, "event"), r.Head,
			r.Applied, r.Events-r.Applied, r.took.Round(10*time.Millisecond))
		if r.FromCheckpoint > 0 {
			fmt.Fprintf(w, " (from a checkpoint at %s)", counted(r.FromCheckpoint, "event"))
		}
		fmt.Fprintln(w)
		if r.Out != "" {
			fmt.Fprintf(w, "  written to %s\n", a.rel(r.Out))
		}
	}
	for _, s := range r.Skipped {
		why := "the release does not define it"
		if s.Reason == "materializer-missing" {
			why = "it has no materializer"
		}
		fmt.Fprintf(w, "  skipped %s, %s, %s to %s: %s\n", s.Event, counted(s.Count, "event"), s.First, s.Last, why)
	}
	if len(r.NotDerivable) > 0 {
		fmt.Fprintf(w, "  %s %s: the log holds no clientOnly events\n", a.stdout.paint(warn, "not derivable:"), strings.Join(r.NotDerivable, ", "))
	}
	for _, u := range r.Unverifiable {
		fmt.Fprintf(w, "  %s %s\n", a.stdout.paint(warn, "unverifiable:"), u)
	}
	if r.State == nil {
		return nil
	}
	if !alone {
		_, err := fmt.Fprintf(w, "  state %s\n", r.State.Digest)
		return err
	}
	fmt.Fprintln(w)
	return writeDigest(w, *r.State)
}

// replayOutcome is the error of a run over several stores, or of one whose log holds a poison event.
func replayOutcome(reports []replayReport, failed []error) error {
	poison, broken := 0, 0
	var first *replayReport
	for i, r := range reports {
		switch {
		case failed[i] != nil:
			broken++
		case r.Poison != nil:
			poison++
		default:
			continue
		}
		if first == nil {
			first = &reports[i]
		}
	}
	if first == nil {
		return nil
	}
	next := fmt.Sprintf("headgate log tail --log %s", first.Log)
	switch {
	case poison+broken < len(reports):
		return errs.New(errs.Partial, "%d of %d stores have no state: %d with a poison event, %d failed", poison+broken, len(reports), poison, broken).
			Hintf("the others are done").Then(next)
	case broken == 0:
		e := errs.New(errs.Findings, "a rebuild under this release fails at a poison event").Then(next)
		return e.Hintf("every client that rebuilds its state fails to start there; a release that can read the event repairs it")
	}
	return errs.New(errs.CodeOf(failed[0]), "no store could be replayed: %s", first.Error).Then(next)
}
