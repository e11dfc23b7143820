package control

import (
	"context"
	"database/sql"
	"iter"
	"slices"
	"time"

	"headgate/internal/errs"
)

// A StoreRun is one store of a run.
type StoreRun struct {
	Run       string    `json:"run"`
	Store     string    `json:"store"`
	Wave      int       `json:"wave"` // 0 is the first
	State     State     `json:"state"`
	Progress            // as last reported
	Expected  int64     `json:"expected"`            // events that the run was to commit, when someone agreed to it
	ErrorCode errs.Code `json:"errorCode,omitempty"` // why it failed, stalled, vanished or is quarantined
	Error     string    `json:"error,omitempty"`
	Attempt   int       `json:"attempt"` // how often it was claimed
	Owner     string    `json:"owner,omitempty"`
	Fence     int64     `json:"fence"` // of the last claim, 0 before the first
	UpdatedAt time.Time `json:"updatedAt"`
}

// Progress is what a worker knows of its store. The event log is the truth about it.
type Progress struct {
	Due       int64 `json:"due"`       // events; before the first report what the preview found
	Committed int64 `json:"committed"` // events, by this run in all its attempts
	Before    int64 `json:"before"`    // events that other runs committed
	Pushes    int64 `json:"pushes"`
	Conflicts int64 `json:"conflicts"`
	Head      int64 `json:"head"` // the log's last event
}

// A Change is what a move brings along. The zero Change brings nothing.
type Change struct {
	// Owner and Fence are a claim's, of the owner's lease on the store: required with the state running, where the fence
	// must be higher than the row's. With other states a Fence that is not 0 is a condition: the row must still have it,
	// so that a worker that lost its lease moves nothing.
	Owner string
	Fence int64
	// Parallel refuses a claim while so many stores of the row's wave have an owner; 0 for no limit.
	Parallel int

	Progress *Progress // nil leaves it

	// ErrorCode and Error are kept with the states failed, stalled, vanished and quarantined; the others clear them. They
	// must not quote payloads.
	ErrorCode errs.Code
	Error     string
}

// Move moves a store of a run that is in one of the states from into the state to, and returns whether it happened.
// Nothing else happens to a row of another state, or one with another fence. A move that the state machine does not have
// is an error, and so is one to running without Owner and Fence. Other than to running, pausing and cancelling, a move
// ends the row's ownership.
func (db *DB) Move(ctx context.Context, run, store string, from []State, to State, c Change) (moved bool, err error) {
	if err := legal(State.next, from, to); err != nil {
		return false, err
	}
	if to == Running && (c.Owner == "" || c.Fence <= 0) {
		return false, errs.New(errs.Internal, "store %s was claimed without owner and fence", store)
	}
	if !slices.Contains([]State{Failed, Stalled, Vanished, Quarantined}, to) {
		c.ErrorCode, c.Error = "", ""
	}
	var p Progress
	if c.Progress != nil {
		p = *c.Progress
	}
	err = db.tx(ctx, "move store "+store+" to "+string(to), func(tx *sql.Tx) error {
		if to == Running && c.Parallel > 0 { // claims of a run are counted one after the other
			if err := db.serialise(ctx, tx, "run "+run); err != nil {
				return err
			}
		}
		// $5 is 1 for a claim, $8 where the row keeps its owner, $12 with progress.
		res, err := tx.ExecContext(ctx, `UPDATE store_runs SET
				state = $4,
				owner = CASE WHEN $5 = 1 THEN $7 WHEN $8 = 1 THEN owner ELSE '' END,
				fence = CASE WHEN $5 = 1 THEN $6 ELSE fence END,
				attempt = attempt + $5,
				error_code = $9, error = $10, updated_at = $11,
				due = CASE WHEN $12 = 1 THEN $13 ELSE due END,
				committed = CASE WHEN $12 = 1 THEN $14 ELSE committed END,
				before_count = CASE WHEN $12 = 1 THEN $15 ELSE before_count END,
				pushes = CASE WHEN $12 = 1 THEN $16 ELSE pushes END,
				conflicts = CASE WHEN $12 = 1 THEN $17 ELSE conflicts END,
				head = CASE WHEN $12 = 1 THEN $18 ELSE head END
			WHERE run_id = $1 AND store = $2 AND $3 LIKE '%,' || state || ',%'
				AND ($5 = 1 AND fence < $6 OR $5 = 0 AND ($6 = 0 OR fence = $6))
				AND ($5 = 0 OR $19 = 0 OR $19 > (SELECT count(*) FROM store_runs o WHERE o.run_id = $1 AND o.wave = store_runs.wave
					AND o.state IN ('running', 'pausing', 'cancelling')))`,
			run, store, words(from), string(to), flag(to == Running), c.Fence, c.Owner, flag(to.Owned()),
			string(c.ErrorCode), text(c.Error), millis(db.now()),
			flag(c.Progress != nil), p.Due, p.Committed, p.Before, p.Pushes, p.Conflicts, p.Head, c.Parallel)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		moved = n == 1
		return err
	})
	return moved && err == nil, err
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Report keeps the progress of a store that its owner works on, and returns the row's state: pausing and cancelling ask
// the owner to stop after the batch under way. held is false when the row is not the owner's any more, because it is in
// another state or has another fence. Then nothing was kept, and the owner must stop at once.
func (db *DB) Report(ctx context.Context, run, store string, fence int64, p Progress) (state State, held bool, err error) {
	err = db.tx(ctx, "keep the progress of store "+store, func(tx *sql.Tx) error {
		got, err := all(ctx, tx, func(rows *sql.Rows) (s State, err error) { return s, rows.Scan(&s) },
			`UPDATE store_runs SET due = $4, committed = $5, before_count = $6, pushes = $7, conflicts = $8, head = $9, updated_at = $10
			WHERE run_id = $1 AND store = $2 AND fence = $3 AND state IN ('running', 'pausing', 'cancelling') RETURNING state`,
			run, store, fence, p.Due, p.Committed, p.Before, p.Pushes, p.Conflicts, p.Head, millis(db.now()))
		if len(got) == 1 {
			state, held = got[0], true
		}
		return err
	})
	return state, held && err == nil, err
}

// AllWaves is every wave of a run.
const AllWaves = -1

// MoveAll moves all stores of a wave that are in one of the states from into the state to, and returns how many that
// were. It claims none: running is no state for it.
func (db *DB) MoveAll(ctx context.Context, run string, wave int, from []State, to State) (moved int64, err error) {
	if err := legal(State.next, from, to); err != nil {
		return 0, err
	}
	if to == Running {
		return 0, errs.New(errs.Internal, "the stores of a run can't be claimed together")
	}
	err = db.tx(ctx, "move the run's stores to "+string(to), func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "run "+run); err != nil { // two of these would lock the rows in any order
			return err
		}
		res, err := tx.ExecContext(ctx, `UPDATE store_runs SET state = $4, owner = CASE WHEN $5 = 1 THEN owner ELSE '' END, updated_at = $6
			WHERE run_id = $1 AND ($2 < 0 OR wave = $2) AND $3 LIKE '%,' || state || ',%'`,
			run, wave, words(from), string(to), flag(to.Owned()), millis(db.now()))
		if err != nil {
			return err
		}
		moved, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return 0, err
	}
	return moved, nil
}

