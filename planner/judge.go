package planner

// judge gives a change its code and its severities, by what the change alone says. An empty code needs no finding.
// What the fleet, the logs or a plan add is decided where those are known.
func judge(c Change) (code Code, replay, fleet Severity) {
	if c.Item {
		if r, f, ok := itemSeverity(c.Kind); ok {
			return "AR101", r, f
		}
	}
	broken := func(breaks bool, otherwise Severity) Severity {
		if breaks {
			return Error
		}
		return otherwise
	}
	switch c.Kind {
	case EventAdded:
		return "EV101", OK, Warning
	case EventRemoved:
		return "EV102", Error, OK
	case EventRenamed:
		return "EV103", Error, Warning
	case MaterializerGone:
		return "EV104", Error, OK
	case EventScope:
		return "EV105", Error, Error
	case EventDuplicate:
		return "EV106", Error, Error
	case EventDeprecation:
		return "EV107", Info, Info
	case EventUnversioned:
		return "EV109", Warning, Warning
	case EventGap:
		return "EV110", Warning, OK

	case FieldAdded:
		switch {
		case c.Reused:
			return "FD111", Error, Error
		case c.Required:
			return "FD103", Error, OK
		case c.Default:
			return "FD102", Info, Info
		}
		return "FD101", Info, Info
	case FieldRemoved:
		switch {
		case c.Default:
			return "FD106", Info, Info
		case c.Required:
			return "FD105", OK, Error
		}
		return "FD104", Warning, OK
	case FieldRenamed:
		return "FD109", Error, Error
	case FieldDecodedName:
		return "FD110", Info, Info
	case FieldRequired:
		return "FD107", Error, OK
	case FieldOptional:
		if c.Default { // the writer always writes a key that has a decoding default
			return "FD108", OK, Info
		}
		return "FD108", OK, Error
	case FieldDefault:
		return "FD112", Warning, OK
	case NullAdded:
		return "FD113", OK, Error
	case NullRemoved:
		return "FD114", Error, OK
	case ExcessStrict:
		return "FD115", Error, Warning
	case ExcessRejected:
		return "FD115", broken(c.ReplayBreaks, OK), broken(c.FleetBreaks, OK)

	case TypeReplaced:
		return "TY101", Error, Error
	case TypeWidened:
		return "TY102", OK, Error
	case TypeNarrowed:
		return "TY103", Error, OK
	case TypeFromAny:
		return "TY104", Error, OK
	case TypeToAny:
		return "TY105", OK, Error
	case EncodingChanged:
		return "TY106", Error, Error
	case TransformChanged:
		return "TY107", Warning, Warning
	case AnnotationChanged:
		return "TY108", OK, OK
	case TypeUnanalysable:
		return "TY109", Warning, Warning

	case MemberAdded:
		return "UN101", OK, Error
	case MemberRemoved:
		return "UN102", Error, OK
	case MemberRenamed:
		return "UN103", Error, Error
	case MembersReordered:
		return "UN104", Warning, Warning

	case ArrayToTuple:
		return "AR102", Error, broken(c.FleetBreaks, OK)
	case TupleToArray:
		return "AR102", broken(c.ReplayBreaks, OK), Error
	case ElementAdded:
		if c.Required {
			return "AR103", broken(c.ReplayBreaks, OK), broken(c.FleetBreaks, OK)
		}
		return "AR104", broken(c.ReplayBreaks, OK), broken(c.FleetBreaks, OK)
	case ElementRemoved:
		return "AR105", broken(c.ReplayBreaks, OK), broken(c.FleetBreaks, OK)
	case ItemsTightened:
		return "AR106", Error, OK
	case ItemsLoosened:
		return "AR106", OK, Error
	case KeysChanged:
		return "RC101", broken(c.ReplayBreaks, Warning), broken(c.FleetBreaks, Warning)
	case FilterTightened:
		return "RF101", Error, OK
	case FilterLoosened:
		return "RF102", OK, Error
	case FilterOpaque:
		return "RF103", Warning, Warning

	case TableChanged, HashMoved:
		return "ST101", Info, Info
	case TablesReordered:
		return "ST104", Warning, Warning
	case HashUpgraded:
		return "ST105", Warning, Warning
	case FormatChanged:
		return "ST106", Error, Error
	case DocumentChanged:
		return "ST108", Warning, Warning
	case HashSame:
		return "ST109", broken(c.ReplayBreaks, Info), broken(c.FleetBreaks, Info)
	}
	return "", OK, OK // MaterializerAdded is judged with the state, ExcessLoose breaks nobody
}

// itemSeverity is that of the same change outside an array: the item type itself changed.
func itemSeverity(kind ChangeKind) (replay, fleet Severity, ok bool) {
	switch kind {
	case TypeReplaced, TypeWidened, TypeNarrowed, TypeFromAny, TypeToAny, EncodingChanged:
		_, replay, fleet = judge(Change{Kind: kind})
		return replay, fleet, true
	}
	return "", "", false
}
