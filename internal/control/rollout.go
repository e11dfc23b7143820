package control

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

// A Rollout is how far a rollout is in an environment.
type Rollout struct {
	Env       string        `json:"env"`
	Name      string        `json:"name"`
	Version   int64         `json:"version"` // of the row: each transition raises it
	State     rollout.State `json:"state"`
	CreatedAt time.Time     `json:"createdAt"`
	UpdatedAt time.Time     `json:"updatedAt"`
}

// CreateRollout makes a draft, and records that. One that is there already stays as it is.
func (db *DB) CreateRollout(ctx context.Context, env, name string, by By) (Rollout, error) {
	if err := errors.Join(named("environment", env), named("rollout", name), by.check()); err != nil {
		return Rollout{}, err
	}
	var out Rollout
	err := db.tx(ctx, "create the rollout", func(tx *sql.Tx) error {
		state, err := json.Marshal(rollout.State{Phase: rollout.Draft})
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO rollouts (env, name, version, phase, state, created_at, updated_at) VALUES ($1, $2, 1, $3, $4, $5, $5)
			ON CONFLICT (env, name) DO NOTHING`, env, name, string(rollout.Draft), string(state), millis(db.now()))
		if err != nil {
			return err
		}
		if out, err = getRollout(ctx, tx, env, name); err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return db.record(ctx, tx, Entry{Env: env, Actor: by.Actor, Action: "rollout.create", Subject: name, Detail: by.detail(map[string]any{})})
	})
	return out, err
}

const selectRollout = `SELECT env, name, version, state, created_at, updated_at FROM rollouts WHERE env = $1`

// Rollout returns a rollout, or errs.NotFound where nobody created it in the environment.
func (db *DB) Rollout(ctx context.Context, env, name string) (Rollout, error) {
	r, err := getRollout(ctx, db.sql, env, name)
	return r, db.failed(ctx, "read the rollout", err)
}

func getRollout(ctx context.Context, q querier, env, name string) (Rollout, error) {
	got, err := all(ctx, q, scanRollout, selectRollout+` AND name = $2`, env, name)
	if err != nil {
		return Rollout{}, err
	}
	if len(got) == 0 {
		return Rollout{}, errs.NotFoundf("the rollout %s was not started in %s", name, env).Then("headgate rollout start " + name + " --env " + env)
	}
	return got[0], nil
}

func scanRollout(rows *sql.Rows) (r Rollout, err error) {
	var created, updated int64
	var state string
	if err = rows.Scan(&r.Env, &r.Name, &r.Version, &state, &created, &updated); err != nil {
		return r, err
	}
	r.CreatedAt, r.UpdatedAt = fromMillis(created), fromMillis(updated)
	return r, json.Unmarshal([]byte(state), &r.State)
}

// Rollouts are an environment's rollouts, by name.
func (db *DB) Rollouts(ctx context.Context, env string) ([]Rollout, error) {
	out, err := all(ctx, db.sql, scanRollout, selectRollout+` ORDER BY name`, env)
	return out, db.failed(ctx, "list the rollouts", err)
}

// A Transition is what becomes of a rollout. Flags are published where their revision is not yet.
type Transition struct {
	rollout.Decision
	Flags []rollout.Flag
}

// Advance makes a decision about a rollout come true: its state, the stores that open, the flags, and the audit, all
// or nothing. It is compare-and-set: where the row is no longer the one that the decision was about, moved is false
// and nothing changes.
func (db *DB) Advance(ctx context.Context, r Rollout, t Transition, by By) (moved bool, err error) {
	if err := by.check(); err != nil {
		return false, err
	}
	state, err := json.Marshal(t.State)
	if err != nil {
		return false, err
	}
	now := millis(db.now())
	err = db.tx(ctx, "advance the rollout", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE rollouts SET version = version + 1, phase = $4, state = $5, updated_at = $6
			WHERE env = $1 AND name = $2 AND version = $3`, r.Env, r.Name, r.Version, string(t.State.Phase), string(state), now)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		err = batches(Values(t.Open), func(batch []livestore.StoreID) error {
			args := make([]any, 0, 6*len(batch))
			for _, s := range batch {
				args = append(args, r.Env, r.Name, t.State.Attempt, string(s), t.State.Revision, now)
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO rollout_stores (env, rollout, attempt, store, revision, opened_at) VALUES `+
				placeholders(len(batch), 6)+` ON CONFLICT (env, rollout, attempt, store) DO NOTHING`, args...)
			return err
		})
		if err != nil {
			return err
		}
		if t.State.Revision != r.State.Revision {
			if err := db.publish(ctx, tx, r.Env, t.Flags, now); err != nil {
				return err
			}
		}
		moved = true
		if t.Action == "measure" {
			return nil // what was measured is in the state
		}
		return db.record(ctx, tx, Entry{Env: r.Env, Actor: by.Actor, Action: "rollout." + t.Action, Subject: r.Name, Detail: by.through(map[string]any{
			"from": r.State.Phase, "to": t.State.Phase, "step": t.State.Step + 1, "opened": len(t.Open), "revision": t.State.Revision, "reasons": t.Reasons,
		})})
	})
	return moved && err == nil, err
}

// publish publishes flags. A flag that another rollout holds, since it is under way, is errs.Stale: one would take back
// what the other opened.
func (db *DB) publish(ctx context.Context, tx *sql.Tx, env string, flags []rollout.Flag, now int64) error {
	if err := db.serialise(ctx, tx, "flags "+env); err != nil {
		return err
	}
	var held []string
	for _, p := range rollout.Phases() {
		if p.Active() || p == rollout.Drained {
			held = append(held, string(p))
		}
	}
	for _, f := range flags {
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO published_flags (env, key, rollout, revision, definition, published_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (env, key) DO UPDATE SET rollout = excluded.rollout, revision = excluded.revision, definition = excluded.definition,
				published_at = excluded.published_at
			WHERE published_flags.rollout = excluded.rollout OR NOT EXISTS (SELECT 1 FROM rollouts r
				WHERE r.env = published_flags.env AND r.name = published_flags.rollout AND $7 LIKE '%,' || r.phase || ',%')`,
			env, f.Key, f.Rollout, f.Revision, string(text), now, ","+strings.Join(held, ",")+",")
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, errs.New(errs.Stale, "another rollout that is under way has the flag %s", f.Key).
				Hintf("finish that one, or abort it, before this one starts").Then("headgate rollout list --env "+env))
		}
	}
	return nil
}

