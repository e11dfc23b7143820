package control

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/hashicorp/go-version"
)

// A Client is an installation of the app, as a store knows it.
type Client struct {
	Store    string
	ID       string // LiveStore's clientId, which is an installation's in one store
	Release  string // that it ran when it was last seen
	LastSeen time.Time
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
			Detail: map[string]any{"clients": read},
		})
	})
	if err != nil {
		return 0, err
	}
	return read, nil
}

func upsertClients(ctx context.Context, tx *sql.Tx, env string, batch []Client) error {
	type key struct{ store, id string }
	newest := map[key]int{} // one INSERT must not meet a row twice
	for i, c := range batch {
		if err := errors.Join(named("store", c.Store), named("client", c.ID), named("release", c.Release)); err != nil {
			return err
		}
		k := key{c.Store, c.ID}
		if j, there := newest[k]; !there || !c.LastSeen.Before(batch[j].LastSeen) {
			newest[k] = i
		}
	}
	args := make([]any, 0, 5*len(newest))
	for i, c := range batch {
		if newest[key{c.Store, c.ID}] == i {
			args = append(args, env, c.Store, c.ID, c.Release, millis(c.LastSeen))
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO clients (env, store, client, release, last_seen) VALUES `+placeholders(len(newest), 5)+`
		ON CONFLICT (env, store, client) DO UPDATE SET release = excluded.release, last_seen = excluded.last_seen
		WHERE excluded.last_seen >= clients.last_seen`, args...)
	return err
}

// A ReleaseCount says how much a release is used.
type ReleaseCount struct {
	Release  string    `json:"release"`
	Clients  int64     `json:"clients"` // an installation counts once per store, as in LiveStore
	Stores   int64     `json:"stores"`
	LastSeen time.Time `json:"lastSeen"`
}

// Census counts the clients of an environment that were seen since a time, by the release they ran, the highest
// version first.
func (db *DB) Census(ctx context.Context, env string, since time.Time) ([]ReleaseCount, error) {
	out, err := all(ctx, db.sql, func(rows *sql.Rows) (c ReleaseCount, err error) {
		var seen int64
		err = rows.Scan(&c.Release, &c.Clients, &c.Stores, &seen)
		c.LastSeen = fromMillis(seen)
		return c, err
	}, `SELECT release, count(*), count(DISTINCT store), max(last_seen) FROM clients WHERE env = $1 AND last_seen >= $2 GROUP BY release`,
		env, millis(since))
	slices.SortFunc(out, func(a, b ReleaseCount) int { return compareReleases(b.Release, a.Release) })
	return out, db.failed(ctx, "read the census", err)
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
