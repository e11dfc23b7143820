package corrective

import (
	"fmt"
	"strings"

	"headgate/internal/livestore"
	"headgate/planner"
)

// A Layout is what the steps of a remedy are made of, beside the facts that it was chosen by.
type Layout struct {
	Facts
	Kind      RemedyKind
	Version   string // that the release to be shipped may have
	Migration string // with the opposite events; empty where nobody wrote it yet
	// Corrections is the digest of those that logs are made by, see [Corrections.Digest].
	Corrections string
	Stores      []livestore.StoreID
}

// Steps lays out a remedy. What makes new bad events is stopped first, whatever the remedy.
func (l Layout) Steps() []planner.Step {
	if l.Kind == Redeploy {
		return l.redeploySteps()
	}
	steps := l.stopSteps()
	switch l.Kind {
	case CompensatingEvent:
		steps = append(steps, l.undoStep())
	case CorrectiveRelease:
		steps = append(steps, l.correctionSteps()...)
		steps = append(steps, l.shipSteps()...)
	case EpochRebuild:
		steps = append(steps, planner.Step{
			ID: "epoch-bump", Kind: planner.EpochBump, Title: "Give the code of " + l.Bad.Version + " an epoch that never was, and record it as " + l.Version,
			Release: l.Version, Gate: "None.",
			Action:       fmt.Sprintf("headgate epoch bump --schema %s --reason %s, then headgate release add %s.", l.Schema, "rebuild", l.Version),
			Verification: "Its state hash is that of no earlier release: headgate release list.",
			Undo:         "None: an epoch never goes down.",
		})
		steps = append(steps, l.shipSteps()...)
	case Floor:
		steps = append(steps, l.floorStep())
	case ClientReset:
		steps = append(steps, l.clientResetStep())
	case BackendReset:
		steps = append(steps, l.backendResetStep())
	case CopyLog:
		steps = append(steps, l.copySteps()...)
	}
	return steps
}

// stopSteps has no new bad event made, as far as flags decide.
func (l Layout) stopSteps() []planner.Step {
	var out []planner.Step
	seen := map[string]bool{}
	for _, e := range l.Emitters {
		if seen[e.Rollout+" "+e.Flag] || e.Flag == "" {
			continue
		}
		seen[e.Rollout+" "+e.Flag] = true
		s := planner.Step{
			ID: "stop-" + e.Event, Kind: planner.StopEmission, Title: "Stop emitting " + e.Event,
			Event: e.Event, Flag: e.Flag, Rollout: e.Rollout,
			Gate:         "None: stopping bypasses every approval.",
			Action:       "Set the default of flag " + e.Flag + " in headgate/flags.yaml to the version before, then headgate flags export.",
			Verification: "No new " + e.Event + " arrives once offline clients have come back; the ones committed stay.",
			Undo:         "Move the flag forward again.",
		}
		if e.Rollout != "" {
			s.Action = "Take the rollout " + e.Rollout + " back to weight 0 (abort while it ramps up, undo once it is full)."
			s.Undo = "headgate rollout start " + e.Rollout + " --env " + l.Env + "."
		}
		out = append(out, s)
	}
	return out
}

func (l Layout) redeploySteps() []planner.Step {
	steps := planner.RollbackSteps(l.Bad, l.Target, l.Keepers)
	for i := range steps {
		for _, e := range l.Emitters {
			if steps[i].Kind == planner.StopEmission && steps[i].Event == e.Event {
				steps[i].Flag, steps[i].Rollout = e.Flag, e.Rollout
			}
		}
	}
	return steps
}

func (l Layout) undoStep() planner.Step {
	s := planner.Step{
		ID: UnwrittenStep, Kind: planner.BackfillRows, Title: "Commit the opposite of the bad events", Placeholder: true,
		Gate: "The migration with the opposite events is written (" + l.Undo() + "), headgate migration check passes, and it is in the plan: " +
			"headgate rollback plan --remedy compensating-events --migration NAME.",
		Action:       "None before that.",
		Verification: "headgate migration verify NAME ends with 0.",
		Undo:         "Committed events stay; headgate migration compensate NAME drafts the opposite ones.",
	}
	if l.Migration == "" {
		return s
	}
	s.ID, s.Title, s.Placeholder, s.Migration = "backfill-"+l.Migration, "Run migration "+l.Migration, false, l.Migration
	s.Gate = "headgate migration preview " + l.Migration + " --env " + l.Env + " shows what is expected; every release that is alive reads the events."
	s.Action = "Commits what is due, once in each store, at the environment's pace."
	s.Verification = "headgate migration verify " + l.Migration + " --env " + l.Env + " ends with 0."
	s.Undo = strings.ReplaceAll(s.Undo, "NAME", l.Migration)
	return s
}

func (l Layout) correctionSteps() []planner.Step {
	return []planner.Step{
		{
			ID: "write-corrections", Kind: planner.WriteCorrections, Title: "Write the corrections into the app's code",
			Gate:         "headgate/corrections/" + l.Schema + ".yaml says what is to be made of the bad events, and somebody read it. The code of " + l.Facts.Base(l.Kind).Version + " lies here.",
			Action:       "Finds the events in the logs, and writes headgate.generated.ts under a new epoch. Somebody makes the edits in the schema's module that it names.",
			Verification: "It says which events it found, in which stores; the app's own tests pass.",
			Undo:         "Nothing is deployed yet: take the files from the version before.",
		},
		{
			ID: "prove-corrections", Kind: planner.ProveCorrections, Title: "Prove on copies of the logs that " + l.Version + " ends right",
			Release:      l.Version,
			Gate:         "The edits are made, and headgate release add " + l.Version + " has recorded them.",
			Action:       "Replays every store that was hit, and compares each row with what was declared.",
			Verification: "It ends with 0: as declared in every store.",
			Undo:         "Nothing to undo: it reads.",
		},
	}
}

