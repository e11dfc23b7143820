package planner

import (
	"cmp"
	"slices"

	"headgate/internal/livestore/schema"
)

// A ChangeKind says what differs. The set is closed.
type ChangeKind string

// The kinds of changes, from the outside of a release to the inside of a type.
const (
	EventAdded        ChangeKind = "event added"
	EventRemoved      ChangeKind = "event removed"
	EventRenamed      ChangeKind = "event renamed"
	EventScope        ChangeKind = "event scope changed" // clientOnly <-> synced
	EventDeprecation  ChangeKind = "event deprecation changed"
	EventUnversioned  ChangeKind = "event without version" // of the new release alone
	EventDuplicate    ChangeKind = "event defined twice"   // of the new release alone
	EventGap          ChangeKind = "version gap"           // of the new release alone
	MaterializerAdded ChangeKind = "materializer added"
	MaterializerGone  ChangeKind = "materializer removed"

	FieldAdded       ChangeKind = "field added"
	FieldRemoved     ChangeKind = "field removed"
	FieldRenamed     ChangeKind = "wire key renamed"
	FieldDecodedName ChangeKind = "decoded name changed"
	FieldRequired    ChangeKind = "field made required"
	FieldOptional    ChangeKind = "field made optional"
	FieldDefault     ChangeKind = "default changed"
	NullAdded        ChangeKind = "null admitted"
	NullRemoved      ChangeKind = "null refused"
	ExcessStrict     ChangeKind = "excess properties refused"
	ExcessLoose      ChangeKind = "excess properties admitted"
	ExcessRejected   ChangeKind = "strict reader meets another key"

	TypeReplaced      ChangeKind = "type replaced"
	TypeWidened       ChangeKind = "type widened"
	TypeNarrowed      ChangeKind = "type narrowed"
	TypeFromAny       ChangeKind = "any made concrete"
	TypeToAny         ChangeKind = "concrete type made any"
	TypeUnanalysable  ChangeKind = "type cannot be analysed" // of the new release alone
	EncodingChanged   ChangeKind = "wire encoding changed"
	TransformChanged  ChangeKind = "transformation changed"
	AnnotationChanged ChangeKind = "annotation changed"

	MemberAdded      ChangeKind = "union member added"
	MemberRemoved    ChangeKind = "union member removed"
	MemberRenamed    ChangeKind = "union member renamed"
	MembersReordered ChangeKind = "union members reordered"

	ArrayToTuple    ChangeKind = "array made a tuple"
	TupleToArray    ChangeKind = "tuple made an array"
	ElementAdded    ChangeKind = "tuple element added"
	ElementRemoved  ChangeKind = "tuple element removed"
	ItemsTightened  ChangeKind = "item count narrowed"
	ItemsLoosened   ChangeKind = "item count widened"
	KeysChanged     ChangeKind = "struct and record exchanged" // or the key pattern of a record changed
	FilterTightened ChangeKind = "refinement tightened"
	FilterLoosened  ChangeKind = "refinement loosened"
	FilterOpaque    ChangeKind = "opaque filter changed"

	HashMoved       ChangeKind = "state hash moved"
	HashUpgraded    ChangeKind = "state hash moved by an upgrade"
	HashSame        ChangeKind = "different schemas, same state hash"
	TableChanged    ChangeKind = "table changed"
	TablesReordered ChangeKind = "tables reordered"
	DocumentChanged ChangeKind = "client document changed"
	FormatChanged   ChangeKind = "storage format changed"
)

// A Change is one difference between two releases, as it lies on the wire or in the state, without judgement.
type Change struct {
	Kind  ChangeKind `json:"kind"`
	Event string     `json:"event,omitempty"`
	Table string     `json:"table,omitempty"`
	// Path is the place inside the event's arguments by wire key: "$.args.items[*].price", "$.args.byId.*" for the
	// values of a record, "$.args.pair[1]" for a position of a tuple. For a table it is the column.
	Path string `json:"path,omitempty"`
	// Old and New are the nodes at Path, nil where there is none.
	Old *schema.Type `json:"-"`
	New *schema.Type `json:"-"`

	// Required and Default describe the field or element that was added or removed, as a reader meets it on the wire.
	// Default also stands on FieldOptional: absent keys are filled in, and the writer always writes the key.
	Required bool `json:"required,omitempty"`
	Default  bool `json:"default,omitempty"`
	// Reused is set on a FieldAdded whose name stood for another type in an earlier release.
	Reused bool `json:"reused,omitempty"`
	// ReplayBreaks and FleetBreaks are set on the changes whose effect their kind alone does not tell (KeysChanged,
	// ElementAdded, ElementRemoved, ExcessRejected, TableChanged, HashSame).
	ReplayBreaks bool `json:"replayBreaks,omitempty"`
	FleetBreaks  bool `json:"fleetBreaks,omitempty"`
	// Item is set on a change of the item type of an array itself, not of something inside the item.
	Item bool `json:"item,omitempty"`

	// Note says what exactly differs, without payload values.
	Note string `json:"note,omitempty"`
}

func compareChanges(a, b Change) int {
	return cmp.Or(cmp.Compare(a.Event, b.Event), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Path, b.Path),
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Note, b.Note))
}

func sortChanges(changes []Change) []Change {
	slices.SortStableFunc(changes, compareChanges)
	return slices.CompactFunc(changes, func(a, b Change) bool {
		return compareChanges(a, b) == 0
	})
}
