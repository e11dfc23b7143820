package planner

func fieldRules() []Rule {
	return []Rule{
		{
			Code: "FD101", Title: "optional field added", Replay: Info, Fleet: Info,
			Breaks: "Nothing breaks. Old releases ignore the key, so their state lacks it until they upgrade and rebuild.",
			Who:    "Clients on an old release see the event without the field.", Fix: "None needed.",
			Example: "priority?: number is added to v1.TodoCreated.",
		},
		{
			Code: "FD102", Title: "field with a decoding default added", Replay: Info, Fleet: Info,
			Breaks: "Nothing breaks: old events read as if they carried the default. Old releases ignore the key.",
			Who:    "Clients on an old release see the event without the field.", Fix: "None needed.",
			Example: "priority: Schema.optionalWith(Schema.Number, {default: () => 0}).",
		},
		{
			Code: "FD103", Title: "required field added without a default", Replay: Error, Fleet: OK, Decodes: true,
			Breaks: "Every old event lacks the field, so it does not decode: the pull loop ends, and a rebuild makes boot fail. A constructor default does not help, it fills in only what the app writes.",
			Who:    "Every client that upgrades.", Fix: "Make it optional or give it a decoding default, or put the new shape under the next event version.",
			Example: "priority: Schema.Number is added to v1.TodoCreated.",
		},
		{
			Code: "FD104", Title: "optional field removed", Replay: Warning, Fleet: OK,
			Breaks: "Values in old events are dropped when they are read, without an error.",
			Who:    "Clients that rebuild under the new release.", Fix: "Keep the field as long as logs hold it; never give its name to something else.",
			Example: "note?: string is deleted from v1.TodoCreated.",
		},
		{
			Code: "FD105", Title: "required field removed", Replay: OK, Fleet: Error,
			Breaks: "Old releases demand the field and can't decode new events.",
			Who:    "Clients on an old release, for good.", Fix: "Keep writing it, or put the new shape under the next event version.",
			Example: "listId: string is deleted from v1.TodoCreated.",
		},
		{
			Code: "FD106", Title: "field removed that the old reader fills in", Replay: Info, Fleet: Info,
			Breaks: "Nothing fails: an old release fills in its default. Its state is wrong where real values differ from the default; a probe that finds such values makes this a warning.",
			Who:    "Clients on an old release.", Fix: "Check that the default is what the removed field meant.",
			Example: "priority with default 0 is removed; clients on 1.1.0 see priority 0.",
		},
		{
			Code: "FD107", Title: "optional field made required", Replay: Error, Fleet: OK, Decodes: true,
			Breaks: "Old events without the field no longer decode.",
			Who:    "Every client that upgrades, where logs hold such events.", Fix: "Give it a decoding default, or put the new shape under the next event version. A probe over real logs that finds none lowers this to a warning.",
			Example: "priority?: number becomes priority: number.",
		},
		{
			Code: "FD108", Title: "required field made optional", Replay: OK, Fleet: Error,
			Breaks: "Old releases demand the field and can't decode new events without it. With a decoding default the new release still always writes the key; that is only noted.",
			Who:    "Clients on an old release.", Fix: "Keep writing it in every event, or put the new shape under the next event version.",
			Example: "title: string becomes title?: string.",
		},
		{
			Code: "FD109", Title: "wire key renamed without alias", Replay: Error, Fleet: Error,
			Breaks: "Each side looks for a key that the other side does not write.",
			Who:    "Everyone.", Fix: "Keep the wire key: Schema.propertySignature(T).pipe(Schema.fromKey(\"oldName\")).",
			Example: "title becomes text in v1.TodoCreated.",
		},
		{
			Code: "FD110", Title: "decoded name changed, wire key the same", Replay: Info, Fleet: Info,
			Breaks: "Nothing on the wire. Materializers must use the new name.",
			Who:    "Nobody.", Fix: "None needed.",
			Example: "title is read from the key text with fromKey.",
		},
		{
			Code: "FD111", Title: "removed name used again with another type", Replay: Error, Fleet: Error, Decodes: true,
			Breaks: "An earlier release wrote another type under this key: its events do not decode now, and it can't decode the new ones.",
			Who:    "Clients that replay old events, and clients still on that release.", Fix: "Take a name that no release ever used.",
			Example: "1.0.0 had due: string, 1.1.0 dropped it, 1.2.0 has due: number.",
		},
		{
			Code: "FD112", Title: "decoding default changed", Replay: Warning, Fleet: OK,
			Breaks: "Old events without the key read as another value: a rebuild gives another state than the clients hold.",
			Who:    "Clients that rebuild against clients that do not.", Fix: "Keep the default; express the new one in new events.",
			Example: "priority's default goes from 0 to 1.",
		},
		{
			Code: "FD113", Title: "null or undefined admitted", Replay: OK, Fleet: Error,
			Breaks: "Old releases can't decode the new null (or the key that is missing because its value was undefined).",
			Who:    "Clients on an old release.", Fix: "Put the new shape under the next event version.",
			Example: "due: Schema.Date becomes due: Schema.NullOr(Schema.Date).",
		},
		{
			Code: "FD114", Title: "null or undefined no longer admitted", Replay: Error, Fleet: OK, Decodes: true,
			Breaks: "Old events with null (or without the key) no longer decode.",
			Who:    "Every client that upgrades, where logs hold such events.", Fix: "Keep admitting it. A probe over real logs that finds none lowers this to a warning.",
			Example: "due: Schema.NullOr(Schema.Date) becomes due: Schema.Date.",
		},
		{
			Code: "FD115", Title: "excess properties refused", Replay: Error, Fleet: Warning, Decodes: true,
			Breaks: "A struct with onExcessProperty: \"error\" refuses payloads with keys it does not know: those of earlier and of later releases. Error on the side where such a key is known to be written.",
			Who:    "Clients that replay old events; every reader of this release once a later one adds a key.", Fix: "Leave Effect's default: unknown keys are ignored.",
			Example: "parseOptions: {onExcessProperty: \"error\"} is added to the arguments.",
		},
	}
}
