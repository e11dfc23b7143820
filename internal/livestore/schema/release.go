package schema

import (
	"encoding/json"
)

// FormatVersion is the version of the release file's form. A reader refuses a newer one.
const FormatVersion = 1

// A Release is one recorded version of one of an app's schemas. Everything in it was captured by evaluating the
// app's code; nothing depends on the machine or the time. Slices are sorted by name unless a field says otherwise.
type Release struct {
	FormatVersion int    `json:"formatVersion"`
	App           string `json:"app"`
	Schema        string `json:"schema"`  // the store kind's name in headgate.yaml
	Version       string `json:"version"` // a strict semantic version

	LiveStore LiveStore `json:"liveStore"`

	// StateHash is LiveStore's hash of the table definitions, in decimal; it may exceed 32 bits. A client rebuilds
	// its state when, and only when, this changes.
	StateHash string `json:"stateHash"`

	// UnknownEventHandling is warn, ignore, fail or callback. Explicit is false when the app left LiveStore's default.
	UnknownEventHandling         string `json:"unknownEventHandling"`
	UnknownEventHandlingExplicit bool   `json:"unknownEventHandlingExplicit"`

	Migrations    Migrations     `json:"migrations"`
	Events        []Event        `json:"events"`
	Tables        []Table        `json:"tables"` // in LiveStore's order, which the state hash depends on; LiveStore's own left out
	Materializers []Materializer `json:"materializers"`
	Queries       []Query        `json:"queries"`
	Adapters      []AdapterCall  `json:"adapters"`
	Secrets       []Secret       `json:"secrets,omitempty"`

	// Bundle is the content address ("sha256-<hex>") of the evaluated script that lies beside the release file.
	Bundle string `json:"bundle"`
}

// LiveStore says which packages the release was built on.
type LiveStore struct {
	Version       string `json:"version"`
	Effect        string `json:"effect"`
	StorageFormat int    `json:"storageFormat"` // the 6 of eventlog@6.db
	// Verified is false when headgate's knowledge of this LiveStore version was not proven: assume worst.
	Verified bool `json:"verified"`
}

// Migrations is how a client of this release brings its state database up to date.
type Migrations struct {
	Strategy string `json:"strategy"` // auto or manual
	// Hooks are the statements that the hooks execute on an empty database, by hook name (init, pre, post).
	Hooks []Hook `json:"hooks,omitempty"`
	// AtomicRebuild is true when init opens a transaction that post commits, so that a rebuild that is interrupted
	// leaves nothing behind.
	AtomicRebuild bool `json:"atomicRebuild"`
	// CacheSpillOff is true when init turns SQLite's cache spill off, which the web adapter needs besides.
	CacheSpillOff bool `json:"cacheSpillOff"`
}

// A Hook is one migration hook of the app.
type Hook struct {
	Name       string   `json:"name"` // init, pre or post
	Statements []string `json:"statements"`
	// Error is set when the hook could not be run in the sandbox: the release's replay is unverifiable.
	Error string `json:"error,omitempty"`
}

// An Event is an event definition.
type Event struct {
	Name string `json:"name"` // the full name, "v2.TodoCreated"
	// Family and FamilyVersion split a name of the form vN.Family; FamilyVersion is 0 without a version prefix.
	Family        string `json:"family"`
	FamilyVersion int    `json:"version"`

	ClientOnly bool   `json:"clientOnly"`
	Derived    bool   `json:"derived"` // made by a client document
	Deprecated string `json:"deprecated,omitempty"`

	// SchemaHash is LiveStore's hash of the argument schema, in decimal: the log's schemaHash column.
	SchemaHash string `json:"schemaHash"`

	// Args is the argument schema.
	Args *Type `json:"args"`

	// Source is the digest of the source text that defines the event, app code that it uses included; it tells
	// changes that the shape does not show (a transform's body, a filter's predicate).
	Source Source `json:"source"`

	// JSONSchema is for display only; comparing by it would miss dates, defaults and filters.
	JSONSchema json.RawMessage `json:"jsonSchema,omitempty"`
}

