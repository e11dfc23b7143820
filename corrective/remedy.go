package corrective

import (
	"fmt"
	"slices"
	"strings"

	"headgate/internal/livestore/schema"
)

// A Remedy is one way to answer the damage, with what must hold for it and what it costs.
type Remedy struct {
	Kind  RemedyKind `json:"kind"`
	Title string     `json:"title"`
	// Possible says that no precondition is known to fail. What is not known must be found out first.
	Possible      bool           `json:"possible"`
	Preconditions []Precondition `json:"preconditions"`
	Effect        string         `json:"effect"` // what it does, and what it does not
	Loses         []string       `json:"loses"`  // what is gone afterwards; empty for nothing
	Costs         []string       `json:"costs"`
	Refused       string         `json:"refused,omitempty"` // why it is no way here, though it may look like one
	Next          []string       `json:"next_actions"`
}

// A RemedyKind names a remedy. The words are stable; they go from the least destructive to the most.
type RemedyKind string

const (
	FlagOff           RemedyKind = "flag-off"
	Redeploy          RemedyKind = "redeploy"
	CompensatingEvent RemedyKind = "compensating-events"
	CorrectiveRelease RemedyKind = "corrective-release"
	EpochRebuild      RemedyKind = "epoch-rebuild"
	Floor             RemedyKind = "floor"
	ClientReset       RemedyKind = "client-reset"
	BackendReset      RemedyKind = "backend-reset"
	CopyLog           RemedyKind = "copy-log"
)

// RemedyKinds lists the kinds, the least destructive first.
func RemedyKinds() []RemedyKind {
	return []RemedyKind{FlagOff, Redeploy, CompensatingEvent, CorrectiveRelease, EpochRebuild, Floor, ClientReset, BackendReset, CopyLog}
}

// Destructive reports whether the remedy loses what can't be made again. Such a one is never the first.
func (k RemedyKind) Destructive() bool {
	return k == ClientReset || k == BackendReset || k == CopyLog
}

// A Precondition must hold before a remedy is begun.
type Precondition struct {
	Text string `json:"text"`
	Met  Met    `json:"met"`
	Why  string `json:"why,omitempty"`
}

// Met says whether a precondition holds. The words are stable.
type Met string

const (
	Yes     Met = "yes"
	No      Met = "no"
	Unclear Met = "unknown"
)

func met(ok bool) Met {
	if ok {
		return Yes
	}
	return No
}

// Facts are what the decision rests on.
type Facts struct {
	Env, Schema string
	Bad         *schema.Release // that runs now
	Target      *schema.Release // that someone would go back to; nil where nothing older is recorded

	Sampled bool     // only some of the stores were read
	Events  int64    // bad ones that are committed
	Bads    []string // their names
	Pending int64    // of them, not sent yet
	Names   []Taken  // what the target does with them, by event
	Poison  []string
	// Rows is how many rows differ from what should be; -1 where nobody looked.
	Rows int64
	// Otherwise is how many rows the target makes otherwise of the same events, where it reads and knows them all; -1 where
	// nobody looked. Above 0 the materializers are at fault.
	Otherwise int64
	// Keepers are the app's adapters that keep a state file after the hash moved.
	Keepers []string
	// Emitters decide whether the app emits the bad events.
	Emitters []Emitter
	// Wrapped says that the sync backend has headgate's worker: it can refuse old builds, and be reset.
	Wrapped Met
	// Rebuild says what a rebuild costs a client, in words.
	Rebuild string
	// Backfills are headgate's own runs of migrations that are not over, or that some of the stores failed in.
	Backfills []Backfill
}

// An Emitter is a flag that decides whether the app emits an event.
type Emitter struct {
	Event   string
	Flag    string // its key; empty for one that is not headgate's
	Rollout string // that has the flag, if one has
}

func (e Emitter) String() string {
	switch {
	case e.Rollout != "":
		return e.Flag + " (rollout " + e.Rollout + ")"
	case e.Flag != "":
		return e.Flag
	}
	return "the one behind " + e.Event + " (gated in headgate.yaml)"
}

// A Backfill is a run of a migration that headgate knows to be incomplete.
type Backfill struct {
	Migration string
	Run       string
	State     string   // of the run
	Done      int64    // stores that have all of it
	Stores    int64    // of so many
	Emits     []string // the events
	Going     bool     // it commits now
}

