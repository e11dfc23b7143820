package planner

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"headgate/internal/livestore/schema"
)

// A StepKind is what a step does. The set is closed, for upgrades and for rollbacks.
type StepKind string

const (
	EpochBump        StepKind = "epoch_bump"         // the release carries a higher epoch: states are rebuilt on purpose
	CanaryRebuild    StepKind = "canary_rebuild"     // one store rebuilds first
	DeployReaders    StepKind = "deploy_readers"     // ship the release, emit nothing new
	WaitForReaders   StepKind = "wait_for_readers"   // until every live client can read what will be emitted
	OpenEventVersion StepKind = "open_event_version" // let the fleet emit a new version, share by share
	BackfillRows     StepKind = "backfill"           // bring old rows to what the new version means, by events
	RetireEmission   StepKind = "retire_emission"    // nobody emits the old version any more; its readers stay
	StopEmission     StepKind = "stop_emission"      // a rollback: emit the old version again
	Redeploy         StepKind = "redeploy"           // a rollback: ship the old release again

	// A rollback's other ways.
	RaiseFloor       StepKind = "raise_floor"       // keep a bad build from syncing
	WriteCorrections StepKind = "write_corrections" // into the app's code
	ProveCorrections StepKind = "prove_corrections" // on copies of the logs
	ResetClients     StepKind = "reset_clients"     // they throw their local data away
	ResetBackend     StepKind = "reset_backend"     // it forgets the log, and gets another one
	CopyLog          StepKind = "copy_log"          // into a new store
)

// StepKinds lists the kinds.
func StepKinds() []StepKind {
	return []StepKind{
		EpochBump, CanaryRebuild, DeployReaders, WaitForReaders, OpenEventVersion, BackfillRows, RetireEmission, StopEmission, Redeploy,
		RaiseFloor, WriteCorrections, ProveCorrections, ResetClients, ResetBackend, CopyLog,
	}
}

// Executable reports whether headgate does the step itself; it prints and awaits the others.
func (k StepKind) Executable() bool {
	return slices.Contains([]StepKind{
		OpenEventVersion, BackfillRows, RetireEmission, StopEmission, RaiseFloor, WriteCorrections, ProveCorrections, ResetClients, ResetBackend, CopyLog,
	}, k)
}

// A Step is one thing to do, with what must hold before, how one sees that it is done, and the way back.
type Step struct {
	ID    string   `json:"id"` // "3-open-v2.TodoCreated"
	Kind  StepKind `json:"kind"`
	Title string   `json:"title"`

	Event string `json:"event,omitempty"`
	// Flag is the event family's flag, which the step moves from one variant to another.
	Flag        string `json:"flag,omitempty"`
	FromVariant string `json:"fromVariant,omitempty"`
	ToVariant   string `json:"toVariant,omitempty"`
	// Shares are the percentages of stores that a version is opened to, one after the other.
	Shares []int `json:"shares,omitempty"`
	// Rollout has the flag, Migration commits the events, and Release is the floor, or the one to prove.
	Rollout   string `json:"rollout,omitempty"`
	Migration string `json:"migration,omitempty"`
	Release   string `json:"release,omitempty"`
	// Corrections is the digest of those that the step makes logs by.
	Corrections string `json:"corrections,omitempty"`
	// Placeholder is true when the step's content is not planned yet.
	Placeholder bool `json:"placeholder,omitempty"`

	Gate         string `json:"gate"`
	Action       string `json:"action"`
	Verification string `json:"verification"`
	Undo         string `json:"undo"`
}

// opening is an event version that the new release may emit and the old ones don't know.
type opening struct {
	event    *schema.Event
	previous *schema.Event // the version before it in the old release, nil for a new family
}

// openings returns the synced events that only to defines, sorted by family and version.
func openings(from, to *schema.Release) []opening {
	var out []opening
	for i := range to.Events {
		e := &to.Events[i]
		if e.ClientOnly || e.Derived || from == nil || eventNamed(from, e.Name) != nil {
			continue
		}
		o := opening{event: e}
		for j := range from.Events {
			p := &from.Events[j]
			if p.Family == e.Family && !p.ClientOnly && p.FamilyVersion < e.FamilyVersion && (o.previous == nil || p.FamilyVersion > o.previous.FamilyVersion) {
				o.previous = p
			}
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b opening) int {
		return cmp.Or(cmp.Compare(a.event.Family, b.event.Family), cmp.Compare(a.event.FamilyVersion, b.event.FamilyVersion))
	})
	return out
}