// shipSteps bring the release to the clients, which rebuild under it.
func (l Layout) shipSteps() []planner.Step {
	return []planner.Step{
		{
			ID: "canary-rebuild", Kind: planner.CanaryRebuild, Title: "One store rebuilds under " + l.Version + " first", Release: l.Version,
			Gate:         "A store whose clients may wait, and a copy of its log: headgate log export.",
			Action:       "Deploy " + l.Version + " to the clients of that store alone.",
			Verification: "headgate state replay over its log gives the row counts that the client shows, and what it had not sent has arrived.",
			Undo:         "None by the old build: correct forward, with a release after " + l.Version + ".",
		},
		{
			ID: "deploy-readers", Kind: planner.DeployReaders, Title: "Deploy " + l.Version + " everywhere", Release: l.Version,
			Gate:         "headgate gate passes.",
			Action:       "Deploy " + l.Version + ". Every client that gets it rebuilds its state from its own log, once, and keeps what it has not sent.",
			Verification: "Clients report " + l.Version + "; no materializer error, no unknown event.",
			Undo:         "None by the old build: it would reopen or keep what it wrote. Correct forward, with a release after " + l.Version + ".",
		},
		{
			ID: "wait-for-readers", Kind: planner.WaitForReaders, Title: "Wait until no client runs " + l.Bad.Version, Release: l.Version,
			Gate:         l.Version + " is deployed everywhere.",
			Action:       "None. A floor ends the wait: headgate floor set " + l.Version + " --env " + l.Env + " --reason TEXT refuses older builds until they are updated.",
			Verification: "headgate census --env " + l.Env + " shows no client below " + l.Version + ".",
			Undo:         "Nothing to undo.",
		},
	}
}

func (l Layout) floorStep() planner.Step {
	return planner.Step{
		ID: "raise-floor", Kind: planner.RaiseFloor, Title: "Refuse to sync with builds below " + l.Version, Release: l.Version,
		Gate:         "A build from " + l.Version + " on is there for users to get. Every older build is shut out, not the bad one alone: headgate floor set " + l.Version + " --env " + l.Env + " --dry-run counts them.",
		Action:       "Sets the floor. The clients below it see that they must update; what they have not sent waits.",
		Verification: "headgate floor show --env " + l.Env + " has it; the sync backend's reports show refused clients.",
		Undo:         "headgate floor set none --env " + l.Env + ", or the floor that was.",
	}
}

func (l Layout) clientResetStep() planner.Step {
	return planner.Step{
		ID: "reset-clients", Kind: planner.ResetClients, Title: "Have the clients of " + stores(len(l.Stores)) + " load their data anew",
		Gate:         "The backend's log is right, and the app asks for the flag store.reset (examples/store-reset.md).",
		Action:       "Arms and fires a reset of these stores, some per hour. What a client can't send is handed to the app, and lost where that does not keep it.",
		Verification: "headgate reset status --env " + l.Env + " has opened every store; clients show what headgate state replay does.",
		Undo:         "None. headgate reset cancel --env " + l.Env + " keeps it from further stores.",
	}
}

func (l Layout) backendResetStep() planner.Step {
	return planner.Step{
		ID: "reset-backend", Kind: planner.ResetBackend, Title: "Reset the backend of " + stores(len(l.Stores)) + ", with logs that are corrected",
		Corrections:  l.Corrections,
		Gate:         "headgate's worker wraps the backend, with its admin route (examples/backend-reset.md); " + l.whatIsMade(),
		Action:       "Store by store: exports the log, makes the corrected one, resets the backend and imports it. The exports stay in .headgate/rollback, for their owner only.",
		Verification: "The import was read back; clients load the store anew under the new backend id.",
		Undo:         "The export has what was there: headgate log import, into a new store.",
	}
}

func (l Layout) copySteps() []planner.Step {
	return []planner.Step{
		{
			ID: "copy-log", Kind: planner.CopyLog, Title: "Copy the logs of " + stores(len(l.Stores)) + ", corrected, into new stores",
			Corrections:  l.Corrections,
			Gate:         "The inventory has a new, empty store beside each: STORE" + CopySuffix + "; " + l.whatIsMade(),
			Action:       "Store by store: exports the log, makes the corrected one, imports it into the new store. The old store stays.",
			Verification: "The import was read back; headgate state replay of the new store shows the right rows.",
			Undo:         "None needed: the old stores are as they were.",
		},
		{
			ID: "deploy-readers", Kind: planner.DeployReaders, Title: "Move users to the new stores",
			Gate:         "Every copy is there.",
			Action:       "The app's own: it opens the new store id from now on, and lets the old one drain.",
			Verification: "Nobody syncs with the old stores: headgate census --env " + l.Env + ".",
			Undo:         "The app opens the old store id again; what was written meanwhile stays in the new one.",
		},
	}
}

func (l Layout) whatIsMade() string {
	return "headgate/corrections/" + l.Schema + ".yaml says what is made of the bad events, and is as it was when this was planned: after a change, plan again."
}

// UnwrittenStep is the step of a migration with the opposite events that nobody wrote yet.
const UnwrittenStep = "backfill-opposite"

// CopySuffix is what the id of a store's copy ends in.
const CopySuffix = "-2"

func stores(n int) string {
	if n == 1 {
		return "1 store"
	}
	return fmt.Sprintf("%d stores", n)
}