func (b Backfill) String() string {
	return fmt.Sprintf("run %s of %s is %s, done in %d of %d stores", b.Run, b.Migration, b.State, b.Done, b.Stores)
}

// A Question is one thing that the decision asks, with its answer.
type Question struct {
	Text   string `json:"question"`
	Answer string `json:"answer"`
	Bad    bool   `json:"bad"` // the answer closes a way
}

// A Decision is the questions in their order, and the remedies: those that are possible, those that are not, and at the
// end the destructive ones, each part with the least destructive first.
type Decision struct {
	Questions []Question `json:"questions"`
	Remedies  []Remedy   `json:"remedies"`
}

// hash says how the state hash moves from the release that runs to the one to go back to.
type hash string

const (
	same      hash = "same"      // no client rebuilds: rows that the bad release wrote stay
	returning hash = "returning" // it was in the field before: clients that kept the old file open it again, as it was then
)

func (f Facts) hash() hash {
	if f.Target.StateHash == f.Bad.StateHash {
		return same
	}
	return returning
}

func (f Facts) skipped() []Taken  { return f.read(Skips) }
func (f Facts) breaking() []Taken { return f.read(Breaks) }

func (f Facts) read(v Verdict) (out []Taken) {
	for _, r := range f.Names {
		if r.Verdict == v {
			out = append(out, r)
		}
	}
	return out
}

func names(reads []Taken) string {
	var out []string
	for _, r := range reads {
		out = append(out, r.Event)
	}
	return strings.Join(out, ", ")
}

// Decide asks the questions in their order and ranks the remedies. It is pure.
func Decide(f Facts) Decision {
	d := Decision{Questions: f.questions()}
	all := []Remedy{f.flagOff(), f.redeploy(), f.compensating(), f.correctiveRelease(), f.epochRebuild(), f.floor(), f.clientReset(), f.backendReset(), f.copyLog()}
	for i := range all {
		r := &all[i]
		if f.Sampled && !r.Kind.bySample() {
			r.Preconditions = append(r.Preconditions, Precondition{Text: "every log was read", Met: No, Why: "a sample was: headgate rollback assess --env " + f.Env + " reads them all"})
		}
		r.Possible = r.Refused == "" && !slices.ContainsFunc(r.Preconditions, func(p Precondition) bool { return p.Met == No })
		for _, list := range []*[]string{&r.Loses, &r.Costs, &r.Next} {
			if *list == nil {
				*list = []string{}
			}
		}
		if r.Preconditions == nil {
			r.Preconditions = []Precondition{}
		}
	}
	rank := func(r Remedy) int {
		switch {
		case r.Kind.Destructive():
			return 2
		case r.Possible:
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b Remedy) int { return rank(a) - rank(b) })
	d.Remedies = all
	return d
}

func (f Facts) questions() []Question {
	var out []Question
	ask := func(text string, bad bool, answer string, args ...any) {
		out = append(out, Question{text, fmt.Sprintf(answer, args...), bad})
	}
	if f.Target == nil {
		ask("Which release would one go back to?", true, "no release before %s is recorded: there is no way back, only forward", f.Bad.Version)
	} else {
		to := f.Target.Version
		if s := f.skipped(); len(s) > 0 {
			ask("Are there events that "+to+" does not know?", true, "yes: %s; its clients skip them, and have holes", names(s))
		} else {
			ask("Are there events that "+to+" does not know?", false, "no")
		}
		if b := f.breaking(); len(b) > 0 {
			ask("Are there events that "+to+" knows and can't read?", true, "yes: %s; its clients stop syncing, and don't start where they rebuild", names(b))
		} else {
			ask("Are there events that "+to+" knows and can't read?", false, "no")
		}
		switch f.hash() {
		case same:
			ask("Does the state hash move on the way to "+to+"?", true, "no: clients keep every row as it is, wrong ones too")
		default:
			if len(f.Keepers) > 0 {
				ask("Does the state hash move on the way to "+to+"?", true, "it goes back to one that was: on %s clients open their old state file again, and never catch up", strings.Join(f.Keepers, ", "))
			} else {
				ask("Does the state hash move on the way to "+to+"?", false, "yes: clients rebuild")
			}
		}
		if f.Target.LiveStore.StorageFormat != f.Bad.LiveStore.StorageFormat {
			ask("Do both releases use the same storage format?", true, "no: %d and %d; %s starts with an empty log of its own", f.Bad.LiveStore.StorageFormat, f.Target.LiveStore.StorageFormat, to)
		} else {
			ask("Do both releases use the same storage format?", false, "yes")
		}
	}
	if len(f.Poison) > 0 {
		ask("Is there an event that "+f.Bad.Version+" itself fails on?", true, "yes: %s", strings.Join(f.Poison, "; "))
	} else {
		ask("Is there an event that "+f.Bad.Version+" itself fails on?", false, "no")
	}
	for _, b := range f.Backfills {
		if b.Going {
			ask("Is headgate committing events itself?", true, "yes: %s; headgate migration pause %s --env %s", b, b.Migration, f.Env)
			continue
		}
		ask("Did a backfill of headgate's stop in the middle?", true, "yes: %s; what it committed is known. Finish it (headgate migration up %[2]s --env %[3]s), or compensate it (headgate migration compensate %[2]s)", b, b.Migration, f.Env)
	}
	return out
}

