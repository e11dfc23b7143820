package control

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"headgate/internal/errs"
)

// A Run is one migration on many stores.
type Run struct {
	ID        string          `json:"id"` // unique in the database
	Env       string          `json:"env"`
	Migration string          `json:"migration"`
	Checksum  string          `json:"checksum"` // of the migration's file, when the run began
	State     State           `json:"state"`
	Actor     string          `json:"actor"` // who began it
	CreatedAt time.Time       `json:"createdAt"`
	EndedAt   time.Time       `json:"endedAt,omitzero"`
	Options   json.RawMessage `json:"options"` // what the runner needs to go on with it; {} for nothing
}

// A RunStore is a store that a new run is for.
type RunStore struct {
	Store string
	Wave  int   // 0 is the first
	Due   int64 // events that the preview found due, 0 when there was none
}

// CreateRun makes a pending run by by.Actor with all its stores pending, and records that. Each store must be active in
// the inventory of the run's environment, otherwise the run is errs.Refused. Of r, CreateRun takes the ID, Env, Migration,
// Checksum and Options. When the sequence yields an error nothing is made. The sequence must not write to the database.
func (db *DB) CreateRun(ctx context.Context, r Run, stores iter.Seq2[RunStore, error], by By) (Run, error) {
	err := errors.Join(named("run", r.ID), named("environment", r.Env), named("migration", r.Migration), by.check())
	if err != nil {
		return Run{}, err
	}
	r.State, r.Actor, r.CreatedAt, r.EndedAt = Pending, text(by.Actor), fromMillis(millis(db.now())), time.Time{}
	if len(r.Options) == 0 {
		r.Options = json.RawMessage("{}")
	}
	err = db.tx(ctx, "create the run", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "left out "+r.Env); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO runs (id, env, migration, checksum, state, actor, created_at, ended_at, options)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8) ON CONFLICT (id) DO NOTHING`,
			r.ID, r.Env, r.Migration, r.Checksum, string(r.State), r.Actor, millis(r.CreatedAt), string(r.Options))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return errs.Invalidf("there is a run %s already", r.ID)
		}
		n := 0
		err = batches(stores, func(batch []RunStore) error {
			n += len(batch)
			return insertStores(ctx, tx, r, batch)
		})
		if err != nil {
			return err
		}
		if err := onlyActive(ctx, tx, r); err != nil {
			return err
		}
		return db.record(ctx, tx, Entry{Env: r.Env, Actor: r.Actor, Action: "run.create", Subject: r.ID, Detail: by.detail(map[string]any{
			"migration": r.Migration, "checksum": r.Checksum, "stores": n, "options": r.Options,
		})})
	})
	if err != nil {
		return Run{}, err
	}
	return r, nil
}

func insertStores(ctx context.Context, tx *sql.Tx, r Run, batch []RunStore) error {
	args := make([]any, 0, 7*len(batch))
	for _, s := range batch {
		args = append(args, r.ID, s.Store, s.Wave, string(Pending), s.Due, s.Due, millis(r.CreatedAt))
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO store_runs (run_id, store, wave, state, due, expected, updated_at) VALUES `+placeholders(len(batch), 7)+`
		ON CONFLICT (run_id, store) DO NOTHING`, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n != int64(len(batch)) {
		return errs.Invalidf("a store is in the run twice")
	}
	ids := make([]string, len(batch))
	for i, s := range batch {
		ids[i] = s.Store
	}
	return takeIn(ctx, tx, r.Env, r.Migration, ids)
}

