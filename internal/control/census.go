package control

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/go-version"

	"headgate/rollout"
)

// A Client is an installation of the app, as a store knows it.
type Client struct {
	Store    string
	ID       string // LiveStore's clientId, which is an installation's in one store
	Release  string // that it ran when it was last seen
	LastSeen time.Time
	Source   rollout.Source // who says it; empty for an import
	Refused  bool           // the sync Worker refused it for its release, before it could pull
	Floor    string         // that the sync Worker enforced; of reports by it only
}

// Observe takes over reports that were just received, whatever time they name: only the receipt counts. Reports by the
// sync Worker make their stores watched.
func (db *DB) Observe(ctx context.Context, env string, clients []Client) error {
	if err := named("environment", env); err != nil {
		return err
	}
	now := fromMillis(millis(db.now()))
	return db.tx(ctx, "keep the reports", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "census "+env); err != nil {
			return err
		}
		return batches(func(yield func(Client, error) bool) {
			for _, c := range clients {
				c.LastSeen = now
				if !yield(c, nil) {
					return
				}
			}
		}, func(batch []Client) error { return upsertClients(ctx, tx, env, batch) })
	})
}

// ImportCensus takes over what is known of an environment's clients, and records that with where it came from. A client
// that is known already keeps what is newer. It returns how many were read. All are taken over or, when the sequence
// yields an error, none. The sequence must not write to the database.
func (db *DB) ImportCensus(ctx context.Context, env, source string, clients iter.Seq2[Client, error], by By) (int64, error) {
	var read int64
	if err := errors.Join(named("environment", env), by.check()); err != nil {
		return 0, err
	}
	err := db.tx(ctx, "import the census", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "census "+env); err != nil {
			return err
		}
		err := batches(clients, func(batch []Client) error {
			read += int64(len(batch))
			return upsertClients(ctx, tx, env, batch)
		})
		if err != nil {
			return err
		}
		return db.record(ctx, tx, Entry{
			Env: env, Actor: by.Actor, Action: "census.import", Subject: source,
			Detail: by.through(map[string]any{"clients": read}),
		})
	})
	if err != nil {
		return 0, err
	}
	return read, nil
}