func (f Facts) flagOff() Remedy {
	r := Remedy{
		Kind: FlagOff, Title: "Stop emitting the events",
		Effect: fmt.Sprintf("No new one is written by clients that ask their flags. The %d that are committed stay, and so do the rows.", f.Events),
		Costs:  []string{"clients that are offline, or don't ask a flag, go on until they do"},
	}
	why := "neither headgate/flags.yaml nor a rollout has one"
	if len(f.Emitters) > 0 {
		why = emitterText(f.Emitters)
	}
	r.Preconditions = append(r.Preconditions, Precondition{Text: "a flag decides whether the app emits them", Met: met(len(f.Emitters) > 0), Why: why})
	for _, e := range f.Emitters {
		switch {
		case e.Rollout != "":
			r.Next = append(r.Next, "headgate rollout abort "+e.Rollout+" --env "+f.Env)
		case e.Flag != "":
			r.Next = append(r.Next, "headgate flags check")
		}
	}
	r.Next = slices.Compact(r.Next)
	return r
}

func emitterText(all []Emitter) string {
	var out []string
	for _, e := range all {
		out = append(out, e.String())
	}
	return strings.Join(out, ", ")
}

// redeploy is what everybody reaches for first.
func (f Facts) redeploy() Remedy {
	r := Remedy{Kind: Redeploy, Title: "Deploy the release before it again, as it was", Effect: "The bad code runs no more. No row changes that it made."}
	if f.Target == nil {
		r.Refused = "no release before " + f.Bad.Version + " is recorded"
		return r
	}
	r.Title = "Deploy " + f.Target.Version + " again, as it was"
	read := Precondition{Text: "it reads every event that is in the logs", Met: met(len(f.breaking()) == 0)}
	if b := f.breaking(); len(b) > 0 {
		read.Why = "it fails on " + names(b) + ": clients stop syncing, and don't start where they rebuild"
	}
	know := Precondition{Text: "it knows every event that is in the logs", Met: met(len(f.skipped()) == 0)}
	if s := f.skipped(); len(s) > 0 {
		know.Why = "it skips " + names(s) + ": holes that stay"
	}
	stale := Precondition{Text: "no client opens an old state file again", Met: met(f.hash() == same || len(f.Keepers) == 0)}
	if stale.Met == No {
		stale.Why = "on " + strings.Join(f.Keepers, ", ") + " the file of its hash may still be there, as it was then: clients show that for good"
	}
	storage := Precondition{Text: "it uses the same storage format", Met: met(f.Target.LiveStore.StorageFormat == f.Bad.LiveStore.StorageFormat)}
	r.Preconditions = []Precondition{read, know, stale, storage}
	switch {
	case f.hash() == same && f.Rows > 0:
		r.Refused = fmt.Sprintf("it repairs nothing: %d rows stay wrong, since the state hash is the same and no client rebuilds; it only keeps the damage from growing", f.Rows)
	case f.hash() == same:
		r.Costs = append(r.Costs, "rows that are wrong stay so: the state hash is the same, and no client rebuilds")
	default:
		r.Costs = append(r.Costs, f.rebuild())
	}
	r.Next = []string{"headgate plan --from " + f.Bad.Version + " --to " + f.Target.Version + " --env " + f.Env}
	return r
}