// onlyActive refuses a run with a store that may not be pushed to.
func onlyActive(ctx context.Context, tx *sql.Tx, r Run) error {
	type other struct{ store, state string }
	others, err := all(ctx, tx, func(rows *sql.Rows) (o other, err error) {
		err = rows.Scan(&o.store, &o.state)
		return o, err
	}, `SELECT store_runs.store, COALESCE(stores.state, '') FROM store_runs LEFT JOIN stores ON stores.env = $2 AND stores.id = store_runs.store
		WHERE store_runs.run_id = $1 AND (stores.state IS NULL OR stores.state <> 'active') ORDER BY store_runs.store LIMIT 1`, r.ID, r.Env)
	if err != nil || len(others) == 0 {
		return err
	}
	if others[0].state == "" {
		return errs.Refusedf("store %s is not in the inventory of %s", others[0].store, r.Env).
			Hintf("headgate contacts no store that is not in the inventory, since reading one creates it")
	}
	return errs.Refusedf("store %s of %s is not active: its state is %s", others[0].store, r.Env, others[0].state)
}

// Run returns a run, or errs.NotFound.
func (db *DB) Run(ctx context.Context, id string) (Run, error) {
	r, err := getRun(ctx, db.sql, id)
	return r, db.failed(ctx, "read the run", err)
}

func getRun(ctx context.Context, q querier, id string) (Run, error) {
	got, err := all(ctx, q, scanRun, `SELECT id, env, migration, checksum, state, actor, created_at, ended_at, options FROM runs WHERE id = $1`, id)
	if err != nil {
		return Run{}, err
	}
	if len(got) == 0 {
		return Run{}, errs.NotFoundf("there is no run %q", id)
	}
	return got[0], nil
}

func scanRun(rows *sql.Rows) (r Run, err error) {
	var created, ended int64
	var options string
	err = rows.Scan(&r.ID, &r.Env, &r.Migration, &r.Checksum, &r.State, &r.Actor, &created, &ended, &options)
	r.CreatedAt, r.EndedAt, r.Options = fromMillis(created), fromMillis(ended), json.RawMessage(options)
	return r, err
}

// Runs yields an environment's runs in one of the states (no states: all), the latest first.
func (db *DB) Runs(ctx context.Context, env string, states ...State) iter.Seq2[Run, error] {
	return db.RunsAfter(ctx, env, Run{}, states...)
}

// RunsAfter is Runs from after one on, whose ID and CreatedAt say where that is.
func (db *DB) RunsAfter(ctx context.Context, env string, run Run, states ...State) iter.Seq2[Run, error] {
	return pagesAfter(run, func(after Run) ([]Run, error) {
		out, err := all(ctx, db.sql, scanRun, `SELECT id, env, migration, checksum, state, actor, created_at, ended_at, options FROM runs
			WHERE env = $1 AND ($2 = '' OR $2 LIKE '%,' || state || ',%') AND ($4 = '' OR (created_at, id) < ($3, $4))
			ORDER BY created_at DESC, id DESC LIMIT $5`, env, words(states), millis(after.CreatedAt), after.ID, pageSize)
		return out, db.failed(ctx, "list the runs", err)
	})
}

// MoveRun moves a run that is in one of the states from into the state to, records that and returns whether it happened.
// Its stores stay as they are: see MoveAll. A move that the state machine does not have is an error.
func (db *DB) MoveRun(ctx context.Context, id string, from []State, to State, by By) (moved bool, err error) {
	if err := errors.Join(legal(State.nextOfRun, from, to), by.check()); err != nil {
		return false, err
	}
	err = db.tx(ctx, "move the run", func(tx *sql.Tx) error {
		env, ok, err := db.moveRun(ctx, tx, id, from, to)
		if err != nil || !ok {
			return err
		}
		moved = true
		return db.record(ctx, tx, Entry{Env: env, Actor: by.Actor, Action: "run." + string(to), Subject: id, Detail: by.detail(map[string]any{})})
	})
	return moved && err == nil, err
}

// moveRun moves a run, and returns its environment where that happened.
func (db *DB) moveRun(ctx context.Context, tx *sql.Tx, id string, from []State, to State) (env string, moved bool, err error) {
	ended := int64(0)
	if to.Ended() {
		ended = millis(db.now())
	}
	err = tx.QueryRowContext(ctx, `UPDATE runs SET state = $2, ended_at = $3 WHERE id = $1 AND $4 LIKE '%,' || state || ',%' RETURNING env`,
		id, string(to), ended, words(from)).Scan(&env)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return env, err == nil, err
}
