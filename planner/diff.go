package planner

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"headgate/internal/livestore/schema"
)

// Diff returns everything that differs between two releases of one schema, sorted by event, table and path. earlier are
// the releases before old, which the reuse of a removed name and gaps in a family's versions are found by; it may be
// nil, and may hold old and new themselves.
func Diff(old, now *schema.Release, earlier []*schema.Release) []Change {
	d := releaseDiff{old: old, now: now, earlier: earlier}
	d.events()
	d.state()
	return sortChanges(d.out)
}

type releaseDiff struct {
	old, now *schema.Release
	earlier  []*schema.Release
	out      []Change
}

func (d *releaseDiff) add(c Change) { d.out = append(d.out, c) }

func (d *releaseDiff) events() {
	before, after := eventsByName(d.old), eventsByName(d.now)
	oldMat, newMat := materializers(d.old), materializers(d.now)
	renamed := d.renamed(before, after)
	for i := range d.old.Events {
		o := &d.old.Events[i]
		n := after[o.Name]
		switch {
		case n != nil:
			d.event(o, n)
			switch {
			case oldMat[o.Name] && !newMat[o.Name]:
				d.add(Change{Kind: MaterializerGone, Event: o.Name})
			case !oldMat[o.Name] && newMat[o.Name]:
				d.add(Change{Kind: MaterializerAdded, Event: o.Name})
			}
		case o.Derived: // it went with its client document
		case renamed[o.Name] != "":
			d.add(Change{Kind: EventRenamed, Event: o.Name, Old: o.Args, New: after[renamed[o.Name]].Args, Note: "-> " + renamed[o.Name]})
		default:
			d.add(Change{Kind: EventRemoved, Event: o.Name, Old: o.Args})
		}
	}
	for i := range d.now.Events {
		n := &d.now.Events[i]
		if before[n.Name] == nil && !n.ClientOnly && !n.Derived && !isTarget(renamed, n.Name) {
			d.add(Change{Kind: EventAdded, Event: n.Name, New: n.Args})
		}
	}
}

// event compares one event that both releases define.
func (d *releaseDiff) event(o, n *schema.Event) {
	if o.ClientOnly != n.ClientOnly {
		scope := map[bool]string{true: "clientOnly", false: "synced"}
		d.add(Change{Kind: EventScope, Event: n.Name, Note: scope[o.ClientOnly] + " -> " + scope[n.ClientOnly]})
	}
	if (o.Deprecated == "") != (n.Deprecated == "") {
		note := "undeprecated"
		if n.Deprecated != "" {
			note = "deprecated; " + successor(d.now, n)
		}
		d.add(Change{Kind: EventDeprecation, Event: n.Name, Note: note})
	}
	if o.Args == nil || n.Args == nil {
		if o.Args != n.Args {
			d.add(Change{Kind: TypeUnanalysable, Event: n.Name, Path: "$.args", Old: o.Args, New: n.Args, Note: "one release has no dump of the arguments"})
		}
		return
	}
	changes := diffTypes(n.Name, o.Args, n.Args, o.Source.Digest != n.Source.Digest, d.argsBefore(n.Name))
	if len(changes) == 0 && (!reflect.DeepEqual(o.Args, n.Args) || o.SchemaHash != n.SchemaHash) {
		changes = []Change{{Kind: AnnotationChanged, Event: n.Name, Path: "$.args"}}
	}
	d.out = append(d.out, changes...)
}

// argsBefore returns an event's arguments in the releases before the old one.
func (d *releaseDiff) argsBefore(name string) []earlierArgs {
	var out []earlierArgs
	for _, r := range d.earlier {
		if r.Version == d.old.Version || r.Version == d.now.Version {
			continue
		}
		for i := range r.Events {
			if r.Events[i].Name == name && r.Events[i].Args != nil {
				out = append(out, earlierArgs{r.Version, r.Events[i].Args})
			}
		}
	}
	return out
}