func (f Facts) compensating() Remedy {
	r := Remedy{
		Kind: CompensatingEvent, Title: "Commit events that say the opposite",
		Effect: "Every client gets them by its normal sync and ends right, without a rebuild or a deployment. The bad events stay in the logs.",
		Costs:  []string{"the opposite must be one that the app's events can say"},
		Next:   []string{f.Undo()},
	}
	right := Precondition{
		Text: "the materializers are right, and only the events are wrong", Met: Unclear,
		Why: "a wrong materializer makes wrong rows of these events again at the next rebuild",
	}
	switch {
	case f.Target != nil && f.Otherwise == 0:
		right.Met, right.Why = Yes, f.Target.Version+" makes the same rows of the same events"
	case f.Target != nil && f.Otherwise > 0:
		right.Met, right.Why = No, fmt.Sprintf("%s makes %d rows otherwise of the same events: those, and all that come, would stay wrong", f.Target.Version, f.Otherwise)
	}
	r.Preconditions = append(r.Preconditions, right)
	r.Preconditions = append(r.Preconditions, f.noPoison())
	if f.Rows == 0 {
		r.Refused = "no row differs from what it should be: there is nothing to say the opposite of"
	}
	return r
}

// Undo is the command that begins the migration with the opposite events: of the backfill that committed the bad ones, where
// one did.
func (f Facts) Undo() string {
	for _, b := range f.Backfills {
		if slices.ContainsFunc(f.Bads, func(name string) bool { return slices.Contains(b.Emits, name) }) {
			return "headgate migration compensate " + b.Migration
		}
	}
	return "headgate migration new undo --schema " + f.Schema
}

func (f Facts) noPoison() Precondition {
	p := Precondition{Text: "no client fails on an event of its log", Met: met(len(f.Poison) == 0)}
	if len(f.Poison) > 0 {
		p.Why = "a client that stands at a poison event never gets what comes after it"
	}
	return p
}

func (f Facts) correctiveRelease() Remedy {
	base, why := f.Base(CorrectiveRelease), ""
	if f.Target != nil && base == f.Bad {
		why = fmt.Sprintf("; %s as it was can't read the log", f.Target.Version)
	}
	r := Remedy{
		Kind: CorrectiveRelease, Title: fmt.Sprintf("Ship a release on %s whose materializers do it right, under a new epoch", base.Version),
		Effect: "Every client that gets it rebuilds its state from its log and ends right; nothing unsent is lost" + why + ". Without the epoch it would change nothing where the bad one ran.",
		Costs:  []string{"a deployment; " + f.rebuild()},
		Next:   []string{"headgate epoch bump --schema " + f.Schema, "headgate release add VERSION", "headgate plan"},
	}
	r.Preconditions = f.rebuildPreconditions()
	if len(f.Poison) > 0 {
		r.Preconditions = append(r.Preconditions, Precondition{Text: "its event schemas take the poison events, too", Met: Unclear, Why: "decoding comes before the materializer"})
	}
	for _, name := range f.Bads {
		if def, ok := base.Event(name); ok && def.Derived {
			r.Preconditions = append(r.Preconditions, Precondition{Text: name + " is no client document's event", Met: No, Why: "LiveStore materializes it itself: no code of the app's comes between"})
		}
	}
	return r
}

// Base is the release whose code runs after a remedy, but for what the remedy changes in it.
func (f Facts) Base(k RemedyKind) *schema.Release {
	reads := f.Target != nil && len(f.breaking()) == 0 && len(f.skipped()) == 0
	if k == Redeploy && f.Target != nil || k == CorrectiveRelease && reads {
		return f.Target
	}
	return f.Bad
}

func (f Facts) rebuild() string {
	if f.Rebuild == "" {
		return "every client rebuilds its whole state"
	}
	return "every client rebuilds its whole state: " + f.Rebuild
}

