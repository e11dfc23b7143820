package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

// A ResetState is where a reset is:
//
//	       fire            all are opened
//	armed -----> firing -----------------> done
//	  |          |    ^
//	  |     stop |    | fire
//	  |          v    |
//	  |          paused
//	  |             |
//	  '--- cancel --'--- also from firing ---> cancelled
//
// What was opened stays open in every state: clients may have acted on it.
type ResetState string

const (
	ResetArmed     ResetState = "armed"
	ResetFiring    ResetState = "firing"
	ResetPaused    ResetState = "paused"
	ResetDone      ResetState = "done"
	ResetCancelled ResetState = "cancelled"
)

// Ended reports whether nothing becomes of the reset any more.
func (s ResetState) Ended() bool { return s == ResetDone || s == ResetCancelled }

// ArmedFor is how long a reset stays armed: who fires it must still know why.
const ArmedFor = 24 * time.Hour

// A Reset asks the clients of some stores to throw their local data away and load it again.
type Reset struct {
	Env     string     `json:"environment"`
	ID      int64      `json:"id"`
	State   ResetState `json:"state"`
	PerHour int        `json:"perHour"` // stores that are opened within any hour at most, in the whole environment
	ArmedBy string     `json:"armedBy"`
	Reason  string     `json:"reason"`
	ArmedAt time.Time  `json:"armedAt"`
	FiredBy string     `json:"firedBy,omitempty"` // last
	FiredAt time.Time  `json:"firedAt,omitzero"`
	Stores  int        `json:"stores"`
	Opened  int        `json:"opened"` // of them
	Lately  int        `json:"lately"` // stores that were opened within the last hour, by any reset
}

// ArmReset makes a reset ready for stores, which it puts into the order in which they will be opened, and records that. A
// reason is required. While another reset is not ended, the error is errs.Stale.
func (db *DB) ArmReset(ctx context.Context, env string, stores []livestore.StoreID, perHour int, by By) (r Reset, err error) {
	if err := errors.Join(named("environment", env), by.check()); err != nil {
		return Reset{}, err
	}
	switch {
	case by.Reason == "":
		return Reset{}, errs.Invalidf("a reset needs a reason")
	case len(stores) == 0:
		return Reset{}, errs.Invalidf("a reset needs a store")
	case perHour < 1:
		return Reset{}, errs.Invalidf("a reset opens one store per hour at least")
	}
	err = db.tx(ctx, "arm the reset", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "resets "+env); err != nil {
			return err
		}
		last, err := db.reset(ctx, tx, env)
		switch {
		case errs.CodeOf(err) == errs.NotFound:
		case err != nil:
			return err
		case !last.State.Ended():
			return errs.New(errs.Stale, "reset %d of %s is %s", last.ID, env, last.State).Hintf("one at a time: let it end, or cancel it").
				Then("headgate reset status --env " + env)
		}
		id, now := last.ID+1, millis(db.now())
		_, err = tx.ExecContext(ctx, `INSERT INTO resets (env, id, state, per_hour, armed_by, reason, armed_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $7)`, env, id, string(ResetArmed), perHour, text(by.Actor), text(by.Reason), now)
		if err != nil {
			return err
		}
		rollout.ResetOrder(id, stores)
		place := 0
		err = batches(Values(stores), func(batch []livestore.StoreID) error {
			args := make([]any, 0, 4*len(batch))
			for _, s := range batch {
				args = append(args, env, id, string(s), place)
				place++
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO reset_stores (env, reset, store, place) VALUES `+placeholders(len(batch), 4), args...)
			return err
		})
		if err != nil {
			return err
		}
		if r, err = db.reset(ctx, tx, env); err != nil {
			return err
		}
		return db.recordReset(ctx, tx, "arm", r, by, map[string]any{"stores": len(stores), "perHour": perHour})
	})
	return r, err
}

// FireReset lets an armed or paused reset open stores, or gives one that does so another budget, 0 for the one it has.
// It opens none by itself. In an environment that is stopped, and when it was armed too long ago, the error is errs.Stale.
func (db *DB) FireReset(ctx context.Context, env string, perHour int, by By) (Reset, error) {
	return db.moveReset(ctx, env, "fire", by, func(tx *sql.Tx, r *Reset) (bool, error) {
		var stops int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM stops WHERE env = $1`, env).Scan(&stops); err != nil {
			return false, err
		}
		now := fromMillis(millis(db.now()))
		switch {
		case stops > 0:
			return false, errs.New(errs.Stale, "%s is stopped", env).Hintf("lift the stop first").Then("headgate stop --env " + env + " --lift --reason TEXT")
		case r.State.Ended():
			return false, errs.New(errs.Stale, "reset %d is %s", r.ID, r.State).Hintf("arm another one").Then("headgate reset arm --env " + env)
		case r.State == ResetArmed && now.Sub(r.ArmedAt) > ArmedFor:
			return false, errs.New(errs.Stale, "reset %d was armed at %s, more than %s ago", r.ID, r.ArmedAt.Format(time.RFC3339), ArmedFor).
				Hintf("cancel it, and arm another one").Then("headgate reset cancel --env " + env + " --reason TEXT")
		case perHour < 0:
			return false, errs.Invalidf("a reset opens one store per hour at least")
		}
		if perHour > 0 {
			r.PerHour = perHour
		}
		r.State, r.FiredBy, r.FiredAt = ResetFiring, text(by.Actor), now
		return true, nil
	})
}

