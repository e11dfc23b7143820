package control

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"net/url"
	"strings"
	"time"

	"headgate/internal/errs"
)

// A StoreState says whether headgate may commit to a store. The words are stable.
type StoreState string

const (
	StoreActive  StoreState = "active"
	StoreHold    StoreState = "hold"    // nothing is pushed to it
	StoreDeleted StoreState = "deleted" // it is not contacted at all
)

// A Store is a store of the inventory, and what headgate found out about it.
type Store struct {
	ID     string
	Schema string
	// Log says where the log is, for people and to notice that it moved. Sync leaves passwords and parameters out: whoever
	// opens the log takes its address from the configuration.
	Log    string
	Region string
	State  StoreState
	Note   string // why it is in this state, may be empty

	// What SetHead said; not of the inventory.
	Head      int64  // the highest that the store ever answered, 0 before it did
	BackendID string // empty where the log has none

	SeenAt time.Time // when it last was in the inventory
}

// A StoreFilter chooses stores; what is empty admits all.
type StoreFilter struct {
	States []StoreState
	Schema string
	After  string // stores from after this id on
}

// A SyncResult says what an inventory changed.
type SyncResult struct {
	Stores  int64 `json:"stores"`  // in the inventory
	Added   int64 `json:"added"`   // for the first time
	Changed int64 `json:"changed"` // that were known, with another schema, log, region, state or note
	Held    int64 `json:"held"`    // active ones that are not in it any more
}

// Sync takes over an inventory, and records what it changed. It updates a store's ID, Schema, Log, Region, State and
// Note. An active store that is missing gets the state hold. A store that is named twice is errs.Invalid, and then, as
// when the sequence yields an error, nothing changes. The sequence must not write to the database.
func (db *DB) Sync(ctx context.Context, env string, stores iter.Seq2[Store, error], by By) (SyncResult, error) {
	var r SyncResult
	if err := errors.Join(named("environment", env), by.check()); err != nil {
		return r, err
	}
	err := db.tx(ctx, "take over the inventory", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "inventory "+env); err != nil {
			return err
		}
		var before, after, seen int64
		err := tx.QueryRowContext(ctx, `SELECT count(*), COALESCE(max(seen_at), 0) FROM stores WHERE env = $1`, env).Scan(&before, &seen)
		if err != nil {
			return err
		}
		stamp := max(millis(db.now()), seen+1) // of this inventory only, even where the clock went back
		var written int64
		err = batches(stores, func(batch []Store) error {
			n, err := syncStores(ctx, tx, env, batch, stamp)
			written += n
			r.Stores += int64(len(batch))
			return err
		})
		if err != nil {
			return err
		}
		note := "not in the inventory since " + fromMillis(stamp).Format(time.RFC3339)
		held, err := tx.ExecContext(ctx, `UPDATE stores SET state = 'hold', note = $3 WHERE env = $1 AND seen_at < $2 AND state = 'active'`,
			env, stamp, note)
		if err != nil {
			return err
		}
		if r.Held, err = held.RowsAffected(); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM stores WHERE env = $1`, env).Scan(&after); err != nil {
			return err
		}
		r.Added, r.Changed = after-before, written-(after-before)
		if r.Added+r.Changed+r.Held == 0 {
			return nil
		}
		return db.record(ctx, tx, Entry{Env: env, Actor: by.Actor, Action: "inventory.sync", Detail: r})
	})
	if err != nil {
		return SyncResult{}, err
	}
	return r, nil
}

// syncStores writes the stores that are new or changed, and returns how many those are.
func syncStores(ctx context.Context, tx *sql.Tx, env string, batch []Store, stamp int64) (int64, error) {
	args := make([]any, 0, 7*len(batch))
	seen := []any{env, stamp}
	ids := map[string]bool{}
	for _, s := range batch {
		if err := named("store", s.ID); err != nil {
			return 0, err
		}
		if s.State != StoreActive && s.State != StoreHold && s.State != StoreDeleted {
			return 0, errs.Invalidf("store %s: the state %q is none of active, hold and deleted", s.ID, s.State)
		}
		if ids[s.ID] {
			return 0, twice(s.ID)
		}
		ids[s.ID] = true
		seen = append(seen, s.ID)
		args = append(args, env, s.ID, s.Schema, withoutSecrets(s.Log), s.Region, string(s.State), s.Note)
	}
	written, err := tx.ExecContext(ctx, `INSERT INTO stores (env, id, schema, log, region, state, note) VALUES `+placeholders(len(batch), 7)+`
		ON CONFLICT (env, id) DO UPDATE SET schema = excluded.schema, log = excluded.log, region = excluded.region,
			state = excluded.state, note = excluded.note
		WHERE (stores.schema, stores.log, stores.region, stores.state, stores.note)
			<> (excluded.schema, excluded.log, excluded.region, excluded.state, excluded.note)`,
		args...)
	if err != nil {
		return 0, err
	}
	marked, err := tx.ExecContext(ctx, `UPDATE stores SET seen_at = $2 WHERE env = $1 AND seen_at < $2 AND id IN (`+list(3, len(batch))+`)`, seen...)
	if err != nil {
		return 0, err
	}
	if n, err := marked.RowsAffected(); err != nil || n != int64(len(batch)) {
		return 0, errors.Join(err, twice("one of "+batch[0].ID+" to "+batch[len(batch)-1].ID))
	}
	return written.RowsAffected()
}

func twice(store string) error { return errs.Invalidf("store %s is in the inventory twice", store) }

// withoutSecrets is an address without password, query and fragment parameters: any of them may hold a token.
func withoutSecrets(log string) string {
	scheme, rest, ok := strings.Cut(log, ":")
	if !ok || !strings.Contains(rest, "://") && !strings.HasPrefix(rest, "//") {
		return log // file:PATH, dump:PATH
	}
	nested := !strings.HasPrefix(rest, "//") // sync-cf:https://…
	if !nested {
		rest = log
	}
	u, err := url.Parse(rest)
	if err != nil {
		return scheme + ":"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	u.RawQuery = ""
	if nested {
		return scheme + ":" + u.String()
	}
	return u.String()
}

// Stores yields an environment's stores by id, a page at a time.
func (db *DB) Stores(ctx context.Context, env string, f StoreFilter) iter.Seq2[Store, error] {
	return pagesAfter(Store{ID: f.After}, func(after Store) ([]Store, error) {
		out, err := all(ctx, db.sql, scanStore, `SELECT id, schema, log, region, state, note, head, backend_id, seen_at FROM stores
			WHERE env = $1 AND id > $2 AND ($3 = '' OR $3 LIKE '%,' || state || ',%') AND ($4 = '' OR schema = $4) ORDER BY id LIMIT $5`,
			env, after.ID, words(f.States), f.Schema, pageSize)
		return out, db.failed(ctx, "list the stores", err)
	})
}

func scanStore(rows *sql.Rows) (s Store, err error) {
	var seen int64
	err = rows.Scan(&s.ID, &s.Schema, &s.Log, &s.Region, &s.State, &s.Note, &s.Head, &s.BackendID, &seen)
	s.SeenAt = fromMillis(seen)
	return s, err
}

// Store returns one store, or errs.NotFound.
func (db *DB) Store(ctx context.Context, env, id string) (Store, error) {
	s, err := db.store(ctx, db.sql, env, id)
	return s, db.failed(ctx, "read the store", err)
}

func (db *DB) store(ctx context.Context, q querier, env, id string) (Store, error) {
	got, err := all(ctx, q, scanStore, `SELECT id, schema, log, region, state, note, head, backend_id, seen_at FROM stores
		WHERE env = $1 AND id = $2`, env, id)
	if err != nil {
		return Store{}, err
	}
	if len(got) == 0 {
		return Store{}, errs.NotFoundf("environment %q has no store %q in its inventory", env, id).
			Hintf("headgate contacts no store that is not in the inventory, since reading one creates it")
	}
	return got[0], nil
}

// SetHead keeps the head and the backend id that a store answered with; an empty id says nothing. Known values are
// not made worse: where a store that had events answers 0, vanished is true; another backend id, or a head that is lower
// and not 0, is errs.Refused. In none of these cases may anything be pushed. A store that is not in the inventory is
// errs.NotFound.
func (db *DB) SetHead(ctx context.Context, env, store string, head int64, backendID string) (vanished bool, err error) {
	err = db.tx(ctx, "keep the head of store "+store, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE stores SET head = $3, backend_id = CASE WHEN $4 = '' THEN backend_id ELSE $4 END
			WHERE env = $1 AND id = $2 AND head <= $3 AND (backend_id = '' OR $4 = '' OR backend_id = $4)`, env, store, head, backendID)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 1 {
			return err
		}
		known, err := db.store(ctx, tx, env, store)
		if err != nil {
			return err
		}
		vanished = known.Vanished(head)
		if vanished {
			return nil
		}
		return known.Compare(env, head, backendID)
	})
	return vanished, err
}

