package corrective

import (
	"fmt"
	"strings"
	"time"

	"headgate/planner"
)

// A Runbook is a plan of a rollback for the person who carries it out, maybe at night, and for those who are told.
type Runbook struct {
	Plan     *planner.Plan
	Remedy   Remedy
	Affected Affected
	Circumstances
	Shown func(Command) string // a command as it is typed
	Now   time.Time
}

// Affected says whom it concerns.
type Affected struct {
	Events          Split
	Stores, Of      int   // stores with bad events, of so many
	Things          int64 // that the events are about
	Capped          bool  // at least so many
	Clients         int   // that wrote some
	Pending         int64 // bad events that only a client has
	From, To        time.Time
	Readers         []string // what the releases alive do with the events, a line each
	LargestRebuild  int64    // events of the largest log
	Release, Target string
	// Estimate is of all stores, where only a sample was read; else nil.
	Estimate *Estimate
}

// Markdown is the runbook's text.
func (r Runbook) Markdown() string {
	var b strings.Builder
	in := r.Plan.Intent
	fmt.Fprintf(&b, "# Runbook: %s on %s\n\n", in.Answer.Selection, in.Environment)
	fmt.Fprintf(&b, "%s. %s\n\n", r.Remedy.Title, r.Remedy.Effect)
	fmt.Fprintf(&b, "Written at %s for plan `%s`. After each step, `headgate rollback status --env %s` says what comes next. Whatever is interrupted, the same command goes on.\n",
		r.Now.UTC().Format(time.RFC3339), r.Plan.Digest, in.Environment)
	b.WriteString("\n## Who is affected\n\n")
	for _, line := range r.Affected.lines() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	if len(r.Remedy.Loses) > 0 {
		b.WriteString("\n## What is lost\n\n")
		for _, l := range r.Remedy.Loses {
			fmt.Fprintf(&b, "- %s\n", l)
		}
		fmt.Fprintf(&b, "\nAccepted: %s\n", in.Answer.LossReason)
	}
	b.WriteString("\n## Before the first step\n\n")
	for _, p := range r.Remedy.Preconditions {
		box := map[Met]string{Yes: "[x]", No: "[ ]", Unclear: "[ ]"}[p.Met]
		line := p.Text
		if p.Why != "" {
			line += " (" + p.Why + ")"
		}
		fmt.Fprintf(&b, "- %s %s\n", box, line)
	}
	b.WriteString("- [ ] somebody else knows that this is going on, and can be reached\n")
	b.WriteString("\n## Steps\n")
	for i, s := range in.Steps {
		r.step(&b, i+1, s)
	}
	b.WriteString("\n## When it is over\n\n")
	fmt.Fprintf(&b, "    headgate rollback assess --env %s\n    headgate stop --env %[1]s --lift --reason TEXT\n    headgate rollback close --env %[1]s --reason TEXT\n", in.Environment)
	b.WriteString("\nThe bad events stay in the logs for good, and so must whatever reads or corrects them.\n")
	fmt.Fprintf(&b, "\n## A message to users\n\n%s\n", r.message())
	return b.String()
}

