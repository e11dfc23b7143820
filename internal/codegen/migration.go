package codegen

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"headgate/internal/errs"
)

// Migrations are the app's backfill migrations, as far as the generated file has to do with them.
type Migrations struct {
	// Client are those that the app runs itself, in the order of their numbers.
	Client []Migration `yaml:"client,omitempty"`
}

// A Migration is a copy of a migration's file as it was when the generated file was last made: the generated file
// depends on nothing but the manifest.
type Migration struct {
	Name     string `yaml:"name"`
	Checksum string `yaml:"checksum"` // "sha256-<hex>" of the file
	// File is relative to the directory of headgate.yaml, with slashes. Errors name it.
	File string `yaml:"file"`
	// Marker is whether the migration commits the schema's marker when it is done.
	Marker  bool     `yaml:"marker,omitempty"`
	Repeat  bool     `yaml:"repeat,omitempty"`
	Emits   []Emit   `yaml:"emits"`
	Asserts []Assert `yaml:"asserts,omitempty"`
}

// An Emit is a query whose rows become events.
type Emit struct {
	Event string   `yaml:"event"`
	Key   []string `yaml:"key,flow"`
	Line  int      `yaml:"line"` // of the query in the migration's file
	SQL   string   `yaml:"sql"`
}

// An Assert is a query that returns 1 when the migration did what it should.
type Assert struct {
	Label string `yaml:"label"`
	Line  int    `yaml:"line"`
	SQL   string `yaml:"sql"`
}

// A Marker is the event that says that a migration ran, and the table that it is materialized into.
type Marker struct {
	Event string `yaml:"event"`
	Table string `yaml:"table"`
	// Column holds the migration's name.
	Column string `yaml:"column"`
	// Own is whether the app defines the event and the table itself; otherwise the generated file has both ready-made.
	Own bool `yaml:"own,omitempty"`
}

// The names that a marker has unless the app chooses others.
const (
	MarkerEvent  = "v1.MigrationRan"
	MarkerTable  = "migrations"
	MarkerColumn = "migration"
)

// RebuildCost says what a table that is new to the app costs.
const RebuildCost = "the table moves LiveStore's state hash: with this release every client rebuilds its whole state from its own " +
	"event log at its next start, and the app waits for it; headgate plan says how long"

var (
	migrationName = regexp.MustCompile(`^\d+_[a-z0-9][a-z0-9_]*$`)
	checksumText  = regexp.MustCompile(`^sha256-[0-9a-f]{64}$`)
	tableName     = regexp.MustCompile(`^[A-Za-z_]\w*$`)
)

// Check reports the first thing that keeps a client from running the migration, with its place.
func (m Migration) Check() error {
	for _, e := range m.Emits {
		if _, _, bad := clientQuery(e.SQL); bad != nil {
			return errs.Invalidf("a client can't run %s: %s", m.Name, bad.msg).At("%s:%d", m.File, e.Line+bad.line).Hintf("%s", bad.hint)
		}
	}
	for _, a := range m.Asserts {
		if _, uuids, bad := clientQuery(a.SQL); bad != nil || len(uuids) > 0 {
			return errs.Invalidf("a client can't run %s: SQLite has no uuid5() there, so that an assert can't use it", m.Name).
				At("%s:%d", m.File, a.Line).Hintf("compare what the ids are made of, or leave the migration to headgate migration up")
		}
	}
	return nil
}

// validate reports the first rule that the section breaks.
func (m Migrations) validate(marker *Marker) error {
	for i, c := range m.Client {
		if err := c.validate(); err != nil {
			return fmt.Errorf("migration %q: %w", c.Name, err)
		}
		if c.Marker && marker == nil {
			return fmt.Errorf("migration %s has a marker, but the schema has none", c.Name)
		}
		if slices.ContainsFunc(m.Client[:i], func(o Migration) bool { return o.Name == c.Name }) {
			return fmt.Errorf("migration %s is there twice", c.Name)
		}
	}
	return nil
}

