package state

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"headgate/internal/livestore/engine"
)

// A Diff is what differs between two states, A and B.
type Diff struct {
	Equal bool `json:"equal"`
	// Schema are the tables, indexes, views and triggers that only one side has, or that were made with another text.
	Schema []ObjectDiff `json:"schema"`
	// Tables are all tables of either side, by name.
	Tables []TableDiff `json:"tables"`
}

// An ObjectDiff is a difference in the schema. A side that has no such object has no text.
type ObjectDiff struct {
	Type string `json:"type"`
	Name string `json:"name"`
	A    string `json:"a,omitempty"`
	B    string `json:"b,omitempty"`
}

// A TableDiff compares one table by its primary key.
type TableDiff struct {
	Name string `json:"name"`
	// In says where the table is: both, a or b.
	In      string `json:"in"`
	RowsA   int64  `json:"rowsA"`
	RowsB   int64  `json:"rowsB"`
	OnlyA   int64  `json:"onlyA"`   // rows whose key B lacks
	OnlyB   int64  `json:"onlyB"`   // rows whose key A lacks
	Changed int64  `json:"changed"` // rows of the same key that differ
	// ColumnsOnlyA and B are columns of one side; they count as a difference in the schema, rows are compared by the others.
	ColumnsOnlyA []string `json:"columnsOnlyA,omitempty"`
	ColumnsOnlyB []string `json:"columnsOnlyB,omitempty"`
	// Keyless says that rows were compared whole, as the table has no key.
	Keyless bool `json:"keyless,omitempty"`
	// Columns counts, per column, the changed rows in which it differs.
	Columns map[string]int64 `json:"columns,omitempty"`
	// Rows are the first differing rows.
	Rows []RowDiff `json:"rows,omitempty"`
}

// Equal reports whether both sides hold the same rows of the columns that both have.
func (t TableDiff) Equal() bool { return t.In == "both" && t.OnlyA+t.OnlyB+t.Changed == 0 }

// A RowDiff is one row that differs.
type RowDiff struct {
	In  string  `json:"in"` // both, a or b
	Key []Value `json:"key"`
	// Columns are the columns that differ, for a row of both sides.
	Columns []ValueDiff `json:"columns,omitempty"`
}

// A ValueDiff is one column of a row on both sides.
type ValueDiff struct {
	Column string `json:"column"`
	A      Value  `json:"a"`
	B      Value  `json:"b"`
}

// A Value is a column's value as a report may show it: type, length and a hash under a key of this run. Text is the
// value itself, and only there when it was asked for.
type Value struct {
	Column string `json:"column,omitempty"`
	Type   string `json:"type"` // null, integer, real, text or blob
	Length int    `json:"length,omitempty"`
	Hash   string `json:"hash,omitempty"`
	Text   string `json:"value,omitempty"`
}

// String is the value in one word.
func (v Value) String() string {
	switch {
	case v.Type == "null":
		return "NULL"
	case v.Text != "":
		return v.Text
	case v.Type == "text" || v.Type == "blob":
		return fmt.Sprintf("%s(%d)#%s", v.Type, v.Length, v.Hash)
	}
	return v.Type + "#" + v.Hash
}

// Options say what a diff shows.
type Options struct {
	// Rows is how many differing rows are shown per table.
	Rows int
	// HashKey keys the hashes: random, and of one run, so that nobody can look values up.
	HashKey []byte
	// Reveal shows values.
	Reveal bool
	// Tables limits the comparison to these; empty for all.
	Tables []string
}

// CompareFiles is Compare of two files.
func CompareFiles(ctx context.Context, a, b string, o Options) (Diff, error) {
	fa, err := Open(a)
	if err != nil {
		return Diff{}, err
	}
	defer fa.Close()
	fb, err := Open(b)
	if err != nil {
		return Diff{}, err
	}
	defer fb.Close()
	return Compare(ctx, fa, fb, o)
}

