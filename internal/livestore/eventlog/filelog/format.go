package filelog

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"headgate/internal/errs"
)

// Format is the storage format that this package reads: LiveStore's liveStoreStorageFormatVersion, the number
// in eventlog@6.db.
const Format = 6

const (
	magic = "SQLite format 3\x00"
	// poolHeader is what the web adapter's access-handle pool puts before the SQLite image in each of its files.
	poolHeader = 4096
)

// wantColumns returns the columns of format 6, by table, sorted.
func wantColumns() map[string][]string {
	return map[string][]string{
		"eventlog": {
			"argsJson text", "clientId text", "name text",
			"parentSeqNumClient integer", "parentSeqNumGlobal integer", "parentSeqNumRebaseGeneration integer",
			"schemaHash integer", "seqNumClient integer", "seqNumGlobal integer", "seqNumRebaseGeneration integer",
			"sessionId text", "syncMetadataJson text",
		},
		"__livestore_sync_status": {"backendId text", "head integer"},
	}
}

// nodeName is the name that the node adapter gives a log of this format; expo puts expoPrefix before it.
const (
	nodeName   = "eventlog@6.db"
	expoPrefix = "livestore-"
)

// versionOf returns the storage format that a file's name tells, if it is named like a log.
func versionOf(name string) (version string, ok bool) {
	version, ok = strings.CutPrefix(strings.TrimPrefix(name, expoPrefix), "eventlog@")
	if ok {
		version, ok = strings.CutSuffix(version, ".db")
	}
	return version, ok && version != "" && strings.Trim(version, "0123456789") == ""
}

// locate returns the file to read for a path that names a log or the folder that holds it.
func locate(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errs.NotFoundf("there is no such file or folder").At("%s", path).
			Hintf("a node client keeps its log in <base directory>/<storeId>/%s", nodeName)
	case err != nil:
		return "", cantRead(path, err)
	case info.IsDir():
		return locateIn(path)
	case !info.Mode().IsRegular():
		return "", errs.Invalidf("it is not a regular file").At("%s", path)
	}
	if v, ok := versionOf(filepath.Base(path)); ok && v != strconv.Itoa(Format) {
		return "", otherVersion(path, v)
	}
	return path, nil
}

func locateIn(dir string) (string, error) {
	for _, name := range []string{nodeName, expoPrefix + nodeName} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", cantRead(dir, err)
	}
	var stores []string
	for _, e := range entries {
		if v, ok := versionOf(e.Name()); ok && e.Type().IsRegular() {
			return "", otherVersion(filepath.Join(dir, e.Name()), v)
		}
		if _, err := os.Stat(filepath.Join(dir, e.Name(), nodeName)); e.IsDir() && err == nil {
			stores = append(stores, e.Name())
		}
	}
	missing := errs.NotFoundf("the folder holds no %s", nodeName).At("%s", dir)
	if len(stores) > 0 {
		return "", missing.Hintf("it holds stores, name one of them: %s", strings.Join(stores, ", "))
	}
	return "", missing.Hintf("name the folder of one store, or the log itself")
}

func otherVersion(path, found string) error {
	return errs.Invalidf("LiveStore storage format %s is not supported, headgate reads format %d", found, Format).At("%s", path).
		Hintf("another LiveStore version wrote it; export the store with `livestore sync export` and read that as dump:FILE")
}

