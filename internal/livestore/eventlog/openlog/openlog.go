// Package openlog opens an event log by its URL: file:PATH is a client's log on disk, dump:PATH what
// `livestore sync export` wrote. It holds no knowledge of either format.
package openlog

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
	"headgate/internal/livestore/eventlog/filelog"
)

// A Kind says what keeps a log.
type Kind string

const (
	File Kind = "file" // a client's eventlog@6.db, or the folder that holds it
	Dump Kind = "dump" // a file of `livestore sync export`
)

// A URL says where a log is.
type URL struct {
	Kind Kind
	Path string // absolute, if the base of Parse was
}

// String returns "file:PATH" or "dump:PATH".
func (u URL) String() string { return string(u.Kind) + ":" + u.Path }

// Options says how a log is opened. The zero value is good.
type Options struct {
	// StoreID is the store that a dump must be of; empty for any. A client's log does not say its store.
	StoreID livestore.StoreID
	// TempDir is where a client's log is copied to; the system's temporary folder if empty.
	TempDir string
}

// Parse reads a URL. A relative path starts at base. A path without a kind is looked into: a file that begins
// like JSON is a dump, everything else, missing files included, is taken for a client's log.
func Parse(s, base string) (URL, error) {
	kind, path, found := strings.Cut(s, ":")
	if len(kind) <= 1 || !found || strings.ContainsAny(kind, `/\.`) { // one letter is a drive
		kind, path = "", s
	}
	if path == "" {
		return URL{}, errs.Invalidf("the log's path is empty").At("%s", s).Hintf("a log is file:PATH or dump:PATH")
	}
	if p, ok := strings.CutPrefix(path, "//"); ok && kind != "" { // file:///absolute
		path = p
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	switch kind {
	case string(File), string(Dump):
		return URL{Kind: Kind(kind), Path: path}, nil
	case "":
		return URL{Kind: sniff(path), Path: path}, nil
	case "sync-cf", "postgres":
		return URL{}, errs.Invalidf("logs of kind %q can't be read yet", kind).At("%s", s).
			Hintf("export the store with `livestore sync export` and read that as dump:FILE")
	default:
		return URL{}, errs.Invalidf("unknown kind of log %q", kind).At("%s", s).Hintf("a log is file:PATH or dump:PATH")
	}
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

// Open opens the log.
func Open(ctx context.Context, u URL, opt Options) (eventlog.Reader, error) {
	switch u.Kind {
	case File:
		r, err := filelog.Open(ctx, u.Path, filelog.Options{TempDir: opt.TempDir})
		if err != nil {
			return nil, err
		}
		return r, nil
	case Dump:
		r, err := dumplog.Open(ctx, u.Path, dumplog.Options{StoreID: opt.StoreID})
		if err != nil {
			return nil, err
		}
		return r, nil
	default:
		return nil, errs.New(errs.Internal, "no reader for the log kind %q", u.Kind)
	}
}
