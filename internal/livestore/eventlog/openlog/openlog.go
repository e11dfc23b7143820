// Package openlog opens an event log by its URL: file:PATH is a client's log on disk, dump:PATH what
// `livestore sync export` wrote, sync-cf:URL and sync-cf+http:URL a store of a sync backend, postgres:DSN the table of a store. [Auth] gets
// what a sync backend wants to know about who asks. It holds no knowledge of how any of them keeps its log.
package openlog

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/cflog"
	"headgate/internal/livestore/eventlog/dumplog"
	"headgate/internal/livestore/eventlog/filelog"
	"headgate/internal/livestore/eventlog/pglog"
)

// hint says what a log's URL may be.
const hint = "a log is file:PATH, dump:PATH, sync-cf:URL, sync-cf+http:URL or postgres:DSN"

// Options says how a log is opened. The zero value is good for a file and a dump.
type Options struct {
	// StoreID is the store. A sync backend and a database need it; a dump must be of it, empty for any. A client's
	// log does not say its store.
	StoreID livestore.StoreID
	// TempDir is where a client's log is copied to; the system's temporary folder if empty.
	TempDir string
	// Payload returns the sync payload that a sync backend gets, see [Auth.Payload]; nil for none.
	Payload func(ctx context.Context) (json.RawMessage, error)
	// BackendID is what a sync backend must call itself, empty for any: another one was reset.
	BackendID string
	// SchemaHash returns LiveStore's hash of an event's argument schema, which stands beside each event of a client's
	// log: schema.Event has it. Without it, and for false, headgate appends as a client that does not know the event.
	SchemaHash func(event string) (int64, bool)
	// ForceClosed is the user's word that no client has its log open, see [filelog.Options].
	ForceClosed bool
	// Now is the clock. Who appends to a client's log needs it: the backup is named by the time.
	Now func() time.Time
	// HTTPClient makes the connections to a sync backend; nil for one with the system's proxy and certificates.
	HTTPClient *http.Client
}

// Parse reads a URL. A relative path starts at base. A path without a kind is looked into: a file that begins
// like JSON is a dump, everything else, missing files included, is taken for a client's log. No error quotes the
// address of a backend or a database, which may hold a password.
func Parse(s, base string) (URL, error) {
	kind, path, found := strings.Cut(s, ":")
	if len(kind) <= 1 || !found || strings.ContainsAny(kind, `/\.`) { // one letter is a drive
		kind, path = "", s
	}
	switch Kind(kind) {
	case SyncCF, SyncCFHTTP:
		return parseSyncCF(Kind(kind), path)
	case Postgres:
		return parsePostgres(path)
	case File, Dump, "":
	default:
		return URL{}, errs.Invalidf("unknown kind of log %q", kind).Hintf(hint)
	}
	if path == "" {
		return URL{}, errs.Invalidf("the log's path is empty").At("%s", s).Hintf(hint)
	}
	if p, ok := strings.CutPrefix(path, "//"); ok && kind != "" { // file:///absolute
		path = p
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	if kind == "" {
		return URL{Kind: sniff(path), Path: path}, nil
	}
	return URL{Kind: Kind(kind), Path: path}, nil
}

func sniff(path string) Kind {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return File
	}
	f, err := os.Open(path)
	if err != nil {
		return File
	}
	defer f.Close()
	head := make([]byte, 64)
	n, _ := io.ReadFull(f, head)
	if bytes.HasPrefix(bytes.TrimLeft(head[:n], " \t\r\n"), []byte("{")) {
		return Dump
	}
	return File
}

// Open opens the log to read it.
func Open(ctx context.Context, u URL, opt Options) (eventlog.Reader, error) {
	switch u.Kind {
	case File:
		return reader(filelog.Open(ctx, u.Path, filelog.Options{TempDir: opt.TempDir}))
	case Dump:
		return reader(dumplog.Open(ctx, u.Path, dumplog.Options{StoreID: opt.StoreID}))
	default:
		return reader(OpenAppender(ctx, u, opt))
	}
}

// OpenAppender opens the log to read it and to append to it. A client's log must be that of a stopped client, see
// [filelog.OpenAppender]; what it gets is pending until the client is online. A dump is errs.Refused.
func OpenAppender(ctx context.Context, u URL, opt Options) (eventlog.Appender, error) {
	switch u.Kind {
	case File:
		if opt.Now == nil {
			return nil, errs.New(errs.Internal, "a client's log is opened to append to it, and there is no clock")
		}
		return appender(filelog.OpenAppender(ctx, u.Path, filelog.Options{SchemaHash: opt.SchemaHash, Now: opt.Now, ForceClosed: opt.ForceClosed}))
	case Dump:
		return nil, errs.Refusedf("a dump can't be appended to: nobody syncs with it").At("%s", u).
			Hintf("name the store's sync backend or database: sync-cf:URL or postgres:DSN")
	}
	if opt.StoreID == "" {
		return nil, errs.Invalidf("which store? %s has many", u).Hintf("name one with --store")
	}
	switch u.Kind {
	case SyncCF, SyncCFHTTP:
		return appender(cflog.Open(ctx, cflog.Options{
			URL: u.Address, StoreID: opt.StoreID, Payload: opt.Payload, HTTPClient: opt.HTTPClient, BackendID: opt.BackendID,
			HTTP: u.Kind == SyncCFHTTP,
		}))
	case Postgres:
		return appender(pglog.Open(ctx, pglog.Options{DSN: u.Address, StoreID: opt.StoreID, Table: u.Table}))
	default:
		return nil, errs.New(errs.Internal, "no reader for the log kind %q", u.Kind)
	}
}

// reader and appender keep a nil pointer from becoming an interface that is not nil.
func reader[R eventlog.Reader](r R, err error) (eventlog.Reader, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

func appender[A eventlog.Appender](a A, err error) (eventlog.Appender, error) {
	if err != nil {
		return nil, err
	}
	return a, nil
}