// checkImage tells why the copy at file is not a whole SQLite database; path is its original's, for messages.
func checkImage(file, path string) error {
	f, err := os.Open(file)
	if err != nil {
		return cantRead(path, err)
	}
	defer f.Close()
	head := make([]byte, poolHeader+len(magic))
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return cantRead(path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return cantRead(path, err)
	}
	head = head[:n]
	switch {
	case n == 0:
		return errs.Invalidf("the file is empty").At("%s", path).
			Hintf("a client that was killed on its first start leaves it so; start the app once more")
	case len(head) == poolHeader+len(magic) && string(head[poolHeader:]) == magic:
		return errs.Invalidf("a file of the web adapter's OPFS pool: %d bytes lie before the SQLite database", poolHeader).At("%s", path).
			Hintf("cut them off: tail -c +%d FILE > %s", poolHeader+1, nodeName)
	case !bytes.HasPrefix(head, []byte(magic)):
		hint := "a client's log is an SQLite file; a file that `livestore sync export` wrote is read as dump:FILE"
		return errs.Invalidf("not an SQLite database").At("%s", path).Hintf("%s", hint)
	case n < 100:
		return truncated(path, 100, info.Size())
	}
	pageSize := int64(binary.BigEndian.Uint16(head[16:]))
	if pageSize == 1 {
		pageSize = 65536
	}
	pages := int64(binary.BigEndian.Uint32(head[28:]))
	countIsValid := bytes.Equal(head[24:28], head[92:96])
	if countIsValid && info.Size() < pages*pageSize {
		return truncated(path, pages*pageSize, info.Size())
	}
	return nil
}

func truncated(path string, want, got int64) error {
	return errs.Invalidf("the SQLite file is truncated: it should have %d bytes and has %d", want, got).At("%s", path).
		Hintf("copy it again, while the app is stopped or with its -journal file beside it")
}

// checkTables tells why a database is not an event log of this format.
func checkTables(ctx context.Context, db *sql.DB, path string) error {
	tables, err := tables(ctx, db)
	if err != nil {
		return damaged(path, "", err)
	}
	kind := func(what, hint string) error {
		return errs.Invalidf("%s, not a client's event log of storage format %d", what, Format).At("%s", path).Hintf("%s", hint)
	}
	has := func(prefix string) bool {
		return slices.ContainsFunc(tables, func(t string) bool { return strings.HasPrefix(t, prefix) })
	}
	switch {
	case slices.Contains(tables, "eventlog") && slices.Contains(tables, "__livestore_sync_status"):
	case has("eventlog_") && has("context_"):
		return kind("a sync backend's own database (tables "+strings.Join(tables, ", ")+")",
			"export the store with `livestore sync export` and read that as dump:FILE")
	case has("__livestore_schema"):
		return kind("a client's state database", "the log lies beside it: "+nodeName)
	case len(tables) == 0:
		return kind("an SQLite database without tables", "a client that was killed on its first start leaves it so; start the app once more")
	default:
		return kind("an SQLite database with the tables "+strings.Join(tables, ", "),
			"headgate reads the tables eventlog and __livestore_sync_status")
	}
	for table, want := range wantColumns() {
		got, err := columns(ctx, db, table)
		if err != nil {
			return damaged(path, "", err)
		}
		if !slices.Equal(got, want) {
			return errs.Invalidf("table %s is of another storage format than %d: %s", table, Format, difference(got, want)).At("%s", path).
				Hintf("another LiveStore version wrote it; export the store with `livestore sync export` and read that as dump:FILE")
		}
	}
	return nil
}

func tables(ctx context.Context, db *sql.DB) ([]string, error) {
	return texts(ctx, db, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name LIMIT 20`)
}

// columns returns the columns of a table, sorted, with their types. A table that is not STRICT has none of
// the types that it declares.
func columns(ctx context.Context, db *sql.DB, table string) ([]string, error) {
	return texts(ctx, db, `SELECT c.name || ' ' || CASE t.strict WHEN 1 THEN lower(c.type) ELSE 'of any type' END
		FROM pragma_table_list($1) AS t, pragma_table_info($1) AS c WHERE t.schema = 'main' ORDER BY c.name`, table)
}

func texts(ctx context.Context, db *sql.DB, query string, args ...any) ([]string, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

func difference(got, want []string) string {
	var parts []string
	list := func(what string, of, but []string) {
		var names []string
		for _, c := range of {
			if !slices.Contains(but, c) {
				names = append(names, c)
			}
		}
		if len(names) > 0 {
			parts = append(parts, what+" "+strings.Join(names, ", "))
		}
	}
	list("it lacks", want, got)
	list("it has", got, want)
	return strings.Join(parts, "; ")
}