// renamed finds events that only changed their name: one went, one came, with the same arguments, scope and fields
// enough to tell (an event without arguments looks like any other).
func (d *releaseDiff) renamed(before, after map[string]*schema.Event) map[string]string {
	candidates := map[string][]string{}
	claimed := map[string]int{}
	for i := range d.old.Events {
		o := &d.old.Events[i]
		if after[o.Name] != nil || o.Derived || o.Args == nil {
			continue
		}
		for j := range d.now.Events {
			n := &d.now.Events[j]
			if before[n.Name] == nil && !n.Derived && n.ClientOnly == o.ClientOnly && n.Args != nil && len(o.Args.Wire().Fields) > 0 &&
				len(diffTypes(o.Name, o.Args, n.Args, false, nil)) == 0 {
				candidates[o.Name] = append(candidates[o.Name], n.Name)
				claimed[n.Name]++
			}
		}
	}
	out := map[string]string{}
	for name, list := range candidates {
		if len(list) == 1 && claimed[list[0]] == 1 {
			out[name] = list[0]
		}
	}
	return out
}

func isTarget(renamed map[string]string, name string) bool {
	for _, to := range renamed {
		if to == name {
			return true
		}
	}
	return false
}

func eventsByName(r *schema.Release) map[string]*schema.Event {
	m := make(map[string]*schema.Event, len(r.Events))
	for i := range r.Events {
		m[r.Events[i].Name] = &r.Events[i]
	}
	return m
}

func materializers(r *schema.Release) map[string]bool {
	m := make(map[string]bool, len(r.Materializers))
	for _, x := range r.Materializers {
		m[x.Event] = true
	}
	return m
}

// successor says which later version of e's family the release defines.
func successor(r *schema.Release, e *schema.Event) string {
	var best *schema.Event
	for i := range r.Events {
		x := &r.Events[i]
		if x.Family == e.Family && x.FamilyVersion > e.FamilyVersion && (best == nil || x.FamilyVersion > best.FamilyVersion) {
			best = x
		}
	}
	if best == nil {
		return "no later version in its family"
	}
	return "its successor is " + best.Name
}

// state compares what clients derive from the log.
func (d *releaseDiff) state() {
	if d.old.LiveStore.StorageFormat != d.now.LiveStore.StorageFormat {
		d.add(Change{Kind: FormatChanged, Note: fmt.Sprintf("%d -> %d", d.old.LiveStore.StorageFormat, d.now.LiveStore.StorageFormat)})
	}
	tables := d.tables()
	moved := d.old.StateHash != d.now.StateHash
	switch {
	case !moved && len(tables) > 0:
		for _, c := range tables {
			if t := tableNamed(d.now, c.Table); t != nil && t.ClientDocument {
				continue // it reads old values tolerantly; ST108 speaks of it
			}
			c.Kind = HashSame
			d.add(c)
		}
	case !moved:
	case len(tables) > 0:
		for _, c := range tables {
			d.add(c)
		}
	case d.orderChanged():
		d.add(Change{Kind: TablesReordered, Note: "the same tables and columns in another order"})
	default:
		d.add(d.hashMoved())
	}
	d.documents()
}

// hashMoved explains a moved hash under the same tables.
func (d *releaseDiff) hashMoved() Change {
	o, n := d.old.LiveStore, d.now.LiveStore
	var notes []string
	if o.Version != n.Version {
		notes = append(notes, "LiveStore "+o.Version+" -> "+n.Version)
	}
	if o.Effect != n.Effect {
		notes = append(notes, "Effect "+o.Effect+" -> "+n.Effect)
	}
	if len(notes) > 0 {
		return Change{Kind: HashUpgraded, Note: strings.Join(notes, ", ")}
	}
	return Change{Kind: HashMoved, Note: "no table that the release shows changed"}
}

// tables compares the tables as sets: what was added, removed, or looks different inside.
func (d *releaseDiff) tables() []Change {
	var out []Change
	for i := range d.old.Tables {
		o := &d.old.Tables[i]
		n := tableNamed(d.now, o.Name)
		if n == nil {
			out = append(out, Change{Kind: TableChanged, Table: o.Name, Note: "table removed"})
			continue
		}
		out = append(out, diffTable(o, n)...)
	}
	for i := range d.now.Tables {
		if tableNamed(d.old, d.now.Tables[i].Name) == nil {
			out = append(out, Change{Kind: TableChanged, Table: d.now.Tables[i].Name, Note: "table added"})
		}
	}
	return out
}

