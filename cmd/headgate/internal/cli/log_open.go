package cli

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
	"headgate/internal/livestore/eventlog/openlog"
)

// A storeLog is a log that a command is about.
type storeLog struct {
	store   livestore.StoreID // empty where nobody said
	url     openlog.URL
	payload func(context.Context) (json.RawMessage, error) // nil for none
}

// name is how the log is called in results: by its store, or its place.
func (l storeLog) name() string {
	if l.store != "" {
		return string(l.store)
	}
	return l.url.String()
}

// open opens the log. A dump says which store it is of.
func (l *storeLog) open(ctx context.Context) (eventlog.Reader, error) {
	r, err := openlog.Open(ctx, l.url, l.options())
	if err != nil {
		return nil, err
	}
	if d, ok := r.(*dumplog.Reader); ok {
		l.store = d.Header().StoreID
	}
	return r, nil
}

func (l *storeLog) options() openlog.Options {
	return openlog.Options{StoreID: l.store, Payload: l.payload}
}

// storeLog returns the log of a store as headgate.yaml lists it.
func (a *app) storeLog(cfg *config.Config, env config.Environment, s config.Store) (storeLog, error) {
	u := openlog.URL{Kind: openlog.Kind(s.Log.Kind), Path: s.Log.Path}
	if s.Log.Address != "" {
		var err error
		if u, err = openlog.Parse(s.Log.Kind+":"+s.Log.Address, cfg.Dir); err != nil {
			if e := errs.As(err); e != nil && e.Where == "" {
				e.At("%s", cfg.Where(s.Line))
			}
			return storeLog{}, err
		}
	}
	return storeLog{store: s.ID, url: u, payload: a.auths.of(cfg, env, a).Payload(s.ID)}, nil
}

// openStore opens the log of a store that headgate.yaml lists, to read it. A log that can be appended to is an
// [eventlog.Appender].
func (a *app) openStore(ctx context.Context, cfg *config.Config, env config.Environment, s config.Store) (eventlog.Reader, error) {
	l, err := a.storeLog(cfg, env, s)
	if err != nil {
		return nil, err
	}
	return l.open(ctx)
}

// openAppender opens the log of a store that headgate.yaml lists, to append to it. A dump is errs.Refused, and a client's
// log where the client may be running.
func (a *app) openAppender(ctx context.Context, cfg *config.Config, env config.Environment, s config.Store) (eventlog.Appender, error) {
	l, err := a.storeLog(cfg, env, s)
	if err != nil {
		return nil, err
	}
	opt := l.options()
	opt.Now, opt.ForceClosed = a.now, a.forceClosed
	if l.url.Kind == openlog.File {
		if opt.SchemaHash, err = schemaHashes(cfg, s.Schema); err != nil {
			return nil, err
		}
	}
	return openlog.OpenAppender(ctx, l.url, opt)
}

// schemaHashes returns what knows the hashes of the events' schemas: as the newest recorded release that has the event
// defines it. LiveStore writes them into a client's own log.
func schemaHashes(cfg *config.Config, schemaName string) (func(event string) (int64, bool), error) {
	releases, err := releaseDir(cfg).LoadAll(schemaName)
	if err != nil {
		return nil, err
	}
	return func(event string) (int64, bool) {
		for _, r := range slices.Backward(releases) {
			if e, ok := r.Event(event); ok {
				hash, err := strconv.ParseInt(e.SchemaHash, 10, 64)
				return hash, err == nil
			}
		}
		return 0, false
	}, nil
}

// auths keeps one Auth per environment, so that what a command said is used for all that the run does. It is safe for
// several goroutines.
type auths struct {
	mu    sync.Mutex
	byEnv map[string]*openlog.Auth
}

// of returns nil where the environment has none.
func (k *auths) of(cfg *config.Config, env config.Environment, a *app) *openlog.Auth {
	if env.Auth.Line == 0 {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	auth := k.byEnv[env.Name]
	if auth != nil {
		return auth
	}
	where := cfg.Where(env.Auth.Line)
	switch j := env.Auth.JWT; {
	case env.Auth.Command != nil:
		auth = openlog.CommandAuth(env.Auth.Command, cfg.Dir, where, a.now)
	case j != nil:
		auth = openlog.JWTAuth(openlog.JWT{Key: j.Key, KeyFile: j.KeyFile, Alg: j.Alg, Claims: j.Claims, TTL: j.TTL, Field: j.Field}, where, a.now)
	default:
		auth = openlog.StaticAuth(env.Auth.Payload)
	}
	if k.byEnv == nil {
		k.byEnv = map[string]*openlog.Auth{}
	}
	k.byEnv[env.Name] = auth
	return auth
}
