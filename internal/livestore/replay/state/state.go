// Package state compares state databases by what is in them: rows in primary-key order, each value with its type,
// and the schema's text. Tables of LiveStore's own (__livestore_*) are left out, since they hold wall-clock times.
// Two files of the same state have the same [Digest] whatever SQLite wrote them, in whatever order.
//
// Memory stays flat: rows are streamed. The files are read, never written; a file that is being written, or whose
// writer was killed, is refused. The package does not know events or releases.
package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
)

// A File is an open state database. It is used by one goroutine.
type File struct {
	path string
	db   *engine.DB
}

// An Object is a table, index, view or trigger, with the text that made it. An index that SQLite made by itself for a
// key has no text.
type Object struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	Table string `json:"table"`
	SQL   string `json:"sql"`
}

// magic begins every SQLite file; an empty file is an empty database.
const magic = "SQLite format 3\x00"

// Open opens the file at path.
func Open(path string) (*File, error) {
	if err := check(path); err != nil {
		return nil, err
	}
	db, err := engine.OpenDBReadOnly(path)
	if err != nil {
		return nil, errs.New(errs.Internal, "can't open the state").At("%s", path).Because(err)
	}
	f := &File{path: path, db: db}
	// A file from elsewhere must not bring functions along.
	for _, p := range []string{"PRAGMA trusted_schema=OFF", "PRAGMA query_only=ON", "PRAGMA cache_size=-16384"} {
		if err := db.Exec(p, engine.Binds{}); err != nil {
			db.Close()
			return nil, f.damaged(err)
		}
	}
	return f, nil
}

func check(path string) error {
	in, err := os.Open(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errs.NotFoundf("there is no such file").At("%s", path)
	case err != nil:
		return errs.New(errs.Internal, "can't read the state").At("%s", path).Because(err).Hintf("make the file readable")
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return errs.New(errs.Internal, "can't read the state").At("%s", path).Because(err)
	}
	if info.IsDir() {
		return errs.Invalidf("a state is a file, and this is a directory").At("%s", path)
	}
	head := make([]byte, 100)
	n, err := io.ReadFull(in, head)
	if n == 0 && errors.Is(err, io.EOF) {
		return errs.Invalidf("the file is empty: a rebuild was cut short, or has not begun").At("%s", path).
			Hintf("LiveStore rebuilds such a state at the next start")
	}
	if n < len(head) || string(head[:len(magic)]) != magic {
		return errs.Invalidf("this is no SQLite database").At("%s", path).Hintf("a state is what LiveStore keeps as state<HASH>@6.db, or `headgate state replay` wrote")
	}
	pages := int64(head[28])<<24 | int64(head[29])<<16 | int64(head[30])<<8 | int64(head[31])
	size := int64(head[16])<<8 | int64(head[17])
	if size == 1 {
		size = 65536
	}
	if info.Size() < pages*size {
		return errs.Invalidf("the file is cut short: %d of %d bytes", info.Size(), pages*size).At("%s", path)
	}
	for _, side := range []string{"-journal", "-wal"} {
		if j, err := os.Stat(path + side); err == nil && j.Size() > 0 {
			return errs.Invalidf("the state is being written, or its writer was killed: %s%s is beside it", path, side).At("%s", path).
				Hintf("close the app that uses it, or let it start once to recover; then run the command again")
		}
	}
	return nil
}

// Close closes the file.
func (f *File) Close() { f.db.Close() }

func (f *File) damaged(err error) error {
	var se *engine.SQLError
	if errors.As(err, &se) && se.Machine() {
		return errs.Invalidf("the SQLite file is damaged").At("%s", f.path).Because(err)
	}
	return fmt.Errorf("%s: %w", f.path, err)
}

// Objects lists what the schema has, by type and name.
func (f *File) Objects() ([]Object, error) {
	var out []Object
	err := f.db.Query(`SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema
		WHERE tbl_name NOT LIKE '\_\_livestore\_%' ESCAPE '\' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY type, name`,
		engine.Binds{}, func(_ []string, v []any) error {
			text := func(i int) string { s, _ := v[i].(string); return s }
			out = append(out, Object{Type: text(0), Name: text(1), Table: text(2), SQL: text(3)})
			return nil
		})
	if err != nil {
		return nil, f.damaged(err)
	}
	return out, nil
}

