package control

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"
)

// An Arrival is what came together, and counts whole or not at all.
type Arrival struct {
	// Key is its own, the same when it is sent again, by whichever way: then it counts once. Empty where it has none, and counts
	// as often as it comes.
	Key string
	// For is how long it may be sent again: as long as the key is remembered.
	For  time.Duration
	Seen []Sighting
}

// newIn remembers the arrivals that have a key, and returns those that were not there, with those that have none.
func (db *DB) newIn(ctx context.Context, tx *sql.Tx, env string, arrivals []Arrival) ([]Arrival, error) {
	now, until := db.now(), map[string]int64{}
	for _, a := range arrivals {
		if a.Key == "" {
			continue
		}
		if err := named("key", a.Key); err != nil {
			return nil, err
		}
		until[a.Key] = millis(now.Add(a.For))
	}
	isNew := map[string]bool{}
	// In one order: of several servers none waits for one that waits for it.
	err := batches(Values(slices.Sorted(maps.Keys(until))), func(keys []string) error {
		args := make([]any, 0, 3*len(keys))
		for _, k := range keys {
			args = append(args, env, k, until[k])
		}
		got, err := all(ctx, tx, scanOne[string], `INSERT INTO arrivals (env, key, until) VALUES `+placeholders(len(keys), 3)+`
			ON CONFLICT (env, key) DO NOTHING RETURNING key`, args...)
		for _, k := range got {
			isNew[k] = true
		}
		return err
	})
	out := make([]Arrival, 0, len(arrivals))
	for _, a := range arrivals {
		if a.Key == "" || isNew[a.Key] {
			out = append(out, a)
		}
		delete(isNew, a.Key)
	}
	return out, err
}

// ForgetArrivals forgets the keys whose time is over, and of the others those that end first where there are more than most.
func (db *DB) ForgetArrivals(ctx context.Context, env string, most int) error {
	return db.tx(ctx, "forget what was counted", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "arrivals "+env); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM arrivals WHERE env = $1 AND (until <= $2 OR until <=
			(SELECT until FROM arrivals WHERE env = $1 ORDER BY until DESC LIMIT 1 OFFSET $3))`, env, millis(db.now()), most)
		return err
	})
}