// Ask has a store say how far it goes, and keeps that as [DB.SetHead] does. An answer that is behind what is known may
// have been overtaken: while it was on its way somebody else committed, and kept a later one. So it asks once more then.
func (db *DB) Ask(ctx context.Context, env, store string, ask func(context.Context) (head int64, backendID string, err error)) (vanished bool, err error) {
	for again := false; ; again = true {
		head, id, err := ask(ctx)
		if err != nil {
			return false, err
		}
		vanished, err = db.SetHead(ctx, env, store, head, id)
		if again || !vanished && errs.CodeOf(err) != errs.Refused {
			return vanished, err
		}
	}
}

// Vanished reports whether a store that had events answers that it has none.
func (s Store) Vanished(head int64) bool { return head == 0 && s.Head > 0 }

// Compare compares what a store of env answers with what is known of it, and changes nothing: a store that vanished, that is on
// another backend or that has got shorter is errs.Refused.
func (s Store) Compare(env string, head int64, backendID string) error {
	switch {
	case s.Vanished(head):
		return VanishedError(env, s.ID)
	case backendID != "" && s.BackendID != "" && backendID != s.BackendID:
		return errs.Refusedf("store %s is on another backend than before: %s, it was %s", s.ID, backendID, s.BackendID).
			Hintf("clients that knew the former one will not sync with it; nothing was committed. If that was meant, forget the store").
			Then(showCommand(env, s.ID)).Then(forgetCommand(env, s.ID))
	case head < s.Head:
		return errs.Refusedf("store %s ends at e%d, it ended at e%d before", s.ID, head, s.Head).
			Hintf("a log never gets shorter: was the backend restored from a backup? Events e%d to e%d are missing", head+1, s.Head).
			Then(showCommand(env, s.ID)).Then(forgetCommand(env, s.ID))
	}
	return nil
}