// PauseReset holds a reset that opens stores, until FireReset. Where none does, moved is false.
func (db *DB) PauseReset(ctx context.Context, env string, by By) (r Reset, moved bool, err error) {
	r, err = db.moveReset(ctx, env, "pause", by, func(_ *sql.Tx, r *Reset) (bool, error) {
		if moved = r.State == ResetFiring; moved {
			r.State = ResetPaused
		}
		return moved, nil
	})
	if errs.CodeOf(err) == errs.NotFound {
		return Reset{}, false, nil
	}
	return r, moved && err == nil, err
}

// CancelReset ends a reset before it has opened all of its stores.
func (db *DB) CancelReset(ctx context.Context, env string, by By) (Reset, error) {
	return db.moveReset(ctx, env, "cancel", by, func(_ *sql.Tx, r *Reset) (bool, error) {
		if r.State.Ended() {
			return false, errs.New(errs.Stale, "reset %d is %s", r.ID, r.State).Hintf("there is nothing to cancel").Then("headgate reset status --env " + env)
		}
		r.State = ResetCancelled
		return true, nil
	})
}

// moveReset changes the environment's last reset as move says, and records that.
func (db *DB) moveReset(ctx context.Context, env, action string, by By, move func(*sql.Tx, *Reset) (bool, error)) (r Reset, err error) {
	if err := by.check(); err != nil {
		return Reset{}, err
	}
	err = db.tx(ctx, action+" the reset", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "resets "+env); err != nil {
			return err
		}
		if r, err = db.reset(ctx, tx, env); err != nil {
			return err
		}
		moved, err := move(tx, &r)
		if err != nil || !moved {
			return err
		}
		if err := db.putReset(ctx, tx, r); err != nil {
			return err
		}
		return db.recordReset(ctx, tx, action, r, by, map[string]any{"perHour": r.PerHour, "opened": r.Opened, "stores": r.Stores})
	})
	return r, err
}

