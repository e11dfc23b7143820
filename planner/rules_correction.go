package planner

func correctionRules() []Rule {
	return []Rule{
		{
			Code: "CR101", Title: "a correction that a log may need was removed", Replay: Error, Fleet: OK,
			Breaks: "The bad events are still in the logs: the next rebuild, and every new client, makes the bad rows of them again.",
			Who:    "Every client that rebuilds or is new.", Fix: "Put it back: a correction stays as long as a log holds its events. headgate rollback generate keeps what it once found.",
			Example: "The list corrections: of headgate/generated.yaml lost not-archived in a merge.",
		},
		{
			Code: "CR102", Title: "a correction matches nothing any more", Replay: Info, Fleet: OK,
			Breaks: "Nothing. No log at hand holds an event of the name that it is about.",
			Who:    "Nobody.", Fix: "Leave it, unless every store was read: then it may go.",
			Example: "The stores with the bad events were reset or deleted.",
		},
		{
			Code: "CR103", Title: "a correction without a rebuild", Replay: Error, Fleet: OK,
			Breaks: "A materializer runs once per event: where the bad one ran, its rows stay, and only new clients get the right ones.",
			Who:    "Every client that ran the bad release.", Fix: "headgate epoch bump, which headgate rollback generate does by itself.",
			Example: "1.3.1 carries corrections, and its state hash is that of 1.3.0.",
		},
		{
			Code: "CR104", Title: "a correction of an event whose fields changed", Replay: Warning, Fleet: OK,
			Breaks: "Clients know a listed event by its arguments, as the schema writes them, and a condition sees them so: where such an event has the field, it may not be met any more, and its bad row comes back.",
			Who:    "Every client that rebuilds under the new release, or is new.", Fix: "headgate rollback generate once more: it lists the events as the new schema writes them, too.",
			Example: "1.4.0 drops the field area of v1.TodoCreated, of which 1.3.1 lists bad ones. A field that is added changes nothing.",
		},
	}
}
