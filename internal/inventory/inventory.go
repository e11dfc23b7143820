// Package inventory reads which stores there are, from where a fleet keeps that: a file (CSV, JSON, YAML), a query of
// a Postgres database, or what a command prints. It streams, and is strict: an unknown column, a storeId that LiveStore
// would not take or that is there twice, and a state that is none end the reading with the row's place.
//
// It does not know headgate.yaml: whether a row's schema exists and what its log means is its caller's. It keeps
// nothing; internal/control does.
package inventory

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// MaxRows is how many stores an inventory may have.
const MaxRows = 1_000_000

// A State says what headgate may do with a store.
type State string

const (
	Active  State = "active"
	Hold    State = "hold"    // it exists, and is left alone
	Deleted State = "deleted" // it must not be contacted: that would create it anew
)

// States lists them in the order that messages use.
func States() []State { return []State{Active, Hold, Deleted} }

// A Store is one row.
type Store struct {
	ID     livestore.StoreID
	Schema string // empty where the row has none
	Log    string // as it is written, empty where the row has none; it may hold a password
	Region string
	State  State
	Idle   bool // nobody else writes to it
	Row    int  // see [Source.Place]
}

// A Source is where the rows come from: one of File, SQL and Command.
type Source struct {
	// File is the absolute path of a .csv, .json, .jsonl, .yaml or .yml file.
	File string
	// DSN is a postgres:// URL, and Query what is asked there, in a transaction that can't write.
	DSN, Query string
	// Command is a program and its arguments, run in Dir. It prints JSON: an array of objects, or an object per line.
	Command []string
	Dir     string
	// Where is the place in a configuration that names the source, for messages.
	Where string
}

// Extensions are the files that can be read.
func Extensions() []string { return []string{".csv", ".json", ".jsonl", ".yaml", ".yml"} }

// Read calls each for every store, in the source's order. It ends with the first error, each's own included.
func (s Source) Read(ctx context.Context, each func(Store) error) error {
	sink := &sink{ctx: ctx, each: each, place: s.Place, seen: map[livestore.StoreID]int{}, words: map[string]string{}}
	switch {
	case s.File != "":
		return s.readFile(sink)
	case s.Query != "":
		return s.query(ctx, sink)
	case len(s.Command) > 0:
		return s.run(ctx, sink)
	}
	return errs.New(errs.Internal, "an inventory without a source")
}

// Place is where a row stands, for messages: a line of a CSV or YAML file, else its number from 1 on.
func (s Source) Place(row int) string {
	switch {
	case s.File != "" && !strings.HasPrefix(strings.ToLower(filepath.Ext(s.File)), ".json"):
		return fmt.Sprintf("%s:%d", s.File, row)
	case s.File != "":
		return fmt.Sprintf("%s: row %d", s.File, row)
	case s.Query != "":
		return fmt.Sprintf("%s: row %d of the query", s.Where, row)
	default:
		return fmt.Sprintf("%s: row %d of the command", s.Where, row)
	}
}

// Columns are what a row may have; only the first must be there.
func Columns() []string { return []string{"id", "schema", "log", "region", "state", "idle"} }

// A sink checks rows and hands them on.
type sink struct {
	ctx   context.Context
	each  func(Store) error
	place func(row int) string
	seen  map[livestore.StoreID]int // row
	words map[string]string         // one copy of each schema and region
}

// columns refuses names that no column has, and names that are there twice.
func (s *sink) columns(names []string, where string) error {
	known := strings.Join(Columns(), ", ")
	for i, name := range names {
		switch {
		case !slices.Contains(Columns(), name):
			return errs.Invalidf("unknown column %q", name).At("%s", where).
				Hintf("the columns are %s; names are lower case, and a query renames with AS", known)
		case slices.Contains(names[:i], name):
			return errs.Invalidf("column %q is there twice", name).At("%s", where)
		}
	}
	return nil
}

// hasID refuses a table whose rows can't have ids.
func (s *sink) hasID(names []string, where string) error {
	if !slices.Contains(names, "id") {
		return errs.Invalidf("there is no column id").At("%s", where).Hintf("the columns are %s; only id must be there", strings.Join(Columns(), ", "))
	}
	return nil
}

// row takes a row whose columns are known. An empty value is like none.
func (s *sink) row(get func(column string) string, n int) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	where := func() string { return s.place(n) }
	for _, column := range Columns() {
		v := get(column)
		if !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
			return errs.Invalidf("column %s holds bytes that are no text", column).At("%s", where())
		}
		if strings.TrimSpace(v) != v {
			return errs.Invalidf("column %s has spaces around its value", column).At("%s", where()).Hintf("a storeId with a space is another store")
		}
	}
	r := Store{
		ID: livestore.StoreID(get("id")), Schema: s.word(get("schema")), Log: get("log"), Region: s.word(get("region")),
		State: State(get("state")), Idle: strings.HasPrefix(get("idle"), "t"), Row: n,
	}
	switch {
	case r.ID == "":
		return errs.Invalidf("the store has no id").At("%s", where())
	case strings.ContainsFunc(string(r.ID), notOfAnID):
		return errs.Invalidf("id %q has other characters than letters, digits, - and _", r.ID).At("%s", where()).
			Hintf("LiveStore does not accept such a storeId either")
	case r.State == "":
		r.State = Active
	case !slices.Contains(States(), r.State):
		return errs.Invalidf("unknown state %q", r.State).At("%s", where()).Hintf("a state is active, hold or deleted")
	}
	if !slices.Contains([]string{"", "true", "false", "t", "f"}, get("idle")) { // Postgres writes t and f
		return errs.Invalidf("idle is neither true nor false").At("%s", where())
	}
	if first, twice := s.seen[r.ID]; twice {
		return errs.Invalidf("store %s is there twice", r.ID).At("%s", where()).Hintf("the first is %s", s.place(first))
	}
	if len(s.seen) == MaxRows {
		return errs.Invalidf("there are more than %d stores", MaxRows).At("%s", where()).Hintf("make environments of them, by region for example")
	}
	s.seen[r.ID] = n
	return s.each(r)
}

func notOfAnID(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// word returns the one copy of a word of which there are few.
func (s *sink) word(w string) string {
	if known, ok := s.words[w]; ok {
		return known
	}
	if len(s.words) < 10_000 {
		s.words[w] = w
	}
	return w
}