func flagOf(e *schema.Event) string { return "event." + e.Family }

func variant(e *schema.Event) string {
	if e == nil || e.FamilyVersion == 0 {
		return "off"
	}
	return fmt.Sprintf("v%d", e.FamilyVersion)
}

// upgradeSteps lays out the way from one release to the next, which may not be recorded yet.
func upgradeSteps(from, to *schema.Release, horizonDays int, recorded bool, migrations []PlannedMigration) []Step {
	var out []Step
	rebuild := from != nil && rebuilds(from, to)
	back := "Nothing to go back to: it is the first release."
	if from != nil {
		back = "Deploy " + from.Version + " again. Record this release first: the plan of the way back needs it."
		if recorded {
			back = "Deploy " + from.Version + " again: headgate plan --from " + to.Version + " --to " + from.Version + " lays it out."
		}
	}
	if n := epoch(to); from != nil && n > epoch(from) {
		committed := "The generated file is committed and its schema recorded: headgate release add."
		if recorded {
			committed = "The generated file is committed and its schema recorded: headgate release show " + to.Version + "."
		}
		out = append(out, Step{
			ID: "epoch-bump", Kind: EpochBump, Title: fmt.Sprintf("%s carries epoch %d", to.Version, n),
			Gate:         committed,
			Action:       "None beyond the deployment: the epoch table moves the state hash, so every client rebuilds.",
			Verification: "Each client's state file carries the new hash.",
			Undo:         "None: an epoch never goes down. A rollback keeps it and raises it again.",
		})
	}
	if rebuild {
		out = append(out, Step{
			ID: "canary-rebuild", Kind: CanaryRebuild, Title: "One store rebuilds first",
			Gate:         "A store whose clients may wait, and a copy of its log: headgate log export.",
			Action:       "Deploy " + to.Version + " to the clients of that store alone.",
			Verification: "headgate state replay over its log gives the row counts that the client shows.",
			Undo:         back,
		})
	}
	out = append(out, Step{
		ID: "deploy-readers", Kind: DeployReaders, Title: "Deploy " + to.Version + " everywhere, with every event flag at its old version",
		Gate:         "headgate gate passes: the release is recorded and unedited, no finding blocks, no checklist item failed.",
		Action:       "Deploy " + to.Version + ".",
		Verification: "Clients report " + to.Version + "; no materializer error, no unknown event; every state is rebuilt where one was due.",
		Undo:         back,
	})
	open := openings(from, to)
	if len(open)+len(migrations) == 0 {
		return number(out)
	}
	out = append(out, Step{
		ID: "wait-for-readers", Kind: WaitForReaders, Title: "Wait until every live client reads " + to.Version,
		Gate:         to.Version + " is deployed everywhere.",
		Action:       "None. headgate.yaml's fleet says who is out there; a client that is unknown counts against it.",
		Verification: fmt.Sprintf("Every client seen in the last %d days runs %s or a later release.", horizonDays, to.Version),
		Undo:         "Nothing to undo.",
	})
	for _, o := range open {
		out = append(out, openStep(o))
		if o.previous != nil {
			if !slices.ContainsFunc(migrations, func(m PlannedMigration) bool { return slices.Contains(m.Events, o.event.Name) }) {
				out = append(out, backfillStep(o))
			}
			out = append(out, retireStep(o))
		}
	}
	for _, m := range migrations {
		out = append(out, migrationStep(m))
	}
	return number(out)
}

// migrationStep is a backfill that is written.
func migrationStep(m PlannedMigration) Step {
	return Step{
		ID: "backfill-" + m.Name, Kind: BackfillRows, Title: "Run migration " + m.Name,
		Gate:         "Every release that is alive defines and materializes " + strings.Join(m.Events, ", ") + "; headgate migration preview " + m.Name + " shows what is expected.",
		Action:       "headgate apply PLAN --step backfill commits what is due, once in each store.",
		Verification: "headgate migration verify " + m.Name + " ends with 0.",
		Undo:         "Committed events stay; headgate migration compensate " + m.Name + " drafts the opposite ones.",
	}
}