func (m Migration) validate() error {
	switch {
	case !migrationName.MatchString(m.Name):
		return fmt.Errorf("the name is not that of a migration's file")
	case !checksumText.MatchString(m.Checksum):
		return fmt.Errorf("checksum %q is none", m.Checksum)
	case !isLine(m.File):
		return fmt.Errorf("file %q is no path", m.File)
	case len(m.Emits) == 0:
		return fmt.Errorf("it emits nothing")
	}
	for _, e := range m.Emits {
		if !isLine(e.Event) || len(e.Key) == 0 || slices.ContainsFunc(e.Key, func(k string) bool { return !isLine(k) }) || !isSQL(e.SQL) || e.Line < 1 {
			return fmt.Errorf("an emit lacks its event, key, line or query")
		}
	}
	for _, a := range m.Asserts {
		if !isLine(a.Label) || !isSQL(a.SQL) || a.Line < 1 {
			return fmt.Errorf("an assert lacks its label, line or query")
		}
	}
	return m.Check()
}

func (m *Marker) validate() error {
	switch {
	case m == nil:
		return nil
	case !isLine(m.Event):
		return fmt.Errorf("marker: event %q is no event's name", m.Event)
	case !tableName.MatchString(m.Table):
		return fmt.Errorf("marker: table %q is no table's name", m.Table)
	case !tableName.MatchString(m.Column):
		return fmt.Errorf("marker: column %q is no column's name", m.Column)
	case !m.Own && m.Column != MarkerColumn:
		return fmt.Errorf("marker: the column of the table that headgate generates is %q, not %q", MarkerColumn, m.Column)
	}
	return nil
}

// isLine reports whether s can stand in one line of text.
func isLine(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// isSQL reports whether s can stand in the manifest and the generated file as it is.
func isSQL(s string) bool {
	return strings.TrimSpace(s) != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t'
	})
}

// script is the list of migrations as TypeScript.
func (m Migrations) script(marker *Marker) string {
	var b strings.Builder
	b.WriteString("[\n")
	for _, c := range m.Client {
		fmt.Fprintf(&b, "  {\n    name: %s,\n    checksum: %s,\n    file: %s,\n    repeat: %t,\n", quote(c.Name), quote(c.Checksum), quote(c.File), c.Repeat)
		if c.Marker {
			fmt.Fprintf(&b, "    marker: { event: %s, table: %s, column: %s },\n", quote(marker.Event), quote(marker.Table), quote(marker.Column))
		} else {
			b.WriteString("    marker: undefined,\n")
		}
		b.WriteString("    emits: [\n")
		for _, e := range c.Emits {
			sql, uuids, _ := clientQuery(e.SQL) // validated
			fmt.Fprintf(&b, "      {\n        event: %s,\n        key: %s,\n        uuids: %s,\n        line: %d,\n        sql: %s,\n      },\n",
				quote(e.Event), list(e.Key), list(uuids), e.Line, template(sql))
		}
		b.WriteString("    ],\n    asserts: [")
		for _, a := range c.Asserts {
			fmt.Fprintf(&b, "\n      { label: %s, line: %d, sql: %s },", quote(a.Label), a.Line, template(a.SQL))
		}
		if len(c.Asserts) > 0 {
			b.WriteString("\n    ")
		}
		b.WriteString("],\n  },\n")
	}
	b.WriteString("]")
	return b.String()
}

// quote writes a text of one line as TypeScript; JSON's strings are TypeScript's, too.
func quote(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	text := strings.TrimSuffix(b.String(), "\n")
	if strings.ContainsAny(s, `"'`) {
		return text
	}
	return "'" + text[1:len(text)-1] + "'"
}

func list(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = quote(t)
	}
	return "[" + join(quoted) + "]"
}

// template writes a text of several lines as a template literal, so that people can read it.
func template(s string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`", "${", "\\${").Replace(s) + "`"
}