// Compare compares two files. Memory stays flat.
func Compare(ctx context.Context, a, b *File, o Options) (Diff, error) {
	d := Diff{Schema: []ObjectDiff{}, Tables: []TableDiff{}}
	oa, err := a.Objects()
	if err != nil {
		return d, err
	}
	ob, err := b.Objects()
	if err != nil {
		return d, err
	}
	wanted := func(table string) bool { return len(o.Tables) == 0 || slices.Contains(o.Tables, table) }
	type pair struct{ a, b *Object }
	all := map[string]*pair{}
	var order []string
	collect := func(objects []Object, set func(*pair, *Object)) {
		for i := range objects {
			x := &objects[i]
			if !wanted(x.Table) {
				continue
			}
			k := x.Type + " " + x.Name
			if all[k] == nil {
				all[k] = &pair{}
				order = append(order, k)
			}
			set(all[k], x)
		}
	}
	collect(oa, func(p *pair, x *Object) { p.a = x })
	collect(ob, func(p *pair, x *Object) { p.b = x })
	slices.Sort(order)
	for _, k := range order {
		p := all[k]
		x := p.a
		if x == nil {
			x = p.b
		}
		od := ObjectDiff{Type: x.Type, Name: x.Name}
		if p.a != nil {
			od.A = p.a.SQL
		}
		if p.b != nil {
			od.B = p.b.SQL
		}
		if p.a == nil || p.b == nil || od.A != od.B {
			d.Schema = append(d.Schema, od)
		}
		if x.Type != "table" {
			continue
		}
		t, err := compareTable(ctx, a, b, x.Name, p.a != nil, p.b != nil, o)
		if err != nil {
			return d, err
		}
		d.Tables = append(d.Tables, t)
	}
	d.Equal = len(d.Schema) == 0
	for _, t := range d.Tables {
		d.Equal = d.Equal && t.Equal()
	}
	return d, nil
}

func compareTable(ctx context.Context, a, b *File, name string, inA, inB bool, o Options) (TableDiff, error) {
	t := TableDiff{Name: name, In: "both", Columns: map[string]int64{}}
	switch {
	case !inB:
		t.In = "a"
		n, err := a.count(name)
		t.RowsA, t.OnlyA = n, n
		return t, err
	case !inA:
		t.In = "b"
		n, err := b.count(name)
		t.RowsB, t.OnlyB = n, n
		return t, err
	}
	la, err := a.layout(name)
	if err != nil {
		return t, err
	}
	lb, err := b.layout(name)
	if err != nil {
		return t, err
	}
	t.ColumnsOnlyA = without(la.columns, lb.columns)
	t.ColumnsOnlyB = without(lb.columns, la.columns)
	c := newComparison(&t, la, lb, o)
	return t, c.run(ctx, a.pull(ctx, name, c.a), b.pull(ctx, name, c.b))
}

func (f *File) count(table string) (int64, error) {
	var n int64
	err := f.db.Query("SELECT count(*) FROM "+quote(table), engine.Binds{}, func(_ []string, v []any) error {
		n, _ = v[0].(int64)
		return nil
	})
	if err != nil {
		return 0, f.damaged(err)
	}
	return n, nil
}

func without(a, b []string) []string {
	var out []string
	for _, c := range a {
		if !slices.Contains(b, c) {
			out = append(out, c)
		}
	}
	return out
}

// A comparison merges the rows of two tables in key order.
type comparison struct {
	t      *TableDiff
	o      Options
	a, b   layout // with the same key
	common [][2]int
}

func newComparison(t *TableDiff, a, b layout, o Options) *comparison {
	c := &comparison{t: t, o: o, a: a, b: b}
	for i, col := range a.columns {
		if j := slices.Index(b.columns, col); j >= 0 {
			c.common = append(c.common, [2]int{i, j})
		}
	}
	name := func(l layout) []string {
		var out []string
		for _, i := range l.key {
			out = append(out, l.columns[i])
		}
		return out
	}
	if a.keyless || b.keyless || !slices.Equal(name(a), name(b)) {
		// Compare by all columns that both have.
		t.Keyless = true
		c.a.key, c.b.key = nil, nil
		for _, p := range c.common {
			c.a.key, c.b.key = append(c.a.key, p[0]), append(c.b.key, p[1])
		}
		c.a.keyless, c.b.keyless = true, true
	}
	return c
}

// errStopped ends a stream whose reader has gone.
var errStopped = errors.New("stopped")

// rowOrErr is a row of a stream.
type rowOrErr = iter.Seq2[[]any, error]