// PublishedFlags are the flags that the rollouts of an environment published last, by key, and then store.reset, where a
// reset was fired.
func (db *DB) PublishedFlags(ctx context.Context, env string) ([]rollout.Flag, error) {
	out, err := all(ctx, db.sql, func(rows *sql.Rows) (f rollout.Flag, err error) {
		var text string
		if err = rows.Scan(&text); err != nil {
			return f, err
		}
		return f, json.Unmarshal([]byte(text), &f)
	}, `SELECT definition FROM published_flags WHERE env = $1 ORDER BY key`, env)
	if err != nil {
		return nil, db.failed(ctx, "read the published flags", err)
	}
	generations, err := db.Generations(ctx, env)
	if err != nil {
		return nil, err
	}
	if f, ok := rollout.ResetFlag(generations); ok {
		out = append(out, f)
	}
	return out, nil
}

// PublishedStamp is another one after each publication, and after each step of a reset: a look whether PublishedFlags would
// tell something new.
func (db *DB) PublishedStamp(ctx context.Context, env string) (string, error) {
	got, err := all(ctx, db.sql, func(rows *sql.Rows) (string, error) {
		var flags, at, revisions, reset int64
		err := rows.Scan(&flags, &at, &revisions, &reset)
		return fmt.Sprintf("%d.%d.%d.%d", flags, at, revisions, reset), err
	}, `SELECT count(*), COALESCE(max(published_at), 0), CAST(COALESCE(sum(revision), 0) AS BIGINT),
		(SELECT COALESCE(max(updated_at), 0) FROM resets WHERE env = $1) FROM published_flags WHERE env = $1`, env)
	if err != nil {
		return "", db.failed(ctx, "read the published flags", err)
	}
	return got[0], nil
}

