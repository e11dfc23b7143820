package server

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/livestore"
	"headgate/rollout"
	"headgate/rollout/observe"
)

// Who is given flags is kept beside the answers, never before one.
const (
	audienceQueue    = 16_384          // that wait to be kept; more are dropped, and counted
	audienceAgain    = 5 * time.Minute // the same client with the same flags is kept once in that time
	audienceKnown    = 200_000         // clients that are remembered for that
	audiencePerStore = 10_000          // of them, of one store
	audienceEvery    = time.Second
	audienceBatch    = 1_000 // that are kept in one transaction
)

// An audience is the clients that are given flags. It is safe for concurrent use.
type audience struct {
	env   operate.Rollouts
	log   *slog.Logger
	count *prometheus.CounterVec // by result
	queue chan operate.Fetched

	mu    sync.Mutex
	known map[listener]given
	of    map[string]int // clients that are known, by store

	stores   map[livestore.StoreID]bool // the inventory's; flush's alone
	storesAt time.Time
	waiting  []operate.Fetched // could not be kept; flush's alone
}

// A listener asks for one flag, or for all with the key "".
type listener struct{ store, client, key string }

type given struct {
	revision, release string
	at                time.Time
}

func newAudience(env operate.Rollouts, count *prometheus.CounterVec) *audience {
	return &audience{env: env, log: env.Log, count: count, queue: make(chan operate.Fetched, audienceQueue), known: map[listener]given{}, of: map[string]int{}}
}

// note takes down who is given flags of a revision. It never waits. What is no client of the app, and who does not say which
// one it is, is nobody.
func (a *audience) note(who control.Token, attributes map[string]any, revision, key string, flags []rollout.Flag) {
	if who.ID != "" && who.Role != control.RoleClient {
		return
	}
	store, _ := attributes["storeId"].(string)
	client, _ := attributes["clientId"].(string)
	release, _ := attributes["appVersion"].(string)
	if store == "" || client == "" {
		return
	}
	l, now := listener{store, client, key}, a.env.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	last, there := a.known[l]
	if there && last.revision == revision && last.release == release && now.Sub(last.at) < audienceAgain {
		return
	}
	if !plainName(store, observe.MaxStoreID) || !plainName(client, observe.MaxClient) || !there && a.of[store] >= audiencePerStore {
		a.count.WithLabelValues("refused").Inc()
		return
	}
	f := operate.Fetched{Store: livestore.StoreID(store), Client: client, Release: rollout.NoRelease, Flags: flags}
	if v := strings.TrimPrefix(release, "v"); config.IsVersion(v) && len(v) <= observe.MaxName {
		f.Release = v
	}
	select {
	case a.queue <- f:
	default:
		a.count.WithLabelValues("dropped").Inc()
		return
	}
	if len(a.known) >= audienceKnown {
		clear(a.known)
		clear(a.of)
		there = false
	}
	if a.known[l] = (given{revision, release, now}); !there {
		a.of[store]++
	}
}

func plainName(s string, most int) bool {
	return len(s) <= most && !strings.ContainsFunc(s, unicode.IsControl)
}

// follow keeps what was noted until the context ends, and then what is left.
func (a *audience) follow(ctx context.Context) error {
	tick := time.NewTicker(audienceEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			a.flush(last)
			return nil
		}
	}
}

// flush keeps all that waits. What can't be kept waits on, and what comes meanwhile is dropped when the queue is full.
func (a *audience) flush(ctx context.Context) {
	for a.keep(ctx) {
	}
}

// keep keeps some of what waits, and reports whether there may be more to keep now.
func (a *audience) keep(ctx context.Context) bool {
	for len(a.waiting) < audienceBatch {
		select {
		case f := <-a.queue:
			a.waiting = append(a.waiting, f)
			continue
		default:
		}
		break
	}
	if len(a.waiting) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	batch, err := a.listed(ctx)
	if err == nil && len(batch) > 0 {
		err = a.env.Fetched(ctx, batch)
	}
	if err != nil {
		if ctx.Err() == nil || ctx.Err() == context.DeadlineExceeded {
			a.log.Warn("who is given flags can't be kept; it waits", "error", err)
		}
		return false
	}
	a.count.WithLabelValues("kept").Add(float64(len(batch)))
	a.count.WithLabelValues("unknown_store").Add(float64(len(a.waiting) - len(batch)))
	a.waiting = a.waiting[:0]
	return true
}

// listed are those that wait and whose stores the inventory has: whoever has a client's token can name any.
func (a *audience) listed(ctx context.Context) ([]operate.Fetched, error) {
	if now := a.env.Now(); now.Sub(a.storesAt) > audienceEvery*10 {
		stores, err := a.env.Inventory(ctx)
		if err != nil {
			return nil, err
		}
		a.stores, a.storesAt = make(map[livestore.StoreID]bool, len(stores)), now
		for _, s := range stores {
			a.stores[s.ID] = true
		}
	}
	out := make([]operate.Fetched, 0, len(a.waiting))
	for _, f := range a.waiting {
		if a.stores[f.Store] {
			out = append(out, f)
		}
	}
	return out, nil
}
