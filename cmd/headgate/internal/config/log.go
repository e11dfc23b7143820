package config

import (
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"

	"headgate/internal/errs"
)

// A LogURL says where a store's events are.
type LogURL struct {
	// Kind is "file" (a client's eventlog database), "dump" (what `livestore sync export` wrote), "sync-cf" (a sync
	// backend), "sync-cf+http" (the same without WebSockets) or "postgres" (the table of a store).
	Kind string
	Path string // absolute; of a file or dump
	// Address is a sync backend's URL, or a database's with a table's name behind #. It may hold a password.
	Address string
}

// remote reports whether all stores of an environment can be behind the same URL.
func (u LogURL) remote() bool {
	return u.Kind == "sync-cf" || u.Kind == "sync-cf+http" || u.Kind == "postgres"
}

const logHint = "write file:PATH for a client's eventlog database, dump:PATH for what `livestore sync export` wrote, " +
	"sync-cf:URL for a sync backend (sync-cf+http:URL where no WebSocket gets through), or postgres:postgres://USER@HOST/DATABASE"

func (d decoder) logURL(n *yaml.Node, path string, c *Config) (LogURL, error) {
	v, err := d.text(n, path)
	if err != nil {
		return LogURL{}, err
	}
	u, err := c.ParseLog(v)
	if e := errs.As(err); e != nil {
		e.Msg = path + ": " + e.Msg
		return u, e.At("%s:%d", d.file, n.Line).Then("headgate help config")
	}
	return u, err
}

// ParseLog reads where a store's events are, from outside of the file too. A relative path starts at the file's
// directory. Its errors say no place, and quote no address, which may hold a password.
func (c *Config) ParseLog(v string) (LogURL, error) {
	kind, target, ok := strings.Cut(v, ":")
	switch {
	case !ok:
		return LogURL{}, errs.Invalidf("the URL has no scheme").Hintf(logHint)
	case kind == "sync-cf", kind == "sync-cf+http":
		u, err := url.Parse(target) // what is wrong with it quotes it, and it may hold a secret
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ws" && u.Scheme != "wss" {
			return LogURL{}, errs.Invalidf("%s: wants the http, https, ws or wss URL of a sync backend", kind).
				Hintf("write the URL that the app has for makeWsSync or makeHttpSync: %s:https://sync.example.org", kind)
		}
		return LogURL{Kind: kind, Address: target}, nil
	case kind == "postgres":
		if strings.HasPrefix(target, "//") {
			target = "postgres:" + target
		}
		u, err := url.Parse(target)
		if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
			return LogURL{}, errs.Invalidf("postgres: wants the URL of a Postgres database").
				Hintf("write postgres:postgres://USER:${PASSWORD}@HOST:PORT/DATABASE, with odd characters in the password as %%XX")
		}
		return LogURL{Kind: kind, Address: target}, nil
	case kind != "file" && kind != "dump":
		return LogURL{}, errs.Invalidf("unknown scheme %q", kind).Hintf(logHint)
	case strings.HasPrefix(target, "//"):
		return LogURL{}, errs.Invalidf("`%s://` is not understood", kind).Hintf("write %s: and the path, relative to this file or absolute", kind)
	case target == "":
		return LogURL{}, errs.Invalidf("the path is missing").Hintf(logHint)
	}
	return LogURL{Kind: kind, Path: c.abs(target)}, nil
}

// sharedLog reads the log of all stores of an environment that name none.
func (d decoder) sharedLog(n *yaml.Node, path string, c *Config, into *LogURL) error {
	u, err := d.logURL(n, path, c)
	if err != nil {
		return err
	}
	if !u.remote() || u.Kind == "postgres" && strings.Contains(u.Address, "#") {
		return d.errorf(n, "%s holds one store only, so it can't be the log of all", path).
			Hintf("write it as `log:` of that store; here may stand sync-cf:URL, or postgres: without #TABLE")
	}
	*into = u
	return nil
}

// shareLog gives the environment's log to its stores that name none.
func (d decoder) shareLog(e *Environment, path string) error {
	for i := range e.Stores {
		s := &e.Stores[i]
		if s.Log.Kind != "" {
			continue
		}
		if e.Log.Kind == "" {
			return d.errorf(&yaml.Node{Line: s.Line}, "%s.stores[%d].log is missing", path, i).
				Hintf("add `log:` here, or for all stores beside `stores:`")
		}
		s.Log = e.Log
	}
	return nil
}
