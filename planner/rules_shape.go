package planner

func shapeRules() []Rule {
	const readers, upgraders = "Clients on an old release.", "Every client that upgrades, where logs hold such events."
	const nextVersion = "Put the new shape under the next event version, and keep the old one with its materializer."
	return []Rule{
		{
			Code: "AR101", Title: "item type changed", Replay: Error, Fleet: Error, Decodes: true,
			Breaks: "What holds for the item's type holds for every array with such an item: widened breaks old releases, narrowed breaks old events, replaced breaks both.", Who: "As for the same change outside an array.", Fix: nextVersion,
			Example: "tags: Schema.Array(Schema.String) becomes Schema.Array(Schema.Number).",
		},
		{
			Code: "AR102", Title: "array and tuple exchanged", Replay: Error, Fleet: Error, Decodes: true,
			Breaks: "A tuple demands its number of elements. Array to tuple: old events with another number no longer decode. Tuple to array: old releases can't decode new ones.", Who: "By direction, clients that upgrade or clients on an old release.", Fix: nextVersion,
			Example: "point: Schema.Array(Schema.Number) becomes Schema.Tuple(Schema.Number, Schema.Number).",
		},
		{
			Code: "AR103", Title: "required tuple element appended", Replay: Error, Fleet: Error, Decodes: true,
			Breaks: "Old tuples are too short for the new release, new ones too long for the old releases.", Who: "Everyone.", Fix: nextVersion,
			Example: "[x, y] becomes [x, y, z].",
		},
		{
			Code: "AR104", Title: "optional tuple element appended", Replay: OK, Fleet: Error, Decodes: true,
			Breaks: "A tuple without rest refuses further elements: old releases can't decode the longer ones.", Who: readers, Fix: nextVersion,
			Example: "[x, y] becomes [x, y, z?].",
		},
		{
			Code: "AR105", Title: "tuple element removed", Replay: Error, Fleet: Error, Decodes: true,
			Breaks: "Old tuples are too long for the new release, new ones too short for the old releases where the element was required.", Who: "Everyone.", Fix: nextVersion,
			Example: "[x, y, z] becomes [x, y].",
		},
		{
			Code: "AR106", Title: "number of items narrowed or widened", Replay: Error, Fleet: Error, Decodes: true,
			Breaks: "Narrowed: old arrays outside the new limits no longer decode. Widened: old releases can't decode the new ones.", Who: "By direction, clients that upgrade or clients on an old release.", Fix: "Keep reading the wide limits; enforce narrow ones where events are written.",
			Example: "tags: Schema.Array(Schema.String) gets minItems(1).",
		},
		{
			Code: "RC101", Title: "struct and record exchanged, or key pattern changed", Replay: Warning, Fleet: Warning, Decodes: true,
			Breaks: "Error where some key or value that one side writes no longer decodes on the other; otherwise a warning, because keys outside the pattern are dropped silently.", Who: "By direction, clients that upgrade or clients on an old release.", Fix: nextVersion,
			Example: "counts: {open: number, done: number} becomes Schema.Record({key: Schema.String, value: Schema.Number}).",
		},
		{
			Code: "RF101", Title: "refinement added or tightened", Replay: Error, Fleet: OK, Decodes: true,
			Breaks: "Old events that do not meet it no longer decode.", Who: upgraders, Fix: "Validate where the event is written, not in the schema that reads old events. A probe over real logs that finds none lowers this to a warning.",
			Example: "title: Schema.String gets Schema.minLength(1); old empty titles are poison events.",
		},
		{
			Code: "RF102", Title: "refinement loosened or removed", Replay: OK, Fleet: Error,
			Breaks: "Old releases can't decode the values that are new.", Who: readers, Fix: nextVersion,
			Example: "title's maxLength goes from 100 to 500.",
		},
		{
			Code: "RF103", Title: "opaque filter changed", Replay: Warning, Fleet: Warning,
			Breaks: "What the filter accepts can't be seen: it may refuse old events, or new ones may be refused by old releases. Patterns count as opaque.", Who: "Perhaps everyone.", Fix: "Compare the two by hand, and probe the logs.",
			Example: "Schema.filter(isValidSlug), where isValidSlug changed.",
		},
	}
}