func (a Affected) lines() []string {
	at := ""
	if !a.From.IsZero() {
		at = fmt.Sprintf(", committed from %s to %s", a.From.UTC().Format(time.RFC3339), a.To.UTC().Format(time.RFC3339))
	}
	out := []string{fmt.Sprintf("%s in %d of %s%s", plural(a.Events.Total(), "bad event"), a.Stores, stores(a.Of), at)}
	if e := a.Estimate; e != nil {
		out = append(out, fmt.Sprintf("that is a sample: between %d and %d of %s are hit, at 95 %% confidence", e.Low, e.High, stores(e.Stores)))
	}
	if a.Events.Unknown > 0 {
		out = append(out, fmt.Sprintf("of %d of them nobody knows which release wrote them: they count as bad", a.Events.Unknown))
	}
	things := plural(a.Things, "thing")
	if a.Capped {
		things = "over " + things
	}
	out = append(out, fmt.Sprintf("%s that the events are about, written by %s", things, plural(int64(a.Clients), "client")))
	if a.Pending > 0 {
		out = append(out, fmt.Sprintf("%s on clients that have not sent them: a reset loses them", plural(a.Pending, "bad event")))
	}
	return append(out, a.Readers...)
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

const commandsShown = 6

func (r Runbook) step(b *strings.Builder, n int, s planner.Step) {
	fmt.Fprintf(b, "\n### %d. %s\n\n", n, s.Title)
	fmt.Fprintf(b, "- **Before:** %s\n- **Do:** %s\n", s.Gate, s.Action)
	commands := Commands(r.Plan, s, r.Circumstances)
	who := "headgate does it, after asking"
	if len(commands) == 0 {
		who = "a person does it, and says so"
	}
	fmt.Fprintf(b, "\n%s:\n\n    headgate rollback run --step %s --env %s\n", who, s.ID, r.Plan.Intent.Environment)
	if len(commands) > 0 {
		fmt.Fprintf(b, "\nwhich is\n\n")
		for i, c := range commands {
			if i == commandsShown && len(commands) > commandsShown+1 {
				fmt.Fprintf(b, "    # and %d more, the same for each store of plan.json\n", len(commands)-i)
				break
			}
			fmt.Fprintf(b, "    %s\n", r.Shown(c))
		}
	}
	fmt.Fprintf(b, "\n- **Expect:** %s\n", s.Verification)
	for _, stop := range stopsAt(s.Kind) {
		fmt.Fprintf(b, "- **Stop when:** %s\n", stop)
	}
	fmt.Fprintf(b, "- **Back:** %s\n", s.Undo)
}

// stopsAt are the signs that it must not go on.
func stopsAt(k planner.StepKind) []string {
	switch k {
	case planner.StopEmission:
		return []string{"nothing: it only takes back. Where it fails, headgate stop does it without any file"}
	case planner.BackfillRows:
		return []string{"the preview shows other rows than the assessment", "a store fails (5), or drifted past what the preview said", "a release that is alive would not read the events (7)"}
	case planner.WriteCorrections:
		return []string{"a correction matches nothing, or two match one event (2)", "a store can't be read: it would stay as it is", "the app's own tests fail"}
	case planner.ProveCorrections:
		return []string{"it ends with 8: rows are not as declared. Ship nothing of it", "it ends with 5: the stores that could not be read are not proven"}
	case planner.CanaryRebuild:
		return []string{"the row counts differ from the replay", "an event that the client had not sent is gone", "the client does not start"}
	case planner.DeployReaders, planner.Redeploy:
		return []string{"materializer errors or unknown events are reported", "clients don't start: hold the deployment where it is"}
	case planner.WaitForReaders:
		return []string{"new bad events arrive"}
	case planner.RaiseFloor:
		return []string{"more clients would be shut out than meant (--dry-run counts them)", "there is no build for them to update to"}
	case planner.ResetClients:
		return []string{"clients hand over events that they could not send", "the backend can't keep up with the loading: fewer per hour, or cancel"}
	case planner.ResetBackend, planner.CopyLog:
		return []string{"a command ends with anything but 0: the same command goes on, or says why not", "events arrived between the export and the reset (7): nothing was reset, and the step is run again"}
	case planner.EpochBump:
		return []string{"its state hash is that of an earlier release"}
	}
	return []string{"what is expected does not come"}
}

// message is what users may be told; a person reads it first.
func (r Runbook) message() string {
	a := r.Affected
	when := ""
	if !a.From.IsZero() {
		when = fmt.Sprintf(" since %s (UTC)", a.From.UTC().Format("2006-01-02 15:04"))
	}
	what := fmt.Sprintf("> A fault in version %s%s made some of what you see wrong. Nothing you entered is gone.", a.Release, when)
	then := "> You don't have to do anything."
	switch r.Remedy.Kind {
	case CorrectiveRelease, EpochRebuild, Redeploy:
		then = "> Please update when the app asks you to: the first start afterwards takes longer than usual. What you entered offline is kept and sent."
	case CompensatingEvent:
		then = "> We are putting it right; you will see it change by itself within minutes of being online."
	case FlagOff:
		then = "> We have switched off what caused it. What it changed already will be put right separately."
	case Floor:
		then = "> Your version can't sync until it is updated. Please update; what you entered offline is kept, and sent afterwards."
	case ClientReset, BackendReset:
		what = strings.TrimSuffix(what, " Nothing you entered is gone.")
		then = "> The app will load your data anew. What you entered offline and that was not sent before may be lost: please check what you entered last."
	case CopyLog:
		what = strings.TrimSuffix(what, " Nothing you entered is gone.")
		then = "> The app will move your data to a new place. Please be online once before, so that what you entered offline is sent."
	}
	return what + "\n>\n" + then + "\n>\n> We are sorry."
}