// Retry makes stores of a run pending again that are in one of the states from, which may be paused, failed, stalled,
// vanished and quarantined, and with them the run where it had paused or failed. It records that, and returns how many
// stores it were. With stores nil it takes all of them, and leaves what is due; otherwise those that are named, and what a
// new preview found due is what they are expected to commit from now on. A run that was cancelled or succeeded is
// errs.Refused.
func (db *DB) Retry(ctx context.Context, run string, from []State, stores []RunStore, by By) (retried int64, err error) {
	if i := slices.IndexFunc(from, func(s State) bool { return !s.Retryable() }); i >= 0 || len(from) == 0 {
		return 0, errs.New(errs.Internal, "stores that are %q can't be retried", from)
	}
	if err := by.check(); err != nil {
		return 0, err
	}
	err = db.tx(ctx, "retry the run", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "run "+run); err != nil {
			return err
		}
		r, err := getRun(ctx, tx, run)
		if err != nil {
			return err
		}
		if r.State == Cancelled || r.State == Cancelling || r.State == Succeeded {
			return errs.Refusedf("run %s is %s: it can't be taken up again", run, r.State).
				Hintf("a new run finds in the logs what is done, and goes on from there")
		}
		if retried, err = db.retryStores(ctx, tx, run, from, stores); err != nil || retried == 0 {
			return err
		}
		detail := by.detail(map[string]any{"stores": retried, "from": from})
		if len(stores) == 1 {
			detail["store"] = stores[0].Store
		}
		if _, _, err := db.moveRun(ctx, tx, run, []State{Paused, Failed}, Pending); err != nil {
			return err
		}
		return db.record(ctx, tx, Entry{Env: r.Env, Actor: by.Actor, Action: "run.retry", Subject: run, Detail: detail})
	})
	if err != nil {
		return 0, err
	}
	return retried, nil
}

func (db *DB) retryStores(ctx context.Context, tx *sql.Tx, run string, from []State, stores []RunStore) (retried int64, err error) {
	now := millis(db.now())
	if stores == nil {
		res, err := tx.ExecContext(ctx, `UPDATE store_runs SET state = 'pending', owner = '', error_code = '', error = '', updated_at = $3
			WHERE run_id = $1 AND $2 LIKE '%,' || state || ',%'`, run, words(from), now)
		if err != nil {
			return 0, err
		}
		return res.RowsAffected()
	}
	one, err := tx.PrepareContext(ctx, `UPDATE store_runs SET state = 'pending', owner = '', error_code = '', error = '', updated_at = $4,
		due = $5, expected = committed + $5 WHERE run_id = $1 AND store = $2 AND $3 LIKE '%,' || state || ',%'`)
	if err != nil {
		return 0, err
	}
	defer one.Close()
	for _, s := range stores {
		res, err := one.ExecContext(ctx, run, s.Store, words(from), now, s.Due)
		if err != nil {
			return 0, err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return 0, err
		}
		retried += n
	}
	return retried, nil
}