// OpenedStores are the stores that an attempt of a rollout opened, by id.
func (db *DB) OpenedStores(ctx context.Context, env, name string, attempt int) ([]livestore.StoreID, error) {
	out, err := all(ctx, db.sql, scanOne[livestore.StoreID], `SELECT store FROM rollout_stores WHERE env = $1 AND rollout = $2 AND attempt = $3 ORDER BY store`,
		env, name, attempt)
	return out, db.failed(ctx, "read the stores of the rollout", err)
}

// EverOpened are the stores that any attempt of a rollout opened, by id: events of the new version are in them only, and
// in those of a rollout that was full.
func (db *DB) EverOpened(ctx context.Context, env, name string) ([]livestore.StoreID, error) {
	out, err := all(ctx, db.sql, scanOne[livestore.StoreID], `SELECT DISTINCT store FROM rollout_stores WHERE env = $1 AND rollout = $2 ORDER BY store`, env, name)
	return out, db.failed(ctx, "read the stores of the rollout", err)
}

func scanOne[T any](rows *sql.Rows) (v T, err error) {
	err = rows.Scan(&v)
	return v, err
}

// A Committed says how many events of a rollout's new version a store's log has.
type Committed struct {
	Store  livestore.StoreID `json:"store"`
	Head   livestore.SeqNum  `json:"head"` // read up to here
	Events int64             `json:"events"`
	OldAt  time.Time         `json:"oldAt,omitzero"` // when an event of the old version was last seen
}

// Committed are the counts of a rollout that were kept, by store.
func (db *DB) Committed(ctx context.Context, env, name string) ([]Committed, error) {
	out, err := all(ctx, db.sql, func(rows *sql.Rows) (c Committed, err error) {
		var old int64
		err = rows.Scan(&c.Store, &c.Head, &c.Events, &old)
		c.OldAt = fromMillis(old)
		return c, err
	}, `SELECT store, head, committed, old_at FROM rollout_events WHERE env = $1 AND rollout = $2 ORDER BY store`, env, name)
	return out, db.failed(ctx, "read the counts", err)
}