func tableNamed(r *schema.Release, name string) *schema.Table {
	i := slices.IndexFunc(r.Tables, func(t schema.Table) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Tables[i]
}

func columnNamed(t *schema.Table, name string) *schema.Column {
	i := slices.IndexFunc(t.Columns, func(c schema.Column) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &t.Columns[i]
}

func diffTable(o, n *schema.Table) []Change {
	var out []Change
	add := func(path, note string) {
		out = append(out, Change{Kind: TableChanged, Table: n.Name, Path: path, Note: note, ReplayBreaks: true, FleetBreaks: true})
	}
	for _, c := range o.Columns {
		x := columnNamed(n, c.Name)
		if x == nil {
			add(c.Name, "column removed")
			continue
		}
		for _, note := range diffColumn(c, *x) {
			add(c.Name, note)
		}
		if inside := diffCodec(c, *x); inside != nil {
			inside.Table = n.Name
			out = append(out, *inside)
		}
	}
	for _, c := range n.Columns {
		if columnNamed(o, c.Name) == nil {
			add(c.Name, "column added, "+c.Type)
		}
	}
	key := func(x schema.TableIndex) string {
		return fmt.Sprintf("%s (%s) unique %t", x.Name, strings.Join(x.Columns, ", "), x.Unique)
	}
	for _, x := range o.Indexes {
		if !slices.ContainsFunc(n.Indexes, func(y schema.TableIndex) bool { return key(x) == key(y) }) {
			add("", "index removed or changed: "+x.Name)
		}
	}
	for _, y := range n.Indexes {
		if !slices.ContainsFunc(o.Indexes, func(x schema.TableIndex) bool { return key(x) == key(y) }) {
			add("", "index added or changed: "+y.Name)
		}
	}
	return out
}

func diffColumn(o, n schema.Column) []string {
	var notes []string
	compare := func(what string, a, b any) {
		if a != b {
			notes = append(notes, fmt.Sprintf("%s %v -> %v", what, a, b))
		}
	}
	compare("type", o.Type, n.Type)
	compare("primary key", o.PrimaryKey, n.PrimaryKey)
	compare("nullable", o.Nullable, n.Nullable)
	compare("autoincrement", o.AutoIncrement, n.AutoIncrement)
	compare("JSON", o.JSON, n.JSON)
	if o.Default != n.Default {
		notes = append(notes, "default changed")
	}
	return notes
}

// diffCodec compares how the app reads a column's values, nil when nothing changed. A side breaks unless every change
// inside is one that it reads without harm: a row that was written stays as it is.
func diffCodec(o, n schema.Column) *Change {
	if o.Schema == nil || n.Schema == nil {
		return nil
	}
	inside := diffTypes("", o.Schema, n.Schema, false, nil)
	if len(inside) == 0 {
		return nil
	}
	what := "codec: "
	if o.JSON && n.JSON {
		what = "JSON schema: "
	}
	out := Change{
		Kind: TableChanged, Path: n.Name,
		Note: what + string(inside[0].Kind) + " at " + strings.Replace(inside[0].Path, "$.args", "$", 1),
	}
	for _, c := range inside {
		code, replay, fleet := judge(c)
		if code == "FD104" {
			continue // warns about the field's name in events; a stored value with one key more is read all the same
		}
		out.ReplayBreaks = out.ReplayBreaks || replay.AtLeast(Warning)
		out.FleetBreaks = out.FleetBreaks || fleet.AtLeast(Warning)
	}
	return &out
}

// orderChanged reports whether the tables or the columns of a table stand in another order.
func (d *releaseDiff) orderChanged() bool {
	order := func(r *schema.Release) []string {
		var out []string
		for _, t := range r.Tables {
			out = append(out, t.Name)
			for _, c := range t.Columns {
				out = append(out, t.Name+"."+c.Name)
			}
		}
		return out
	}
	return !slices.Equal(order(d.old), order(d.now))
}

// documents reports client documents whose value changed or that went away: their state can't be derived again.
func (d *releaseDiff) documents() {
	for i := range d.old.Tables {
		o := &d.old.Tables[i]
		if !o.ClientDocument {
			continue
		}
		n := tableNamed(d.now, o.Name)
		if n == nil {
			d.add(Change{Kind: DocumentChanged, Table: o.Name, Note: "the document was removed"})
			continue
		}
		for _, c := range diffTable(o, n) {
			d.add(Change{Kind: DocumentChanged, Table: o.Name, Path: c.Path, Note: c.Note})
		}
	}
}
