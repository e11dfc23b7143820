package openlog

import (
	"net/url"
	"regexp"
	"strings"

	"headgate/internal/errs"
)

// A Kind says what keeps a log.
type Kind string

const (
	File     Kind = "file"     // a client's eventlog@6.db, or the folder that holds it
	Dump     Kind = "dump"     // a file of `livestore sync export`
	SyncCF   Kind = "sync-cf"  // a store of @livestore/sync-cf, over WebSockets
	Postgres Kind = "postgres" // the table of a store of @livestore/sync-electric

	SyncCFHTTP Kind = "sync-cf+http" // a store of @livestore/sync-cf, over HTTP
)

// A URL says where a log is. Address may hold a password: print a URL with its String method, which has none.
type URL struct {
	Kind Kind
	// Path is the file of a File or a Dump; absolute, if the base of Parse was.
	Path string
	// Address is the http, https, ws or wss URL of a SyncCF or SyncCFHTTP, the postgres URL of a Postgres.
	Address string
	// Table is the table of a Postgres, or SCHEMA.TABLE; empty for the one that the store's id makes.
	Table string
}

// Remote reports whether the log is reached over the network, where it is the store itself and others write to it.
func (u URL) Remote() bool { return u.syncCF() || u.Kind == Postgres }

func (u URL) syncCF() bool { return u.Kind == SyncCF || u.Kind == SyncCFHTTP }

// String returns the URL as it can be typed, without password and without what stands behind a question mark.
func (u URL) String() string {
	if !u.Remote() {
		return string(u.Kind) + ":" + u.Path
	}
	s := string(u.Kind) + ":"
	if a, err := url.Parse(u.Address); err == nil { // Parse made sure of it
		if a.User != nil {
			a.User = url.User(a.User.Username())
		}
		if u.syncCF() {
			a.User = nil // a token may stand where a user is meant
		}
		a.RawQuery, a.Fragment = "", ""
		s += a.String()
	}
	if u.Table != "" {
		s += "#" + u.Table
	}
	return s
}

// MarshalText returns String: so loggers and JSON get no password.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

func parseSyncCF(kind Kind, address string) (URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ws" && u.Scheme != "wss", u.Host == "":
		return URL{}, errs.Invalidf("%s: wants the http, https, ws or wss URL of a sync backend", kind).
			Hintf("write %[1]s: and the URL that the app has for makeWsSync or makeHttpSync: %[1]s:https://sync.example.org", kind)
	}
	return URL{Kind: kind, Address: address}, nil
}

// parsePostgres reads postgres:postgres://…, and the short form postgres://….
func parsePostgres(address string) (URL, error) {
	if strings.HasPrefix(address, "//") {
		address = "postgres:" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return URL{}, errs.Invalidf("postgres: wants the URL of a Postgres database").
			Hintf("write postgres:postgres://USER:PASSWORD@HOST:PORT/DATABASE, with odd characters in the password as %%XX, and #TABLE where the store's table has another name than LiveStore gives it")
	}
	table := u.Fragment
	if table != "" && !tablePattern().MatchString(table) {
		return URL{}, errs.Invalidf("what stands behind # is not the name of a table").
			Hintf("it is TABLE or SCHEMA.TABLE; a # in a password is written %%23")
	}
	address, _, _ = strings.Cut(address, "#")
	return URL{Kind: Postgres, Address: address, Table: table}, nil
}

func tablePattern() *regexp.Regexp {
	return regexp.MustCompile(`^[\pL_][\pL\pN_$-]*(\.[\pL_][\pL\pN_$-]*)?$`)
}