// Counts counts the rows of each table, by name: much cheaper than a digest.
func (f *File) Counts(ctx context.Context) (map[string]int64, error) {
	objects, err := f.Objects()
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, o := range objects {
		if o.Type != "table" {
			continue
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if out[o.Name], err = f.count(o.Name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sessionTable is where LiveStore keeps what undoes pending events, one row for each since the last confirmed one.
const sessionTable = "__livestore_session_changeset"

// Head returns the last event that the state is known to hold. It is not known where the last event that the backend
// confirmed left no trace in the state, nor in a file that lacks LiveStore's own tables.
func (f *File) Head() (head livestore.ClientSeq, known bool, err error) {
	there := false
	err = f.db.Query(`SELECT 1 FROM sqlite_schema WHERE name = ?`, engine.Positional(sessionTable), func([]string, []any) error {
		there = true
		return nil
	})
	if err != nil {
		return head, false, f.damaged(err)
	}
	if !there {
		return head, false, nil
	}
	err = f.db.Query(`SELECT seqNumGlobal, seqNumClient, seqNumRebaseGeneration FROM `+sessionTable+`
		ORDER BY seqNumGlobal DESC, seqNumClient DESC LIMIT 1`, engine.Binds{}, func(_ []string, v []any) error {
		number := func(i int) int64 { n, _ := v[i].(int64); return n }
		head = livestore.ClientSeq{Global: livestore.SeqNum(number(0)), Client: number(1), Rebase: number(2)}
		known = true
		return nil
	})
	if err != nil {
		return head, false, f.damaged(err)
	}
	return head, known, nil
}

// A layout is a table's columns, and the order in which its rows are compared.
type layout struct {
	columns []string
	// key are the positions of the primary key's columns in the key's order; all columns where a table has none.
	key     []int
	keyless bool
}

func (f *File) layout(table string) (layout, error) {
	var l layout
	type keyed struct{ at, pk int }
	var key []keyed
	nullable := false
	err := f.db.Query(`SELECT name, pk, "notnull", type FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid`, engine.Positional(table),
		func(_ []string, v []any) error {
			name, _ := v[0].(string)
			if pk, _ := v[1].(int64); pk > 0 {
				key = append(key, keyed{len(l.columns), int(pk)})
				nullable = nullable || v[2] == int64(0)
			}
			l.columns = append(l.columns, name)
			return nil
		})
	if err != nil {
		return l, f.damaged(err)
	}
	slices.SortFunc(key, func(a, b keyed) int { return a.pk - b.pk })
	for _, k := range key {
		l.key = append(l.key, k.at)
	}
	if nullable {
		if l.keyless, err = f.hasNullKey(table, l); err != nil {
			return l, err
		}
	}
	if len(l.key) == 0 || l.keyless {
		l.key, l.keyless = nil, true
		for i := range l.columns {
			l.key = append(l.key, i)
		}
	}
	return l, nil
}

// hasNullKey reports whether rows share a key because a part of it is NULL, which SQLite permits.
func (f *File) hasNullKey(table string, l layout) (bool, error) {
	var where []string
	for _, i := range l.key {
		where = append(where, quote(l.columns[i])+" IS NULL")
	}
	found := false
	err := f.db.Query("SELECT 1 FROM "+quote(table)+" WHERE "+strings.Join(where, " OR ")+" LIMIT 1", engine.Binds{}, func([]string, []any) error {
		found = true
		return nil
	})
	if err != nil {
		return false, f.damaged(err)
	}
	return found, nil
}

// rows streams a table's rows by key. The slice is reused.
func (f *File) rows(ctx context.Context, table string, l layout, row func(values []any) error) error {
	cols := make([]string, len(l.columns))
	for i, c := range l.columns {
		cols[i] = quote(c)
	}
	order := make([]string, 0, 2*len(l.key))
	for _, i := range l.key {
		order = append(order, cols[i]+" COLLATE BINARY")
	}
	if l.keyless {
		for _, i := range l.key {
			order = append(order, "typeof("+cols[i]+")")
		}
	}
	n := 0
	err := f.db.Query("SELECT "+strings.Join(cols, ", ")+" FROM "+quote(table)+" ORDER BY "+strings.Join(order, ", "), engine.Binds{},
		func(_ []string, values []any) error {
			if n++; n%1024 == 0 && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return row(values)
		})
	if err != nil && ctx.Err() == nil {
		return f.damaged(err)
	}
	return err
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