func openStep(o opening) Step {
	return Step{
		ID: "open-" + o.event.Name, Kind: OpenEventVersion, Title: "Open " + o.event.Name + " to the fleet, step by step",
		Event: o.event.Name, Flag: flagOf(o.event), FromVariant: variant(o.previous), ToVariant: variant(o.event), Shares: []int{1, 10, 50, 100},
		Gate:         "Every live reader defines and materializes " + o.event.Name + ".",
		Action:       "Move flag " + flagOf(o.event) + " from " + variant(o.previous) + " to " + variant(o.event) + " for 1, 10, 50 and 100 % of the stores.",
		Verification: "At each share: no unknown event, no materializer error, no push refused.",
		Undo:         "Move the flag back to " + variant(o.previous) + ". Events that were emitted stay in their logs, and so must their readers.",
	}
}

func backfillStep(o opening) Step {
	return Step{
		ID: "backfill-" + o.event.Name, Kind: BackfillRows, Title: "Backfill rows that only " + o.previous.Name + " wrote", Placeholder: true,
		Event:        o.event.Name,
		Gate:         o.event.Name + " is open to all stores, and its materializer survives a row that is already there (MT102).",
		Action:       "Commit events for old rows where they lack what " + o.event.Name + " adds. Skip it where a default says enough.",
		Verification: "No row is left that the migration's selection finds.",
		Undo:         "Committed events stay; a correction goes on top.",
	}
}

func retireStep(o opening) Step {
	return Step{
		ID: "retire-" + o.previous.Name, Kind: RetireEmission, Title: "Stop emitting " + o.previous.Name + ", keep its definition and materializer",
		Event: o.previous.Name, Flag: flagOf(o.event), FromVariant: variant(o.event), ToVariant: variant(o.event),
		Gate:         o.event.Name + " has been open to all stores for as long as a client may stay offline.",
		Action:       "Take " + variant(o.previous) + " out of the flag's variants and mark " + o.previous.Name + " deprecated.",
		Verification: "headgate log stats shows no " + o.previous.Name + " after that day.",
		Undo:         "Put the variant back.",
	}
}

// RollbackSteps lays out the way back: from is the release that runs now, to the older one, keepers the adapters that keep
// old state files. They have no numbers yet.
func RollbackSteps(from, to *schema.Release, keepers []string) []Step {
	var out []Step
	for _, o := range openings(to, from) { // what the newer release emits and the older one does not know
		out = append(out, Step{
			ID: "stop-" + o.event.Name, Kind: StopEmission, Title: "Stop emitting " + o.event.Name,
			Event: o.event.Name, Flag: flagOf(o.event), FromVariant: variant(o.event), ToVariant: variant(o.previous),
			Gate:         "None: stopping bypasses every approval.",
			Action:       "Move flag " + flagOf(o.event) + " back to " + variant(o.previous) + " for all stores.",
			Verification: "No new " + o.event.Name + " arrives once offline clients have come back; the ones committed stay.",
			Undo:         "Move the flag forward again.",
		})
	}
	what := to.Version + " again"
	if rebuilds(from, to) && len(keepers) > 0 {
		what += ", under its new epoch"
		out = append(out, Step{
			ID: "epoch-bump", Kind: EpochBump, Title: "Give " + to.Version + " an epoch that never was, and record it as a new release",
			Gate:         "None.",
			Action:       "In the tree of " + to.Version + ": headgate epoch bump --schema " + to.Schema + ", then headgate release add.",
			Verification: "Its state hash is that of no earlier release: headgate release list.",
			Undo:         "None: an epoch never goes down.",
		})
	}
	out = append(out, Step{
		ID: "redeploy", Kind: Redeploy, Title: "Deploy " + what,
		Gate:         "headgate gate passes; every event that is in the logs decodes under " + to.Version + ", because a client that rebuilds meets them all.",
		Action:       "Deploy " + what + ".",
		Verification: "headgate state replay gives the row counts that clients show.",
		Undo:         "Deploy " + from.Version + " again, under the same care: it is a rollback of its own.",
	})
	return out
}

// number puts each step's place before its ID.
func number(steps []Step) []Step {
	for i := range steps {
		steps[i].ID = strconv.Itoa(i+1) + "-" + steps[i].ID
	}
	return steps
}

var epochTable = regexp.MustCompile(`^headgate_epoch_(\d{1,9})$`)

// epoch returns the highest epoch that a release's tables carry.
func epoch(r *schema.Release) int {
	highest := 0
	for _, t := range r.Tables {
		if m := epochTable.FindStringSubmatch(t.Name); m != nil {
			n, err := strconv.Atoi(m[1])
			if err == nil {
				highest = max(highest, n)
			}
		}
	}
	return highest
}