func upsertClients(ctx context.Context, tx *sql.Tx, env string, batch []Client) error {
	type key struct {
		store, id string
		source    rollout.Source
	}
	newest := map[key]int{} // one INSERT must not meet a row twice
	for i := range batch {
		c := &batch[i]
		if err := errors.Join(named("store", c.Store), named("client", c.ID), named("release", c.Release)); err != nil {
			return err
		}
		if c.Source == "" {
			c.Source = rollout.FromImport
		}
		k := key{c.Store, c.ID, c.Source}
		if j, there := newest[k]; !there || !c.LastSeen.Before(batch[j].LastSeen) {
			newest[k] = i
		}
	}
	args := make([]any, 0, 7*len(newest))
	for i, c := range batch {
		if newest[key{c.Store, c.ID, c.Source}] == i {
			refused := 0
			if c.Refused {
				refused = 1
			}
			args = append(args, env, c.Store, c.ID, string(c.Source), c.Release, millis(c.LastSeen), refused)
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO clients (env, store, client, source, release, last_seen, refused) VALUES `+placeholders(len(newest), 7)+`
		ON CONFLICT (env, store, client, source) DO UPDATE SET release = excluded.release, last_seen = excluded.last_seen, refused = excluded.refused
		WHERE excluded.last_seen >= clients.last_seen`, args...)
	if err != nil {
		return err
	}
	return watch(ctx, tx, env, batch)
}

// watch keeps since when, until when and with which floor the sync Worker reported.
func watch(ctx context.Context, tx *sql.Tx, env string, batch []Client) error {
	type span struct {
		first, last time.Time
		floor       string
	}
	spans := map[string]span{}
	for _, c := range batch {
		if c.Source != rollout.FromSync {
			continue
		}
		s, there := spans[c.Store]
		if !there || c.LastSeen.Before(s.first) {
			s.first = c.LastSeen
		}
		if !c.LastSeen.Before(s.last) {
			s.last, s.floor = c.LastSeen, c.Floor
		}
		spans[c.Store] = s
	}
	if len(spans) == 0 {
		return nil
	}
	var args []any
	for _, store := range slices.Sorted(maps.Keys(spans)) {
		s := spans[store]
		args = append(args, env, store, millis(s.first), millis(s.last), s.floor)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO watches (env, store, first_at, last_at, floor) VALUES `+placeholders(len(spans), 5)+`
		ON CONFLICT (env, store) DO UPDATE SET
			first_at = CASE WHEN excluded.first_at < watches.first_at THEN excluded.first_at ELSE watches.first_at END,
			floor = CASE WHEN excluded.last_at >= watches.last_at THEN excluded.floor ELSE watches.floor END,
			last_at = CASE WHEN excluded.last_at > watches.last_at THEN excluded.last_at ELSE watches.last_at END`, args...)
	return err
}

// authority orders what the sources say of a client: what the sync backend reports comes before what anybody says of
// himself, and then the latest.
const authority = `CASE source WHEN 'sync' THEN 0 ELSE 1 END, last_seen DESC, source`

// A ReleaseCount says how much a release is used.
type ReleaseCount struct {
	Release  string    `json:"release"`
	Clients  int64     `json:"clients"` // an installation counts once per store, as in LiveStore
	Stores   int64     `json:"stores"`
	LastSeen time.Time `json:"lastSeen"`
}

// withoutTools is a condition on clients that leaves programs out that replay nothing, see rollout.Tools. Its arguments
// come after the first n.
func withoutTools(n int) (condition string, args []any) {
	for i, prefix := range rollout.Tools() {
		condition += fmt.Sprintf(" AND substr(client, 1, %d) <> $%d", len(prefix), n+i+1)
		args = append(args, prefix)
	}
	return condition, args
}

// Census counts the clients of an environment that were seen since a time, by the release they ran, the highest
// version first. headgate's own writers and LiveStore's devtools are none.
func (db *DB) Census(ctx context.Context, env string, since time.Time) ([]ReleaseCount, error) {
	counted, tools := withoutTools(2)
	out, err := all(ctx, db.sql, func(rows *sql.Rows) (c ReleaseCount, err error) {
		var seen int64
		err = rows.Scan(&c.Release, &c.Clients, &c.Stores, &seen)
		c.LastSeen = fromMillis(seen)
		return c, err
	}, `SELECT release, count(*), count(DISTINCT store), max(last_seen) 
		FROM (SELECT store, release, last_seen, row_number() OVER (PARTITION BY store, client ORDER BY `+authority+`) AS nth
			FROM clients WHERE env = $1 AND last_seen >= $2`+counted+`) AS latest WHERE nth = 1 GROUP BY release`,
		slices.Concat([]any{env, millis(since)}, tools)...)
	slices.SortFunc(out, func(a, b ReleaseCount) int { return compareReleases(b.Release, a.Release) })
	return out, db.failed(ctx, "read the census", err)
}

// ClientsOf are the clients that the census knows of a store, by id, without tools.
func (db *DB) ClientsOf(ctx context.Context, env, store string) ([]Client, error) {
	counted, tools := withoutTools(2)
	out, err := all(ctx, db.sql, func(rows *sql.Rows) (c Client, err error) {
		var seen int64
		err = rows.Scan(&c.Store, &c.ID, &c.Release, &seen)
		c.LastSeen = fromMillis(seen)
		return c, err
	}, `SELECT store, client, release, last_seen
		FROM (SELECT store, client, release, last_seen, row_number() OVER (PARTITION BY client ORDER BY `+authority+`) AS nth
			FROM clients WHERE env = $1 AND store = $2`+counted+`) AS latest WHERE nth = 1 ORDER BY client`,
		slices.Concat([]any{env, store}, tools)...)
	return out, db.failed(ctx, "read the census of a store", err)
}

// A SeenStore is a store that the census knows clients of.
type SeenStore struct {
	Store    string   `json:"store"`
	Releases []string `json:"releases"` // that they were last seen on, by name
}

// SeenStores yields the stores of an environment that clients were seen in, by id, after one or "". Tools are no clients.
func (db *DB) SeenStores(ctx context.Context, env, after string) iter.Seq2[SeenStore, error] {
	counted, tools := withoutTools(3)
	return pagesAfter(SeenStore{Store: after}, func(after SeenStore) (out []SeenStore, err error) {
		_, err = all(ctx, db.sql, func(rows *sql.Rows) (none struct{}, err error) {
			var store, release string
			err = rows.Scan(&store, &release)
			if n := len(out) - 1; n >= 0 && out[n].Store == store {
				out[n].Releases = append(out[n].Releases, release)
			} else {
				out = append(out, SeenStore{Store: store, Releases: []string{release}})
			}
			return none, err
		}, `SELECT DISTINCT store, release FROM clients WHERE env = $1`+counted+` AND store IN
			(SELECT DISTINCT store FROM clients WHERE env = $1 AND store > $2`+counted+` ORDER BY store LIMIT $3) ORDER BY store, release`,
			slices.Concat([]any{env, after.Store, pageSize}, tools)...)
		return out, db.failed(ctx, "read which stores were seen", err)
	})
}

// compareReleases orders by version; what is none comes before.
func compareReleases(a, b string) int {
	v, errA := version.NewSemver(a)
	w, errB := version.NewSemver(b)
	switch {
	case errA == nil && errB == nil:
		return cmp.Or(v.Compare(w), cmp.Compare(a, b))
	case errA == nil:
		return 1
	case errB == nil:
		return -1
	}
	return cmp.Compare(a, b)
}
