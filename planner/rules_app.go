package planner

func materializerRules() []Rule {
	return []Rule{
		{
			Code: "MT101", Title: "materializer is not deterministic", Replay: Error, Fleet: OK,
			Breaks: "Two clients, or one client after a rebuild, hold different rows for the same event.",
			Who:    "Everyone.", Fix: "Put the value (time, id) into the event's arguments where it is committed.",
			Example: "id: nanoid() inside a materializer.",
		},
		{
			Code: "MT102", Title: "plain insert for an event that a backfill emits", Replay: Error, Fleet: OK,
			Breaks: "A row that is already there makes the insert throw, and the event a poison event.",
			Who:    "Every store that the backfill touches.", Fix: "Add .onConflict(…) to the insert.",
			Example: "A backfill emits v2.TodoCreated for a todo that v1.TodoCreated made.",
		},
		{
			Code: "MT103", Title: "materializer fails on a payload that its event admits", Replay: Error, Fleet: OK,
			Breaks: "The event decodes, the materializer or SQLite refuses it: sync ends silently, a rebuild fails at boot.",
			Who:    "Every client of a store with such an event.", Fix: "Narrow what is written, and make the materializer survive what the schema admits.",
			Example: "A fractional number into an INTEGER column of a STRICT table.",
		},
		{
			Code: "MT104", Title: "mixed versions replay wrongly", Replay: Error, Fleet: OK,
			Breaks: "An interleaving of old and new versions of a family makes a materializer fail; warning when two orders of events that should commute give different states.",
			Who:    "Stores that several releases write to.", Fix: "Let the new version's materializer write what the old one would, and use conflict clauses.",
			Example: "v2.TodoCompleted before v1.TodoCreated of the same todo.",
		},
	}
}

func appRules() []Rule {
	return []Rule{
		{
			Code: "AD101", Title: "in-memory storage in a production entry", Replay: Warning, Fleet: OK,
			Breaks: "Every start pulls and rebuilds everything, and unpushed events are gone at exit.",
			Who:    "Every client.", Fix: "Use the persisted adapter outside tests.",
			Example: "makeAdapter({storage: {type: 'in-memory'}}) in main.ts.",
		},
		{
			Code: "AD102", Title: "resetPersistence left in", Replay: Error, Fleet: OK,
			Breaks: "It deletes the log with its unpushed events at every boot. Warning when it hangs on an expression.",
			Who:    "Every client.", Fix: "Remove it, or tie it to a developer's switch that a build can't carry into production.",
			Example: "makePersistedAdapter({resetPersistence: true, …}).",
		},
		{
			Code: "AD103", Title: "silent reset or silent stop left at its default", Replay: Warning, Fleet: OK,
			Breaks: "onBackendIdMismatch defaults to reset, which drops unpushed events; onSyncError defaults to ignore, which goes on as if offline.",
			Who:    "Clients that meet either.", Fix: "Choose both explicitly, and report them.",
			Example: "sync: {backend} without onSyncError.",
		},
		{
			Code: "SE101", Title: "secret in the bundle or in plain configuration", Replay: Error, Fleet: OK,
			Breaks: "Everyone who has the app has the secret.",
			Who:    "The operator.", Fix: "Move it to the environment or a secret binding, and rotate it.",
			Example: "A bearer token as a string literal in sync.ts.",
		},
		{
			Code: "SE102", Title: "personal data in a plaintext event", Replay: Info, Fleet: OK,
			Breaks: "An event log can't be rewritten: what is in it stays in it, readable for the backend and every replica.",
			Who:    "The people the data is about.", Fix: "Encrypt the field by a schema transform with keys outside the bundle, or attest that it is meant to be there.",
			Example: "email: Schema.String in v1.UserInvited.",
		},
		{
			Code: "UE101", Title: "unknown-event handling not chosen, or fail", Replay: Warning, Fleet: OK,
			Breaks: "The default warns on the console and nobody sees it; fail blocks the client for good at the first event of a newer release (an error).",
			Who:    "Clients on an old release.", Fix: "unknownEventHandling: {strategy: 'callback', onUnknownEvent: …} into your telemetry.",
			Example: "makeSchema({events, state}) without unknownEventHandling.",
		},
		{
			Code: "SU101", Title: "suppression expired", Replay: Error, Fleet: Error,
			Breaks: "A finding was accepted until a date that has passed. It counts again, and so does this.",
			Who:    "The owner named in the suppression.", Fix: "Fix the finding, or accept it again with a new date.",
			Example: "expires: 2026-01-31 in headgate.yaml.",
		},
		{
			Code: "SU102", Title: "suppression matches nothing", Replay: Info, Fleet: Info,
			Breaks: "Nothing: what it accepted is gone, or its code or path has a slip.",
			Who:    "The owner named in the suppression.", Fix: "Remove it from headgate.yaml.",
			Example: "code: FD103, path: \"v1.TodoCreted*\".",
		},
	}
}