func (f *File) pull(ctx context.Context, table string, l layout) rowOrErr {
	return func(yield func([]any, error) bool) {
		err := f.rows(ctx, table, l, func(values []any) error {
			if !yield(values, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

func (c *comparison) run(ctx context.Context, sa, sb rowOrErr) error {
	nextA, stopA := iter.Pull2(sa)
	defer stopA()
	nextB, stopB := iter.Pull2(sb)
	defer stopB()
	ra, errA, okA := nextA()
	rb, errB, okB := nextB()
	for okA || okB {
		if errA != nil {
			return errA
		}
		if errB != nil {
			return errB
		}
		order := 0
		switch {
		case !okB:
			order = -1
		case !okA:
			order = 1
		default:
			order = c.compareKeys(ra, rb)
		}
		if order <= 0 {
			c.t.RowsA++
		}
		if order >= 0 {
			c.t.RowsB++
		}
		switch {
		case order < 0:
			c.t.OnlyA++
			c.only("a", ra, c.a)
		case order > 0:
			c.t.OnlyB++
			c.only("b", rb, c.b)
		default:
			c.both(ra, rb)
		}
		if order <= 0 {
			ra, errA, okA = nextA()
		}
		if order >= 0 {
			rb, errB, okB = nextB()
		}
	}
	return nil
}

func (c *comparison) compareKeys(ra, rb []any) int {
	for i := range c.a.key {
		if n := compareValues(ra[c.a.key[i]], rb[c.b.key[i]]); n != 0 {
			return n
		}
	}
	if c.t.Keyless { // 1 and 1.0 are the same to SQLite's order, but not the same value
		for i := range c.a.key {
			if n := strings.Compare(typeOf(ra[c.a.key[i]]), typeOf(rb[c.b.key[i]])); n != 0 {
				return n
			}
		}
	}
	return 0
}

func (c *comparison) only(in string, row []any, l layout) {
	if len(c.t.Rows) < c.o.Rows {
		c.t.Rows = append(c.t.Rows, RowDiff{In: in, Key: c.key(row, l)})
	}
}

func (c *comparison) both(ra, rb []any) {
	var differ [][2]int
	for _, p := range c.common {
		if !same(ra[p[0]], rb[p[1]]) {
			differ = append(differ, p)
		}
	}
	if len(differ) == 0 {
		return
	}
	c.t.Changed++
	for _, p := range differ {
		c.t.Columns[c.a.columns[p[0]]]++
	}
	if len(c.t.Rows) >= c.o.Rows {
		return
	}
	r := RowDiff{In: "both", Key: c.key(ra, c.a)}
	for _, p := range differ {
		r.Columns = append(r.Columns, ValueDiff{Column: c.a.columns[p[0]], A: c.value("", ra[p[0]]), B: c.value("", rb[p[1]])})
	}
	c.t.Rows = append(c.t.Rows, r)
}

func (c *comparison) key(row []any, l layout) []Value {
	var out []Value
	for _, i := range l.key {
		out = append(out, c.value(l.columns[i], row[i]))
	}
	return out
}

func (c *comparison) value(column string, v any) Value {
	out := Value{Column: column, Type: typeOf(v)}
	switch v := v.(type) {
	case nil:
		return out
	case string:
		out.Length = len([]rune(v))
		if c.o.Reveal {
			out.Text = strconv.Quote(v)
		}
	case []byte:
		out.Length = len(v)
		if c.o.Reveal {
			out.Text = "x'" + hex.EncodeToString(v) + "'"
		}
	case int64:
		if c.o.Reveal {
			out.Text = strconv.FormatInt(v, 10)
		}
	case float64:
		if c.o.Reveal {
			out.Text = strconv.FormatFloat(v, 'g', -1, 64)
		}
	}
	m := hmac.New(sha256.New, c.o.HashKey)
	m.Write(appendTyped(nil, v))
	out.Hash = hex.EncodeToString(m.Sum(nil)[:4])
	return out
}

func same(a, b any) bool {
	x, ok := a.([]byte)
	y, ok2 := b.([]byte)
	if ok && ok2 {
		return bytes.Equal(x, y)
	}
	return ok == ok2 && a == b
}

func typeOf(v any) string {
	switch v.(type) {
	case int64:
		return "integer"
	case float64:
		return "real"
	case string:
		return "text"
	case []byte:
		return "blob"
	}
	return "null"
}

func rank(v any) int {
	switch v.(type) {
	case int64, float64:
		return 1
	case string:
		return 2
	case []byte:
		return 3
	}
	return 0
}

// compareValues is SQLite's order under the collation BINARY: NULL, numbers, text, blobs.
func compareValues(a, b any) int {
	if n := cmp.Compare(rank(a), rank(b)); n != 0 {
		return n
	}
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			return cmp.Compare(a, b)
		}
		return -compareRealInt(b.(float64), a)
	case float64:
		if b, ok := b.(float64); ok {
			return cmp.Compare(a, b)
		}
		return compareRealInt(a, b.(int64))
	case string:
		return strings.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	}
	return 0
}

// compareRealInt compares without losing the integer's last digits.
func compareRealInt(r float64, i int64) int {
	switch {
	case r < -(1 << 63):
		return -1
	case r >= 1<<63:
		return 1
	}
	if n := cmp.Compare(int64(r), i); n != 0 {
		return n
	}
	return cmp.Compare(r, float64(int64(r)))
}
