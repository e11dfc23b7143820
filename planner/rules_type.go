package planner

func typeRules() []Rule {
	const readers, upgraders = "Clients on an old release.", "Every client that upgrades, where logs hold such events."
	const nextVersion = "Put the new shape under the next event version, and keep the old one with its materializer."
	return []Rule{
		{
			Code: "TY101", Title: "type replaced", Replay: Error, Fleet: Error, Decodes: true,
			Breaks: "Neither side decodes what the other writes.", Who: "Everyone.", Fix: nextVersion,
			Example: "due: string becomes due: {day: number}.",
		},
		{
			Code: "TY102", Title: "type widened", Replay: OK, Fleet: Error,
			Breaks: "Old releases can't decode the values that are new.", Who: readers, Fix: nextVersion,
			Example: "size: Schema.Literal(\"s\", \"m\") becomes Schema.String; Schema.Int becomes Schema.Number.",
		},
		{
			Code: "TY103", Title: "type narrowed", Replay: Error, Fleet: OK, Decodes: true,
			Breaks: "Old events with values outside the new type no longer decode.", Who: upgraders, Fix: "Keep reading the wide type. A probe over real logs that finds no such value lowers this to a warning.",
			Example: "Schema.Number becomes Schema.Int; an old 2.5 is a poison event.",
		},
		{
			Code: "TY104", Title: "any made concrete", Replay: Error, Fleet: OK, Decodes: true,
			Breaks: "Old events hold whatever was written; what does not fit the new type no longer decodes.", Who: upgraders, Fix: "Probe the logs, and admit what they hold.",
			Example: "meta: Schema.Any becomes meta: Schema.Struct({…}).",
		},
		{
			Code: "TY105", Title: "concrete type made any", Replay: OK, Fleet: Error,
			Breaks: "Old releases can't decode what the new one may write.", Who: readers, Fix: nextVersion,
			Example: "meta: Schema.Struct({…}) becomes meta: Schema.Unknown.",
		},
		{
			Code: "TY106", Title: "wire encoding changed, decoded type the same", Replay: Error, Fleet: Error, Decodes: true,
			Breaks: "The app's code looks alike, but the log holds another form: neither side decodes, or worse, misreads, what the other writes.", Who: "Everyone.", Fix: nextVersion,
			Example: "due: Schema.Date (an ISO string) becomes Schema.DateFromNumber (milliseconds).",
		},
		{
			Code: "TY107", Title: "transformation changed, wire the same", Replay: Warning, Fleet: Warning,
			Breaks: "The same bytes decode to another value, which no shape shows: state that is rebuilt may differ from state that clients hold.", Who: "Clients that rebuild against clients that do not.", Fix: "Check that the old values still decode to what they meant; a pure change of form is fine.",
			Example: "A transform that trimmed titles now lower-cases them too.",
		},
		{
			Code: "TY108", Title: "annotation, brand or title only", Replay: OK, Fleet: OK,
			Breaks: "Nothing. No finding is made; LiveStore's schema hash of the event may differ.", Who: "Nobody.", Fix: "None needed.",
			Example: "Schema.String gets a description.",
		},
		{
			Code: "TY109", Title: "payload can't be analysed", Replay: Warning, Fleet: Warning,
			Breaks: "The payload, or a part of it, is Any or Unknown, or a type that could not be captured: nobody can say what old or new events hold there.", Who: "Whoever has to change the event.", Fix: "Give it a schema; headgate baseline infers the shapes that logs hold.",
			Example: "meta: Schema.Any.",
		},
		{
			Code: "UN101", Title: "union member or literal added", Replay: OK, Fleet: Error,
			Breaks: "A union fails when no member matches: old releases can't decode events with the new one.", Who: readers, Fix: nextVersion,
			Example: "priority: \"low\" | \"high\" gets \"urgent\".",
		},
		{
			Code: "UN102", Title: "union member or literal removed", Replay: Error, Fleet: OK, Decodes: true,
			Breaks: "Old events with the removed one no longer decode.", Who: upgraders, Fix: "Keep reading it, stop writing it. A probe over real logs that finds none lowers this to a warning.",
			Example: "priority: \"low\" | \"high\" | \"urgent\" loses \"urgent\".",
		},
		{
			Code: "UN103", Title: "literal renamed or discriminant changed", Replay: Error, Fleet: Error, Decodes: true,
			Breaks: "Neither side decodes what the other writes.", Who: "Everyone.", Fix: "Read both names, write the old one; or put the new shape under the next event version.",
			Example: "The tag _tag of a union of structs becomes type.",
		},
		{
			Code: "UN104", Title: "overlapping union members reordered", Replay: Warning, Fleet: Warning,
			Breaks: "The first member that matches wins: the same payload may decode as another member.", Who: "Clients that rebuild against clients that do not.", Fix: "Keep the order, or make the members distinct by a tag.",
			Example: "{a: string} | {a: string, b?: number} changes its order.",
		},
	}
}