// rebuildPreconditions are those of whatever makes all clients rebuild.
func (f Facts) rebuildPreconditions() []Precondition {
	hooks := Precondition{Text: "the release has the rebuild hooks", Met: Yes}
	if !f.Bad.Migrations.AtomicRebuild { // they can be had with the release that is shipped anyway
		hooks.Met = Unclear
		hooks.Why = "an interrupted rebuild would count as complete: headgate epoch bump writes them into the generated helper"
	}
	out := []Precondition{hooks}
	if f.Bad.Migrations.Strategy == "manual" {
		out = append(out, Precondition{Text: "clients rebuild when the hash moves", Met: No, Why: "migrations: {strategy: 'manual'} never does"})
	}
	return out
}

func (f Facts) epochRebuild() Remedy {
	r := Remedy{
		Kind: EpochRebuild, Title: "Have every client rebuild under the release that runs, by a new epoch",
		Effect:        "Holes and rows that an earlier build left are gone afterwards. What the running materializers make of the log stays as it is.",
		Costs:         []string{"a deployment; " + f.rebuild()},
		Preconditions: append(f.rebuildPreconditions(), f.noPoison()),
		Next:          []string{"headgate epoch bump --schema " + f.Schema},
	}
	if f.Rows > 0 {
		r.Refused = fmt.Sprintf("%s makes the wrong rows again from the same events (%d differ)", f.Bad.Version, f.Rows)
	}
	return r
}

func (f Facts) floor() Remedy {
	return Remedy{
		Kind: Floor, Title: "Keep the bad build from syncing, by a floor",
		Effect:        "Its clients can't add to the damage; what they have not sent waits until they upgrade. It repairs nothing.",
		Costs:         []string{"users of that build see that they must update"},
		Preconditions: []Precondition{{Text: "headgate's worker wraps the sync backend", Met: f.Wrapped}, {Text: "there is a build above the floor that they can get", Met: Unclear}},
	}
}

func (f Facts) clientReset() Remedy {
	r := Remedy{
		Kind: ClientReset, Title: "Have clients throw their local data away and load it again",
		Effect:        "State and log are made anew from the backend. Where the materializers are wrong, or the log is, they are wrong again.",
		Loses:         []string{f.unsent(), "documents that only live on the client"},
		Preconditions: []Precondition{{Text: "the backend's log is right as it is", Met: Unclear}},
		Next:          []string{"headgate rollback instructions --schema " + f.Schema, "headgate reset --help"},
	}
	if f.Rows > 0 {
		r.Refused = "the rows come from events that the backend holds, too: after a reset they are the same again"
	}
	return r
}

func (f Facts) unsent() string {
	if f.Pending > 0 {
		return fmt.Sprintf("every event that is not sent yet, %d bad ones among them in the logs that were read", f.Pending)
	}
	return "every event that is not sent yet"
}

// corrected are the commands that make a corrected copy of a store's log.
func (f Facts) corrected() []string {
	return []string{
		"headgate log export --env " + f.Env + " --store STORE --out log.json",
		"headgate log transform log.json --corrections headgate/corrections/" + f.Schema + ".yaml --out better.json",
	}
}

func (f Facts) backendReset() Remedy {
	return Remedy{
		Kind: BackendReset, Title: "Reset the backend: a new backend id, and a log without the bad events",
		Effect:        "Clients notice the new id and load everything again.",
		Loses:         []string{f.unsent() + ", on all clients", "clientOnly events and client documents, on all clients", "the history from the first bad event on, unless it is carried over"},
		Preconditions: []Precondition{{Text: "headgate's worker wraps the sync backend, with its admin route", Met: f.Wrapped}, {Text: "an export of the log, with its digest, lies elsewhere", Met: Unclear}},
		Next: append(f.corrected(),
			"headgate store reset STORE --env "+f.Env+" --export before.json --import better.json"),
	}
}

func (f Facts) copyLog() Remedy {
	return Remedy{
		Kind: CopyLog, Title: "Copy the log, without or with corrected events, into a new store",
		Effect:        "The old store stays as it is, and clients move to the new one.",
		Loses:         []string{f.unsent() + ", unless it was sent before the copy", "event numbers, and what refers to them"},
		Costs:         []string{"the app must be able to move its users to another store id"},
		Preconditions: []Precondition{{Text: "the app can change a user's store id", Met: Unclear}},
		Next:          append(f.corrected(), "headgate log import better.json --env "+f.Env+" --store NEW-STORE"),
	}
}