func rolloutRules() []Rule {
	return []Rule{
		{
			Code: "RO101", Title: "an event version may be emitted before its readers are there", Replay: OK, Fleet: Error, By: "headgate rollout check",
			Breaks:  "A client that does not read the event skips it and moves its head past it: it has a hole, which its upgrade does not fill as long as the state hash stays.",
			Who:     "Clients of the stores that the flag opens, on releases that lack the event.",
			Fix:     "Close the flag in headgate/flags.yaml, and open it by a rollout: it holds each store until its readers are there.",
			Example: "flags.yaml gives v2.TodoCreated to 25 % of the stores while a rollout of it waits at its gate.",
		},
		{
			Code: "RO102", Title: "a release that is alive lacks the definition of what is committed", Replay: OK, Fleet: Warning, By: "headgate migration up",
			Breaks:  "A client of that release skips the event and moves its head past it: it has a hole, which its upgrade does not fill as long as the state hash stays. In a browser it may lose what it commits after a reload, while such an event is the last of its log.",
			Who:     "Clients of the release, in every store that the migration commits to.",
			Fix:     "Wait until no client runs the release, and say so under fleet: alive: in headgate.yaml; or allow it with a reason: --allow RO102 --reason TEXT.",
			Example: "A migration emits v1.TodoArchived, which 1.2.0 added, while 5 % of the clients run 1.1.0.",
		},
		{
			Code: "RO103", Title: "a flag's variant lacks its event in a release at or above its floor", Replay: OK, Fleet: Error, By: "headgate flags check",
			Breaks:  "A build that the floor lets in is told to emit an event that it does not define, or that nobody materializes.",
			Who:     "The builds from the floor on.",
			Fix:     "Raise the floor to the first release that defines and materializes the event.",
			Example: "v2: {event: v2.TodoCreated, floor: 1.0.0} while 1.1.0 is the first that defines v2.TodoCreated.",
		},
		{
			Code: "RO104", Title: "a running rollout's keys or versions were changed", Replay: OK, Fleet: Error, By: "headgate rollout check",
			Breaks:  "Stores get other places: some that began to emit the new version would go back to the old one, others would open without having baked.",
			Who:     "The stores of the rollout.",
			Fix:     "Put the events of the file back as they were; to change them, abort, or let the rollout end and make another.",
			Example: "A second family is written above the first one while 25 % of the stores are open.",
		},
		{
			Code: "RO105", Title: "a prerelease that the floor shuts out is alive", Replay: OK, Fleet: Warning, By: "headgate rollout check",
			Breaks:  "A floor of 1.1.0 refuses 1.1.0-beta.1, which stands before it: its testers can't sync any more.",
			Who:     "Clients on prereleases of the floor.",
			Fix:     "Set the floor to the prerelease, or have the testers upgrade first.",
			Example: "headgate floor set 1.1.0 while three clients run 1.1.0-beta.1.",
		},
		{
			Code: "RO106", Title: "an analysis looks at a signal that nobody reports", Replay: OK, Fleet: Warning, By: "headgate rollout check",
			Breaks:  "The analysis sees nothing that goes wrong: it measures 0 as long as no app says otherwise, or has no data and counts as onNoData says, a pause by default, which a resume repeats.",
			Who:     "Whoever relies on the rollout to stop by itself.",
			Fix:     "Have the wrapped sync backend report to headgate serve, and the app with the generated helper's telemetry, or LiveStore's spans; or measure it with prometheus: or command:.",
			Example: "analysis: [unknown] with signal: unknown-event-rate, in an environment whose app has never reported.",
		},
	}
}
