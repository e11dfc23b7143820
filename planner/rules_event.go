package planner

func eventRules() []Rule {
	return []Rule{
		{
			Code: "EV101", Title: "event added", Replay: OK, Fleet: Warning,
			Breaks:  "A release without the definition skips the event when it arrives and moves its head past it. Error when a live release uses unknownEventHandling: fail, because it then stops syncing for good; a gate on readers makes that a warning. On the web adapter of LiveStore 0.4.0 it is worse than a gap: a client whose log ends with an event that it does not know loses what it commits after a reload, unless headgate's start-up check goes around its adapter.",
			Who:     "Clients still on a release without the definition.",
			Fix:     "Ship the definition and its materializer first, and open the event once its readers are there (headgate plan lays it out).",
			Example: "1.2.0 adds v1.TodoArchived; a client on 1.1.0 shows archived todos as open until it upgrades and rebuilds.",
		},
		{
			Code: "EV102", Title: "event definition removed", Replay: Error, Fleet: OK,
			Breaks:  "Every such event already in a log is skipped when the new release replays it: history is dropped without a word.",
			Who:     "Every client that rebuilds, and every new client.",
			Fix:     "Keep the definition and its materializer for good; stop emitting the event instead, and mark it deprecated.",
			Example: "v1.TodoCreated is deleted after v2.TodoCreated shipped; the todos of the first year are gone after the next rebuild.",
		},
		{
			Code: "EV103", Title: "event renamed", Replay: Error, Fleet: Warning,
			Breaks:  "On the wire a rename is a removal and an addition: old events are skipped by the new release, new ones by the old releases (error there when one uses unknownEventHandling: fail).",
			Who:     "Every client that replays old events, and every client on an old release.",
			Fix:     "Keep the old name with its materializer, add the new one beside it.",
			Example: "v1.TodoCreated becomes v1.TaskCreated with the same arguments.",
		},
		{
			Code: "EV104", Title: "materializer removed, definition kept", Replay: Error, Fleet: OK,
			Breaks:  "Events of this name in the log no longer reach the state; LiveStore treats the missing materializer as unknownEventHandling says.",
			Who:     "Every client that rebuilds.",
			Fix:     "A retired event keeps its materializer forever.",
			Example: "v1.TodoCreated is no longer emitted, so its materializer was deleted; old todos vanish at the next rebuild.",
		},
		{
			Code: "EV105", Title: "event switched between clientOnly and synced", Replay: Error, Fleet: Error,
			Breaks:  "ClientOnly events count in another place of the sequence number and never leave the client: old events of the name have the other kind of number, and replicas disagree on whether they exist.",
			Who:     "Every client with such events in its log.",
			Fix:     "Add a new event under a new name with the new scope, keep the old one as it is.",
			Example: "v1.FilterChanged goes from clientOnly to synced.",
		},
		{
			Code: "EV106", Title: "duplicate event name", Replay: Error, Fleet: Error,
			Breaks:  "Given as an array, LiveStore keeps the last definition of a name silently: events written under the first are decoded and materialized by the second.",
			Who:     "Everyone who reads such events.",
			Fix:     "Give each definition a name of its own.",
			Example: "Two modules both define v1.TagAdded.",
		},
		{
			Code: "EV107", Title: "event deprecated or undeprecated", Replay: Info, Fleet: Info,
			Breaks:  "Nothing: readers do not care. Emitters should have a successor to emit.",
			Who:     "People who write the app.",
			Fix:     "Check that a later version of the family exists and is emitted.",
			Example: "v1.TodoCreated is marked deprecated, v2.TodoCreated takes over.",
		},
		{
			Code: "EV108", Title: "a fleet break under an unchanged name", Replay: OK, Fleet: Error,
			Breaks:  "The new release writes payloads under the old name that old releases can't decode. Their pull loop ends, onSyncError defaults to ignore, and the client goes on as if offline; a rebuild fails at boot.",
			Who:     "Every client on an old release, for good, because the events stay in the log.",
			Fix:     "Define the new shape under the next version (vN+1), and keep vN with its materializer.",
			Example: "v1.TodoCreated loses its required title; clients on 1.0.0 stop syncing at the first such event.",
		},
		{
			Code: "EV109", Title: "synced event name without a version", Replay: Warning, Fleet: Warning,
			Breaks:  "Without a version in the name there is no plain way to ship a second shape beside the first. Events derived from a client document are exempt.",
			Who:     "The next release that has to change the event.",
			Fix:     "Name events vN.Family, as in v1.TodoCreated. Keep an old unversioned name as it is and begin with v2 at the next change.",
			Example: "todoCreated instead of v1.TodoCreated.",
		},
		{
			Code: "EV110", Title: "version without its predecessor", Replay: Warning, Fleet: OK,
			Breaks:  "A family has a version whose predecessors no known release defines: either the number is a slip or events of the missing version lie in logs unread.",
			Who:     "Clients that replay logs with the missing version.",
			Fix:     "Use the next number, or add the missing definition and materializer.",
			Example: "v3.TodoCreated exists, v2.TodoCreated in no release.",
		},
	}
}