// StoreRun returns one store of a run, or errs.NotFound.
func (db *DB) StoreRun(ctx context.Context, run, store string) (StoreRun, error) {
	got, err := all(ctx, db.sql, scanStoreRun, `SELECT run_id, store, wave, state, due, committed, before_count, pushes, conflicts, head,
		error_code, error, attempt, owner, fence, updated_at, expected FROM store_runs WHERE run_id = $1 AND store = $2`, run, store)
	if err == nil && len(got) == 0 {
		err = errs.NotFoundf("run %s has no store %q", run, store)
	}
	if err != nil {
		return StoreRun{}, db.failed(ctx, "read the store's run", err)
	}
	return got[0], nil
}

func scanStoreRun(rows *sql.Rows) (s StoreRun, err error) {
	var updated int64
	err = rows.Scan(&s.Run, &s.Store, &s.Wave, &s.State, &s.Due, &s.Committed, &s.Before, &s.Pushes, &s.Conflicts, &s.Head,
		&s.ErrorCode, &s.Error, &s.Attempt, &s.Owner, &s.Fence, &updated, &s.Expected)
	s.UpdatedAt = fromMillis(updated)
	return s, err
}

// StoreRuns yields the stores of a run in one of the states (no states: all), by wave and store, a page at a time. A
// wave may be AllWaves.
func (db *DB) StoreRuns(ctx context.Context, run string, wave int, states ...State) iter.Seq2[StoreRun, error] {
	return pages(func(after StoreRun) ([]StoreRun, error) {
		out, err := all(ctx, db.sql, scanStoreRun, `SELECT run_id, store, wave, state, due, committed, before_count, pushes, conflicts, head,
			error_code, error, attempt, owner, fence, updated_at, expected FROM store_runs
			WHERE run_id = $1 AND ($2 < 0 OR wave = $2) AND ($3 = '' OR $3 LIKE '%,' || state || ',%') AND (wave, store) > ($4, $5)
			ORDER BY wave, store LIMIT $6`, run, wave, words(states), after.Wave, after.Store, pageSize)
		return out, db.failed(ctx, "list the run's stores", err)
	})
}

// Orphans yields the stores of an environment's runs that are running, pausing or cancelling while nobody holds their
// lease ([StoreLease]): their worker died.
func (db *DB) Orphans(ctx context.Context, env string) iter.Seq2[StoreRun, error] {
	return pages(func(after StoreRun) ([]StoreRun, error) {
		out, err := all(ctx, db.sql, scanStoreRun, `SELECT s.run_id, s.store, s.wave, s.state, s.due, s.committed, s.before_count, s.pushes,
			s.conflicts, s.head, s.error_code, s.error, s.attempt, s.owner, s.fence, s.updated_at, s.expected
			FROM runs JOIN store_runs s ON s.run_id = runs.id LEFT JOIN leases ON leases.env = runs.env AND leases.name = 'store/' || s.store
			WHERE runs.env = $1 AND s.state IN ('running', 'pausing', 'cancelling') AND COALESCE(leases.expires_at, 0) <= $2
			AND (s.run_id, s.store) > ($3, $4) ORDER BY s.run_id, s.store LIMIT $5`, env, millis(db.now()), after.Run, after.Store, pageSize)
		return out, db.failed(ctx, "look for stores whose worker died", err)
	})
}

// A WaveCount counts the stores of a wave that are in one state, and what they report.
type WaveCount struct {
	Wave      int   `json:"wave"`
	State     State `json:"state"`
	Stores    int64 `json:"stores"`
	Due       int64 `json:"due"`
	Committed int64 `json:"committed"`
	Before    int64 `json:"before"`
	Pushes    int64 `json:"pushes"`
	Conflicts int64 `json:"conflicts"`
}

// Counts counts the stores of a run by wave and state, waves in order. States that no store is in are left out.
func (db *DB) Counts(ctx context.Context, run string) ([]WaveCount, error) {
	out, err := all(ctx, db.sql, func(rows *sql.Rows) (c WaveCount, err error) {
		err = rows.Scan(&c.Wave, &c.State, &c.Stores, &c.Due, &c.Committed, &c.Before, &c.Pushes, &c.Conflicts)
		return c, err
	}, `SELECT wave, state, count(*), CAST(sum(due) AS BIGINT), CAST(sum(committed) AS BIGINT), CAST(sum(before_count) AS BIGINT),
		CAST(sum(pushes) AS BIGINT), CAST(sum(conflicts) AS BIGINT) FROM store_runs WHERE run_id = $1 GROUP BY wave, state`, run)
	slices.SortFunc(out, func(a, b WaveCount) int {
		if a.Wave != b.Wave {
			return a.Wave - b.Wave
		}
		return slices.Index(States(), a.State) - slices.Index(States(), b.State)
	})
	return out, db.failed(ctx, "count the run's stores", err)
}
