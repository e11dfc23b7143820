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
	Key     []string // fields of the event; empty for its first field that must be there
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
		key = columns[:1]
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
	fmt.Fprintf(&b, "SELECT %s\nFROM %s\nWHERE false -- which rows need the event?\nORDER BY %s;\n\n", strings.Join(columns, ", "), from, strings.Join(key, ", "))
	fmt.Fprintf(&b, "-- What must hold afterwards, 1 or 0:\n-- headgate: assert 'nothing is left' SELECT count(*) = 0 FROM %s WHERE false;\n", from)
	return name, b.String(), nil
}

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