// OpenReset opens the stores that are due: as many as the budget of the hour has left, in their order, and none while the
// environment is stopped. Each gets the generation above its last. It records that, and returns the reset and the stores;
// none where no reset fires.
func (db *DB) OpenReset(ctx context.Context, env, actor string) (r Reset, opened []livestore.StoreID, err error) {
	err = db.tx(ctx, "open stores for the reset", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "resets "+env); err != nil {
			return err
		}
		if r, err = db.reset(ctx, tx, env); err != nil {
			return err
		}
		var stops int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM stops WHERE env = $1`, env).Scan(&stops); err != nil {
			return err
		}
		due := rollout.ResetDue(r.PerHour, r.Lately, r.Stores-r.Opened)
		if r.State != ResetFiring || stops > 0 || due == 0 && r.Opened < r.Stores {
			return nil
		}
		opened, err = all(ctx, tx, scanOne[livestore.StoreID], `SELECT store FROM reset_stores WHERE env = $1 AND reset = $2 AND opened_at = 0
			ORDER BY place LIMIT $3`, env, r.ID, due)
		if err != nil {
			return err
		}
		for _, s := range opened {
			_, err := tx.ExecContext(ctx, `UPDATE reset_stores SET opened_at = $4, generation = 1 +
				(SELECT COALESCE(max(generation), 0) FROM reset_stores o WHERE o.env = $1 AND o.store = $3)
				WHERE env = $1 AND reset = $2 AND store = $3`, env, r.ID, string(s), millis(db.now()))
			if err != nil {
				return err
			}
		}
		r.Opened, r.Lately = r.Opened+len(opened), r.Lately+len(opened)
		if r.Opened == r.Stores {
			r.State = ResetDone
		}
		if err := db.putReset(ctx, tx, r); err != nil {
			return err
		}
		return db.recordReset(ctx, tx, "open", r, By{Actor: actor}, map[string]any{"opened": len(opened), "of": r.Stores, "soFar": r.Opened})
	})
	if errs.CodeOf(err) == errs.NotFound {
		return Reset{}, nil, nil
	}
	return r, opened, err
}

func (db *DB) putReset(ctx context.Context, tx *sql.Tx, r Reset) error {
	_, err := tx.ExecContext(ctx, `UPDATE resets SET state = $3, per_hour = $4, fired_by = $5, fired_at = $6, updated_at = $7 WHERE env = $1 AND id = $2`,
		r.Env, r.ID, string(r.State), r.PerHour, r.FiredBy, millis(r.FiredAt), millis(db.now()))
	return err
}

func (db *DB) recordReset(ctx context.Context, tx *sql.Tx, action string, r Reset, by By, detail map[string]any) error {
	if by.Reason != "" {
		detail["reason"] = by.Reason
	}
	return db.record(ctx, tx, Entry{Env: r.Env, Actor: by.Actor, Action: "reset." + action, Subject: strconv.FormatInt(r.ID, 10), Detail: by.through(detail)})
}

// LastReset is the environment's last reset, or errs.NotFound where there was none.
func (db *DB) LastReset(ctx context.Context, env string) (Reset, error) {
	r, err := db.reset(ctx, db.sql, env)
	return r, db.failed(ctx, "read the reset", err)
}

func (db *DB) reset(ctx context.Context, q querier, env string) (Reset, error) {
	got, err := all(ctx, q, func(rows *sql.Rows) (r Reset, err error) {
		var armed, fired int64
		err = rows.Scan(&r.Env, &r.ID, &r.State, &r.PerHour, &r.ArmedBy, &r.Reason, &armed, &r.FiredBy, &fired, &r.Stores, &r.Opened, &r.Lately)
		r.ArmedAt, r.FiredAt = fromMillis(armed), fromMillis(fired)
		return r, err
	}, `SELECT env, id, state, per_hour, armed_by, reason, armed_at, fired_by, fired_at,
			(SELECT count(*) FROM reset_stores s WHERE s.env = r.env AND s.reset = r.id),
			(SELECT count(*) FROM reset_stores s WHERE s.env = r.env AND s.reset = r.id AND s.opened_at > 0),
			(SELECT count(*) FROM reset_stores s WHERE s.env = r.env AND s.opened_at > $2)
		FROM resets r WHERE env = $1 ORDER BY id DESC LIMIT 1`, env, millis(db.now().Add(-time.Hour)))
	switch {
	case err != nil:
		return Reset{}, err
	case len(got) == 0:
		return Reset{}, errs.NotFoundf("no reset was armed in %s", env).Hintf("`headgate rollback plan` says whether one helps").Then("headgate reset --help")
	}
	return got[0], nil
}

// Generations are the generations of the stores that any reset opened.
func (db *DB) Generations(ctx context.Context, env string) (map[livestore.StoreID]int, error) {
	out := map[livestore.StoreID]int{}
	_, err := all(ctx, db.sql, func(rows *sql.Rows) (none struct{}, err error) {
		var s livestore.StoreID
		var g int
		err = rows.Scan(&s, &g)
		out[s] = g
		return none, err
	}, `SELECT store, max(generation) FROM reset_stores WHERE env = $1 AND opened_at > 0 GROUP BY store`, env)
	if err != nil {
		return nil, db.failed(ctx, "read the stores' generations", err)
	}
	return out, nil
}

// String says in one line how far the reset is.
func (r Reset) String() string {
	return fmt.Sprintf("reset %d is %s: %d of %d stores, %d per hour at most", r.ID, r.State, r.Opened, r.Stores, r.PerHour)
}