// A Source is the digest of a piece of the app's code with all the app code that it uses.
type Source struct {
	// Digest is "sha256-<hex>" over the normalised text of the closure.
	Digest string `json:"digest"`
	// Scope says how exact the closure is: "closure" (just the declarations used) or "modules" (whole modules,
	// because the code could not be followed).
	Scope string `json:"scope"`
	// Files are the app files that the closure comes from, relative to the app, sorted.
	Files []string `json:"files"`
}

// A Table is a table of the state database.
type Table struct {
	Name           string       `json:"name"`
	ClientDocument bool         `json:"clientDocument"`
	Hash           string       `json:"hash"`    // LiveStore's hash of this table's definition, in decimal
	Columns        []Column     `json:"columns"` // in definition order
	Indexes        []TableIndex `json:"indexes,omitempty"`
	// DDL is exactly what LiveStore executes to make the table and its indexes.
	DDL []string `json:"ddl"`
}

// A Column is a column of a Table.
type Column struct {
	Name          string `json:"name"`
	Type          string `json:"type"` // text, integer, real or blob
	PrimaryKey    bool   `json:"primaryKey,omitempty"`
	Nullable      bool   `json:"nullable,omitempty"`
	AutoIncrement bool   `json:"autoIncrement,omitempty"`
	// Default is the column's default as SQL text, empty when there is none; "(computed)" for a function.
	Default string `json:"default,omitempty"`
	// JSON is true for a column that holds JSON text. Untyped is true when its schema is Any or Unknown.
	JSON    bool `json:"json,omitempty"`
	Untyped bool `json:"untyped,omitempty"`
	// Schema is the column's codec between SQL and the app.
	Schema *Type `json:"schema,omitempty"`
}

// A TableIndex is an index of a Table.
type TableIndex struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
	Unique  bool     `json:"unique,omitempty"`
}

// A Materializer is the function that turns one event into writes.
type Materializer struct {
	Event  string `json:"event"`
	Source Source `json:"source"`
	// Operations are the distinct statements seen when it ran on sample payloads. Complete is false when it could
	// not be run on them, so that other statements are possible.
	Operations []Operation `json:"operations,omitempty"`
	Complete   bool        `json:"complete"`
	// UsesQuery is true when it read the state (ctx.query) in those runs.
	UsesQuery bool `json:"usesQuery,omitempty"`
	// Error is what it threw on sample payloads, without payload values.
	Error string `json:"error,omitempty"`
	// Corrections are the names of those that the generated file put around it.
	Corrections []string `json:"corrections,omitempty"`
	// CorrectionDigests are of what each of them picks and makes, in the same order; none from a generated file that did not say.
	CorrectionDigests []string `json:"correctionDigests,omitempty"`
}

// An Operation is a statement that a materializer issued.
type Operation struct {
	SQL string `json:"sql"`
	// Tables are the tables that the statement writes, asked of SQLite; "unknown" when SQLite could not prepare it.
	Tables []string `json:"tables"`
	// Kind is insert, update, delete or other. Conflict is true for an insert that has an ON CONFLICT or OR clause.
	Kind     string `json:"kind"`
	Conflict bool   `json:"conflict,omitempty"`
}

// A Query is a query that the app declares (headgate.yaml: schemas.<name>.queries).
type Query struct {
	Name string `json:"name"`
	SQL  string `json:"sql,omitempty"`
	// Error says why the SQL is not known, for a query that can't be built without the running app.
	Error string `json:"error,omitempty"`
}

// An AdapterCall is a call found in the app's source that makes a store or an adapter.
type AdapterCall struct {
	Call string `json:"call"` // makeAdapter, makePersistedAdapter, createStorePromise…
	File string `json:"file"` // relative to the app
	Line int    `json:"line"`
	// Options are the options that matter for headgate by path ("sync.onSyncError"), as literal source text, or
	// "(computed)". An option that is not written has no entry; "...": "(computed)" says that others are spread in.
	Options map[string]string `json:"options,omitempty"`
}

// A Secret is a literal in the app's source that looks like a credential. The value is not recorded.
type Secret struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Kind string `json:"kind"` // what it looks like
}
