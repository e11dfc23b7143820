package migrations

import (
	"fmt"
	"slices"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
)

// A Draft makes a new migration file.
type Draft struct {
	Number  int64
	Name    string // without the number
	Schema  string // empty where the app has only one
	Release *schema.Release
	Event   string   // may be empty
	Key     []string // fields of the event; empty for the table's primary key, or else the event's first field
}

// File returns the file's name and text.
func (d Draft) File() (name, text string, err error) {
	name = fmt.Sprintf("%05d_%s.sql", d.Number, d.Name)
	if fileName.FindString(name) == "" {
		return "", "", errs.Invalidf("%q can't be a migration's name", d.Name).
			Hintf("use lower-case letters, digits and underscores: %s", plain(d.Name))
	}
	event, columns, from := "v1.EventName", []string{"id"}, "table_name"
	if d.Event != "" {
		wire, e := wireStruct(d.Release, d.Event)
		if e != nil {
			var events []string
			for _, ev := range d.Release.Events {
				if !ev.ClientOnly && !ev.Derived {
					events = append(events, ev.Name)
				}
			}
			return "", "", e.Hintf("release %s defines %s", d.Release.Version, strings.Join(events, ", "))
		}
		event, columns = d.Event, nil
		for _, f := range wire.Fields {
			columns = append(columns, f.Name)
		}
		if m, ok := d.Release.Materializer(d.Event); ok && len(m.Operations) > 0 && len(m.Operations[0].Tables) > 0 {
			from = m.Operations[0].Tables[0]
		}
	}
	key := d.Key
	if len(key) == 0 && len(columns) > 0 {
		key = d.identity(from, columns)
	}
	for _, k := range key {
		if d.Event != "" && !slices.Contains(columns, k) {
			return "", "", errs.Invalidf("%s has no field %q", d.Event, k).Hintf("its fields are %s", strings.Join(columns, ", "))
		}
	}
	var b strings.Builder
	if d.Schema != "" {
		fmt.Fprintf(&b, "-- headgate: schema %s\n", d.Schema)
	}
	fmt.Fprintf(&b, "-- headgate: requires >= %s\n", d.Release.Version)
	fmt.Fprintf(&b, "-- +goose Up\n\n-- Each row becomes one %s; its columns are the event's arguments.\n", event)
	fmt.Fprintf(&b, "-- headgate: emit %s key %s\n", event, strings.Join(key, " "))
	which, left, label := "false", "false", "nothing is left"
	if c := d.fills(from, columns, key); c != "" {
		which = ident(c) + " IS NULL"
		left, label = which, "none lacks "+c
	}
	indent := "  "
	if b.WriteString("SELECT"); len(columns) > 1 {
		b.WriteByte('\n')
	} else {
		indent = " "
	}
	for i, c := range columns {
		comma, ask := ",", ""
		if i == len(columns)-1 {
			comma = ""
		}
		if !slices.Contains(key, c) {
			ask = " " + undecided + ": which value? This is what the row has now"
		}
		fmt.Fprintf(&b, "%s%s%s%s\n", indent, ident(c), comma, ask)
	}
	fmt.Fprintf(&b, "FROM %s\nWHERE %s %s: which rows need the event?\nORDER BY %s;\n\n", ident(from), which, undecided, strings.Join(key, ", "))
	fmt.Fprintf(&b, "-- What must hold afterwards, 1 or 0:\n-- headgate: assert '%s' SELECT count(*) = 0 FROM %s WHERE %s;\n", label, ident(from), left)
	return name, b.String(), nil
}

// identity is the field that tells the table's rows apart: its primary key, or else the event's first one.
func (d Draft) identity(table string, columns []string) []string {
	if t, ok := d.Release.Table(table); ok {
		for _, c := range t.Columns {
			if c.PrimaryKey && slices.Contains(columns, c.Name) {
				return []string{c.Name}
			}
		}
	}
	return columns[:1]
}

// fills is the column that the event gives a row that may lack it: then the rows that lack it are the ones that need the
// event, and none may lack it afterwards. Empty where none is, or several are.
func (d Draft) fills(table string, columns, key []string) string {
	t, ok := d.Release.Table(table)
	if !ok {
		return ""
	}
	found := ""
	for _, c := range t.Columns {
		if c.Nullable && slices.Contains(columns, c.Name) && !slices.Contains(key, c.Name) {
			if found != "" {
				return ""
			}
			found = c.Name
		}
	}
	return found
}

// undecided begins the comment with which a draft asks for something.
const undecided = "-- decide"

// plain makes a migration's name of any text.
func plain(s string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, s)
	out = strings.Trim(out, "_")
	if out == "" {
		return "backfill"
	}
	return out
}