// KeepCommitted keeps a count. One that was read further stays.
func (db *DB) KeepCommitted(ctx context.Context, env, name string, c Committed) error {
	return db.tx(ctx, "keep the count", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO rollout_events (env, rollout, store, head, committed, old_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (env, rollout, store) DO UPDATE SET head = excluded.head, committed = excluded.committed, old_at = excluded.old_at
			WHERE excluded.head >= rollout_events.head`, env, name, string(c.Store), int64(c.Head), c.Events, millis(c.OldAt))
		return err
	})
}

// A Setting is something that someone set for an environment: the floor, or a stop.
type Setting struct {
	Value  string    `json:"value"` // the floor's release; empty for a stop
	Actor  string    `json:"actor"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// SetFloor sets the release below which the sync Worker refuses clients, and records that; empty for none.
func (db *DB) SetFloor(ctx context.Context, env, release string, by By) error {
	if err := errors.Join(named("environment", env), by.check()); err != nil {
		return err
	}
	return db.tx(ctx, "set the floor", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO floors (env, release, actor, reason, at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (env) DO UPDATE SET release = excluded.release, actor = excluded.actor, reason = excluded.reason, at = excluded.at`,
			env, release, text(by.Actor), text(by.Reason), millis(db.now()))
		if err != nil {
			return err
		}
		return db.record(ctx, tx, Entry{Env: env, Actor: by.Actor, Action: "floor.set", Subject: release, Detail: by.detail(map[string]any{})})
	})
}

// Floor is the environment's floor; the zero Setting where nobody set one.
func (db *DB) Floor(ctx context.Context, env string) (Setting, error) {
	return db.setting(ctx, `SELECT release, actor, reason, at FROM floors WHERE env = $1`, env)
}

// Stopped is the stop that holds in an environment; the zero Setting where none does.
func (db *DB) Stopped(ctx context.Context, env string) (Setting, error) {
	return db.setting(ctx, `SELECT '', actor, reason, at FROM stops WHERE env = $1`, env)
}

func (db *DB) setting(ctx context.Context, query, env string) (Setting, error) {
	got, err := all(ctx, db.sql, func(rows *sql.Rows) (s Setting, err error) {
		var at int64
		err = rows.Scan(&s.Value, &s.Actor, &s.Reason, &at)
		s.At = fromMillis(at)
		return s, err
	}, query, env)
	if err != nil || len(got) == 0 {
		return Setting{}, db.failed(ctx, "read the setting", err)
	}
	return got[0], nil
}

// Stop holds every advance in an environment until Lift, and records that. A reason is required. A stop that holds
// already keeps its time, and gets the new reason.
func (db *DB) Stop(ctx context.Context, env string, by By) error {
	if err := errors.Join(named("environment", env), by.check()); err != nil {
		return err
	}
	if by.Reason == "" {
		return errs.Invalidf("a stop needs a reason")
	}
	return db.tx(ctx, "stop", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO stops (env, actor, reason, at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (env) DO UPDATE SET actor = excluded.actor, reason = excluded.reason`, env, text(by.Actor), text(by.Reason), millis(db.now()))
		if err != nil {
			return err
		}
		return db.record(ctx, tx, Entry{Env: env, Actor: by.Actor, Action: "stop", Detail: by.detail(map[string]any{})})
	})
}

// Lift ends a stop, and records that. Where none holds, lifted is false.
func (db *DB) Lift(ctx context.Context, env string, by By) (lifted bool, err error) {
	if err := by.check(); err != nil {
		return false, err
	}
	err = db.tx(ctx, "lift the stop", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM stops WHERE env = $1`, env)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		lifted = true
		return db.record(ctx, tx, Entry{Env: env, Actor: by.Actor, Action: "stop.lift", Detail: by.detail(map[string]any{})})
	})
	return lifted && err == nil, err
}

// A Fleet is who was seen in an environment's stores.
type Fleet struct {
	Since time.Time // the first report of a sync Worker; zero for none
	Heard time.Time // the last one
	Seen  map[livestore.StoreID][]rollout.Observation
	watch map[livestore.StoreID]rollout.Watch
}

// Watch says how a store is watched.
func (f Fleet) Watch(store livestore.StoreID) rollout.Watch {
	w := f.watch[store]
	w.Since, w.Heard = f.Since, f.Heard
	return w
}

// Fleet reads who was seen since a time: one query by the indexes, of one moment, whatever the number of stores.
func (db *DB) Fleet(ctx context.Context, env string, since time.Time) (Fleet, error) {
	return db.fleet(ctx, `env = $1`, env, since)
}

// StoreFleet is Fleet for one store.
func (db *DB) StoreFleet(ctx context.Context, env string, store livestore.StoreID, since time.Time) (Fleet, error) {
	return db.fleet(ctx, `env = $1 AND store = $3`, env, since, string(store))
}

func (db *DB) fleet(ctx context.Context, where, env string, since time.Time, store ...any) (Fleet, error) {
	f := Fleet{Seen: map[livestore.StoreID][]rollout.Observation{}, watch: map[livestore.StoreID]rollout.Watch{}}
	seen := `last_seen`
	if !db.Postgres() { // the plus keeps it from the index on last_seen, which is the wrong one: the key has a store's clients together
		seen = `+last_seen`
	}
	_, err := all(ctx, db.sql, func(rows *sql.Rows) (none struct{}, err error) {
		var id livestore.StoreID
		var o rollout.Observation
		var at int64
		err = rows.Scan(&id, &o.Client, &o.Source, &o.Release, &at, &o.Refused)
		o.LastSeen = fromMillis(at)
		switch {
		case o.Source != "":
			f.Seen[id] = append(f.Seen[id], o)
		case id != "":
			f.watch[id] = rollout.Watch{Last: o.LastSeen, Floor: o.Release}
		case o.Client == "first":
			f.Since = o.LastSeen
		default:
			f.Heard = o.LastSeen
		}
		return none, err
	}, `SELECT store, client, source, release, last_seen, refused FROM clients WHERE `+where+` AND `+seen+` >= $2
		UNION ALL SELECT store, '', '', floor, last_at, 0 FROM watches WHERE `+where+`
		UNION ALL SELECT '', 'first', '', '', COALESCE(min(first_at), 0), 0 FROM watches WHERE env = $1
		UNION ALL SELECT '', 'last', '', '', COALESCE(max(last_at), 0), 0 FROM watches WHERE env = $1`,
		slices.Concat([]any{env, millis(since)}, store)...)
	return f, db.failed(ctx, "read who was seen", err)
}
