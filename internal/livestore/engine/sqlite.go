package engine

import (
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// A DB is a SQLite connection driven the way LiveStore's own binding drives it: all statements of a text are
// prepared before the first one runs, each is stepped once, a missing parameter is NULL, a number is bound as an
// integer only when it fits 32 bits and text ends at a NUL. database/sql would differ in each of these. As in the SQLite that
// LiveStore brings, "x" is a name and never a text, and a real number turns into a text of 15 digits, see [DB.Digits].
//
// A DB can't reach any other file: ATTACH and VACUUM INTO are off. It is used by one goroutine.
type DB struct {
	tls   *libc.TLS
	db    uintptr
	cache map[string]*prepared
	// volatile are the words met in statements that make them depend on the clock, on chance or on what ran before.
	volatile map[string]bool
	out      *[2]uintptr // where SQLite puts handles; on the heap, so that its address holds
	bound    []uintptr   // copies of the texts and blobs that statements are bound to, the latest last
	// uuidNamespace is what uuid5 works in, a C string; 0 without that function.
	uuidNamespace uintptr
}

type prepared struct {
	stmts  []uintptr
	params [][]string // names with their prefix ($x), empty for a positional one
}

// A SQLError is an error that SQLite reported.
type SQLError struct {
	Code int    `json:"code"` // the extended result code
	Msg  string `json:"message"`
	// Offset is the byte of the text, without the space around it, that a statement is refused for; -1 where SQLite does
	// not say.
	Offset int `json:"offset"`
}

func (e *SQLError) Error() string { return fmt.Sprintf("%s (SQLite code %d)", e.Msg, e.Code) }

// Machine reports whether the machine failed (a full disk, an I/O error), and not the statement.
func (e *SQLError) Machine() bool {
	switch e.Code & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CORRUPT,
		sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	return false
}

// Full reports whether the disk is full.
func (e *SQLError) Full() bool { return e.Code&0xff == sqlite3.SQLITE_FULL }

// maxCached bounds the prepared statements that a DB keeps; apps build few distinct statements.
const maxCached = 512

// OpenDB opens the database file for writing and creates it if needed; an empty path is a database in memory.
func OpenDB(path string) (*DB, error) {
	if path == "" {
		path = ":memory:"
	}
	return open(path, sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_CREATE)
}

// OpenDBReadOnly opens the database file for reading.
func OpenDBReadOnly(path string) (*DB, error) { return open(path, sqlite3.SQLITE_OPEN_READONLY) }

func open(path string, mode int32) (*DB, error) {
	d := &DB{tls: libc.NewTLS(), cache: map[string]*prepared{}, volatile: map[string]bool{}, out: new([2]uintptr)}
	name, err := libc.CString(path)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(d.tls, name)
	rc := sqlite3.Xsqlite3_open_v2(d.tls, name, uintptr(unsafe.Pointer(&d.out[0])), mode|sqlite3.SQLITE_OPEN_NOMUTEX, 0)
	d.db = d.out[0]
	if rc != sqlite3.SQLITE_OK {
		err := d.err(rc)
		d.Close()
		return nil, err
	}
	sqlite3.Xsqlite3_extended_result_codes(d.tls, d.db, 1)
	sqlite3.Xsqlite3_limit(d.tls, d.db, sqlite3.SQLITE_LIMIT_ATTACHED, 0)
	d.config(sqlite3.SQLITE_DBCONFIG_DQS_DDL, 0)
	d.config(sqlite3.SQLITE_DBCONFIG_DQS_DML, 0)
	d.Digits(15)
	return d, nil
}

// Digits sets how many digits of a real number count where SQLite writes it as a text: 15 before SQLite 3.52, as LiveStore 0.4's
// is, and 17 since.
func (d *DB) Digits(n int32) { d.config(sqlite3.SQLITE_DBCONFIG_FP_DIGITS, n) }

func (d *DB) config(option, value int32) {
	args := libc.Xcalloc(d.tls, 2, 8)
	defer libc.Xfree(d.tls, args)
	sqlite3.Xsqlite3_db_config(d.tls, d.db, option, libc.VaList(args, value, uintptr(0)))
}

// Until has the end of ctx stop what the database computes, with an error, until stop is called.
func (d *DB) Until(ctx context.Context) (stop func()) {
	stopped := make(chan struct{})
	end := context.AfterFunc(ctx, func() {
		sqlite3.Xsqlite3_interrupt(d.tls, d.db) // the one function that another goroutine may call
		close(stopped)
	})
	return func() {
		if !end() {
			<-stopped // the database may be closed then
		}
	}
}

// Close finalizes what was prepared and closes the database.
func (d *DB) Close() {
	d.forget()
	if d.db != 0 {
		sqlite3.Xsqlite3_close_v2(d.tls, d.db)
		d.db = 0
	}
	libc.Xfree(d.tls, d.uuidNamespace)
	d.tls.Close()
}

func (d *DB) forget() {
	for text, p := range d.cache {
		p.finalize(d)
		delete(d.cache, text)
	}
}

func (p *prepared) finalize(d *DB) {
	for _, s := range p.stmts {
		sqlite3.Xsqlite3_finalize(d.tls, s)
	}
}

// Autocommit reports whether no transaction is open.
func (d *DB) Autocommit() bool { return sqlite3.Xsqlite3_get_autocommit(d.tls, d.db) != 0 }

// volatileRE finds what makes a statement's outcome depend on more than the tables. It may find too much (inside a
// literal), never too little.
var volatileRE = regexp.MustCompile(`(?i)\b(random|randomblob|changes|total_changes|last_insert_rowid|sqlite_version|sqlite_source_id)\s*\(|\bcurrent_(time|date|timestamp)\b|'now'|\b(date|time|datetime|julianday|unixepoch)\s*\(\s*\)|\bstrftime\s*\(\s*'[^']*'\s*\)`)

// Volatile lists the words (random, 'now', changes…) that make statements run so far depend on the clock, on chance
// or on LiveStore's own statements, so that their outcome may differ from a client's. It is sorted.
func (d *DB) Volatile() []string { return slices.Sorted(maps.Keys(d.volatile)) }

// Changes returns how many rows the last statement wrote.
func (d *DB) Changes() int64 { return int64(sqlite3.Xsqlite3_changes64(d.tls, d.db)) }

// Exec runs every statement of text with the same parameters.
func (d *DB) Exec(text string, binds Binds) error {
	p, err := d.prepare(text)
	if err != nil {
		return err
	}
	for i, s := range p.stmts {
		unbound := len(d.bound)
		err := d.bind(s, p.params[i], binds)
		if err == nil {
			if rc := sqlite3.Xsqlite3_step(d.tls, s); rc != sqlite3.SQLITE_DONE && rc != sqlite3.SQLITE_ROW {
				err = d.err(rc)
			}
		}
		d.reset(s, unbound)
		if err != nil {
			return err
		}
	}
	return nil
}

// Query runs a text of exactly one statement and calls row with each row's values: nil, int64, float64, string
// or []byte. The slice is reused.
func (d *DB) Query(text string, binds Binds, row func(columns []string, values []any) error) error {
	p, err := d.prepare(text)
	if err != nil {
		return err
	}
	if len(p.stmts) != 1 {
		return &SQLError{Code: -1, Msg: "expected only one statement in a query", Offset: -1}
	}
	s := p.stmts[0]
	defer d.reset(s, len(d.bound))
	err = d.bind(s, p.params[0], binds)
	if err != nil {
		return err
	}
	var columns []string
	var values []any
	for {
		switch rc := sqlite3.Xsqlite3_step(d.tls, s); rc {
		case sqlite3.SQLITE_DONE:
			return nil
		case sqlite3.SQLITE_ROW:
		default:
			return d.err(rc)
		}
		if columns == nil {
			n := sqlite3.Xsqlite3_column_count(d.tls, s)
			columns = make([]string, n)
			for i := range columns {
				columns[i] = libc.GoString(sqlite3.Xsqlite3_column_name(d.tls, s, int32(i)))
			}
			values = make([]any, n)
		}
		for i := range values {
			values[i] = d.column(s, int32(i))
		}
		if err := row(columns, values); err != nil {
			return err
		}
	}
}

// Prepares reports whether text is exactly one statement that SQLite accepts with the tables there are.
func (d *DB) Prepares(text string) bool {
	p, err := d.prepare(text)
	return err == nil && len(p.stmts) == 1
}

// Parameters are the names of the parameters of a text of one statement, in their order; empty for one without a name.
func (d *DB) Parameters(text string) ([]string, error) {
	p, err := d.prepare(text)
	if err != nil {
		return nil, err
	}
	return slices.Concat(p.params...), nil
}

func (d *DB) column(s uintptr, i int32) any {
	switch sqlite3.Xsqlite3_column_type(d.tls, s, i) {
	case sqlite3.SQLITE_INTEGER:
		return int64(sqlite3.Xsqlite3_column_int64(d.tls, s, i))
	case sqlite3.SQLITE_FLOAT:
		return sqlite3.Xsqlite3_column_double(d.tls, s, i)
	case sqlite3.SQLITE_TEXT:
		p := sqlite3.Xsqlite3_column_text(d.tls, s, i)
		return string(libc.GoBytes(p, int(sqlite3.Xsqlite3_column_bytes(d.tls, s, i))))
	case sqlite3.SQLITE_BLOB:
		p := sqlite3.Xsqlite3_column_blob(d.tls, s, i)
		n := int(sqlite3.Xsqlite3_column_bytes(d.tls, s, i))
		if n == 0 {
			return []byte{}
		}
		return append([]byte(nil), libc.GoBytes(p, n)...)
	}
	return nil
}

func (d *DB) prepare(text string) (*prepared, error) {
	if p, ok := d.cache[text]; ok {
		return p, nil
	}
	z, err := libc.CString(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(d.tls, z)
	stmt, rest := uintptr(unsafe.Pointer(&d.out[0])), uintptr(unsafe.Pointer(&d.out[1]))
	p := &prepared{}
	for tail := z; ; {
		rc := sqlite3.Xsqlite3_prepare_v2(d.tls, d.db, tail, -1, stmt, rest)
		if rc != sqlite3.SQLITE_OK {
			err := d.err(rc)
			if err.Offset >= 0 {
				err.Offset += int(tail - z)
			}
			p.finalize(d)
			return nil, err
		}
		s := d.out[0]
		if s == 0 {
			break
		}
		var names []string
		for i := int32(1); i <= sqlite3.Xsqlite3_bind_parameter_count(d.tls, s); i++ {
			name := ""
			if n := sqlite3.Xsqlite3_bind_parameter_name(d.tls, s, i); n != 0 {
				name = libc.GoString(n)
			}
			names = append(names, name)
		}
		p.stmts = append(p.stmts, s)
		p.params = append(p.params, names)
		tail = d.out[1]
	}
	for _, word := range volatileRE.FindAllString(text, -1) {
		d.volatile[strings.ToLower(strings.TrimRight(word, "( \t\r\n"))] = true
	}
	if len(d.cache) >= maxCached {
		d.forget()
	}
	d.cache[text] = p
	return p, nil
}

func (d *DB) bind(s uintptr, params []string, binds Binds) error {
	for i, name := range params {
		v, ok := binds.lookup(i, name)
		if !ok {
			continue // stays NULL
		}
		var rc int32
		at := int32(i + 1)
		switch v := v.(type) {
		case nil:
			rc = sqlite3.Xsqlite3_bind_null(d.tls, s, at)
		case int64:
			rc = sqlite3.Xsqlite3_bind_int64(d.tls, s, at, v)
		case float64:
			if v == math.Trunc(v) && v >= math.MinInt32 && v <= math.MaxInt32 {
				rc = sqlite3.Xsqlite3_bind_int(d.tls, s, at, int32(v))
			} else {
				rc = sqlite3.Xsqlite3_bind_double(d.tls, s, at, v)
			}
		case string:
			if n := strings.IndexByte(v, 0); n >= 0 {
				v = v[:n]
			}
			p, err := d.hold(v)
			if err != nil {
				return err
			}
			rc = sqlite3.Xsqlite3_bind_text(d.tls, s, at, p, int32(len(v)), 0)
		case []byte:
			if len(v) == 0 {
				// The binding asks for no memory, gets no address, and so binds NULL.
				rc = sqlite3.Xsqlite3_bind_null(d.tls, s, at)
				break
			}
			p, err := d.hold(string(v))
			if err != nil {
				return err
			}
			rc = sqlite3.Xsqlite3_bind_blob(d.tls, s, at, p, int32(len(v)), 0)
		default:
			return fmt.Errorf("can't bind a %T", v)
		}
		if rc != sqlite3.SQLITE_OK {
			return d.err(rc)
		}
	}
	return nil
}

// hold copies what a statement is bound to to where SQLite may read it, until the statement is reset.
func (d *DB) hold(v string) (uintptr, error) {
	p, err := libc.CString(v)
	if err == nil {
		d.bound = append(d.bound, p)
	}
	return p, err
}

// reset ends a statement, and lets go of what was bound since there were unbound.
func (d *DB) reset(s uintptr, unbound int) {
	sqlite3.Xsqlite3_reset(d.tls, s)
	sqlite3.Xsqlite3_clear_bindings(d.tls, s)
	for _, p := range d.bound[unbound:] {
		libc.Xfree(d.tls, p)
	}
	d.bound = d.bound[:unbound]
}

func (d *DB) err(rc int32) *SQLError {
	msg, offset := "", -1
	if d.db != 0 {
		msg = libc.GoString(sqlite3.Xsqlite3_errmsg(d.tls, d.db))
		offset = int(sqlite3.Xsqlite3_error_offset(d.tls, d.db))
		rc = sqlite3.Xsqlite3_extended_errcode(d.tls, d.db)
	} else {
		msg = libc.GoString(sqlite3.Xsqlite3_errstr(d.tls, rc))
	}
	return &SQLError{Code: int(rc), Msg: msg, Offset: offset}
}
