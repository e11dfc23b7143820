package control

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"headgate/rollout"
)

// SignalSlot is the time that signals are counted by at first.
const SignalSlot = 10 * time.Second

// How long signals are kept, and how finely. [DB.MergeSignals] makes minutes and hours of slots.
const (
	signalSlots   = 2 * time.Hour
	signalMinutes = 48 * time.Hour
	signalsKept   = 90 * 24 * time.Hour
)

// rolloutsCounted bounds the rollouts that a store's signals are counted for.
const rolloutsCounted = 8

// A Sighting is something that was seen N times in a store, at a time by this process's clock. Its names are few: whoever
// makes it has put those from outside that are not known into one.
type Sighting struct {
	At      time.Time
	Store   string
	Sign    rollout.Sign
	Schema  string
	Release string
	Event   string
	Bucket  int
	N       int64
}

// signalKey is a row of signals.
type signalKey struct {
	at                                   int64
	sign, schema, release, event, cohort string
	bucket                               int
}

func (k signalKey) compare(o signalKey) int {
	return cmp.Or(cmp.Compare(k.at, o.at), cmp.Compare(k.sign, o.sign), cmp.Compare(k.schema, o.schema), cmp.Compare(k.release, o.release),
		cmp.Compare(k.event, o.event), cmp.Compare(k.cohort, o.cohort), cmp.Compare(k.bucket, o.bucket))
}

// CountSignals adds what came and did not come before, by the slot and by the rollouts that have the store open now. It returns
// what it added, and those rollouts by store.
func (db *DB) CountSignals(ctx context.Context, env string, arrivals []Arrival) (counted []Arrival, open map[string][]string, err error) {
	if err := named("environment", env); err != nil || len(arrivals) == 0 {
		return nil, nil, err
	}
	err = db.tx(ctx, "count the signals", func(tx *sql.Tx) (err error) {
		if counted, err = db.newIn(ctx, tx, env, arrivals); err != nil {
			return err
		}
		var seen []Sighting
		for _, a := range counted {
			seen = append(seen, a.Seen...)
		}
		if open, err = db.openIn(ctx, tx, env, seen); err != nil {
			return err
		}
		sums := map[signalKey]int64{}
		for _, s := range seen {
			if err := errors.Join(named("sign", string(s.Sign)), named("release", s.Release), named("schema", s.Schema)); err != nil {
				return err
			}
			sums[signalKey{millis(s.At.Truncate(SignalSlot)), string(s.Sign), s.Schema, s.Release, s.Event, words(open[s.Store]), s.Bucket}] += s.N
		}
		keys := make([]signalKey, 0, len(sums))
		for k := range sums {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, signalKey.compare) // several servers take the rows in one order
		return batches(Values(keys), func(batch []signalKey) error {
			args := make([]any, 0, 9*len(batch))
			for _, k := range batch {
				args = append(args, env, k.at, k.sign, k.schema, k.release, k.event, k.cohort, k.bucket, sums[k])
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO signals (env, at, kind, schema, release, event, cohort, bucket, n) VALUES `+placeholders(len(batch), 9)+`
				ON CONFLICT (env, at, kind, schema, release, event, cohort, bucket) DO UPDATE SET n = signals.n + excluded.n`, args...)
			return err
		})
	})
	if err != nil {
		return nil, nil, err
	}
	return counted, open, nil
}

// openIn are the rollouts that have stores open at the moment, by store.
func (db *DB) openIn(ctx context.Context, tx *sql.Tx, env string, seen []Sighting) (map[string][]string, error) {
	var stores []string
	for _, s := range seen {
		stores = append(stores, s.Store)
	}
	slices.Sort(stores)
	stores = slices.Compact(stores)
	if len(stores) == 0 {
		return nil, nil
	}
	ramping, err := all(ctx, tx, scanRollout, selectRollout+` AND phase IN ($2, $3) ORDER BY name LIMIT $4`,
		env, string(rollout.Ramp), string(rollout.PointOfNoReturn), rolloutsCounted)
	if err != nil {
		return nil, err
	}
	open := map[string][]string{}
	for _, r := range ramping {
		err := batches(Values(stores), func(batch []string) error {
			args := []any{env, r.Name, r.State.Attempt}
			for _, s := range batch {
				args = append(args, s)
			}
			in, err := all(ctx, tx, scanOne[string], `SELECT store FROM rollout_stores WHERE env = $1 AND rollout = $2 AND attempt = $3 AND store IN (`+list(4, len(batch))+`)`, args...)
			for _, s := range in {
				open[s] = append(open[s], r.Name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return open, nil
}

// unwords is what words joined.
func unwords(joined string) []string {
	if joined == "" {
		return nil
	}
	return strings.Split(strings.Trim(joined, ","), ",")
}

// A SignalQuery says which signals.
type SignalQuery struct {
	Since, Until time.Time // the slots that begin in [Since, Until)
	Schema       string    // with what says none; empty for all
	Rollout      string    // whose stores are told apart
	Signs        []rollout.Sign
}

// Signals sums what was counted.
func (db *DB) Signals(ctx context.Context, env string, q SignalQuery) ([]rollout.SignCount, error) {
	type counted struct {
		rollout.SignCount
		cohort string
	}
	got, err := all(ctx, db.sql, func(rows *sql.Rows) (c counted, err error) {
		err = rows.Scan(&c.Sign, &c.Release, &c.Event, &c.Bucket, &c.cohort, &c.N)
		return c, err
	}, `SELECT kind, release, event, bucket, cohort, CAST(sum(n) AS BIGINT) FROM signals
		WHERE env = $1 AND at >= $2 AND at < $3 AND ($4 = '' OR schema = $4 OR schema = 'none') AND ($5 = '' OR $5 LIKE '%,' || kind || ',%')
		GROUP BY kind, release, event, bucket, cohort ORDER BY kind, release, event, bucket, cohort`,
		env, millis(q.Since), millis(q.Until), q.Schema, words(q.Signs))
	out := make([]rollout.SignCount, 0, len(got))
	for _, c := range got {
		c.Open = slices.Contains(unwords(c.cohort), q.Rollout)
		out = append(out, c.SignCount)
	}
	return out, db.failed(ctx, "read the signals", err)
}

// A SignalPoint is what was counted in one part of a span of time.
type SignalPoint struct {
	At time.Time
	rollout.SignCount
}

// SignalSeries sums what was counted by parts of the time, whole slots each.
func (db *DB) SignalSeries(ctx context.Context, env string, q SignalQuery, part time.Duration) ([]SignalPoint, error) {
	if part < SignalSlot || part%SignalSlot != 0 {
		return nil, fmt.Errorf("%s is not a number of slots", part)
	}
	out, err := all(ctx, db.sql, func(rows *sql.Rows) (p SignalPoint, err error) {
		var at int64
		err = rows.Scan(&at, &p.Sign, &p.Release, &p.Event, &p.N)
		p.At = fromMillis(at)
		return p, err
	}, `SELECT at - at % $1 AS part, kind, release, event, CAST(sum(n) AS BIGINT) FROM signals
		WHERE env = $2 AND at >= $3 AND at < $4 AND ($5 = '' OR schema = $5 OR schema = 'none') AND ($6 = '' OR $6 LIKE '%,' || kind || ',%')
		GROUP BY part, kind, release, event ORDER BY part, kind, release, event`,
		part.Milliseconds(), env, millis(q.Since), millis(q.Until), q.Schema, words(q.Signs))
	return out, db.failed(ctx, "read the signals", err)
}

// SignsSeen is when each sign was last counted of a schema, with what says none, or of all for "": as exactly as it is kept.
func (db *DB) SignsSeen(ctx context.Context, env, schema string) (map[rollout.Sign]time.Time, error) {
	out := map[rollout.Sign]time.Time{}
	_, err := all(ctx, db.sql, func(rows *sql.Rows) (sign rollout.Sign, err error) {
		var at int64
		err = rows.Scan(&sign, &at)
		out[sign] = fromMillis(at)
		return sign, err
	}, `SELECT kind, max(at) FROM signals WHERE env = $1 AND ($2 = '' OR schema = $2 OR schema = 'none') GROUP BY kind`, env, schema)
	return out, db.failed(ctx, "read the signals", err)
}

// KeepClients counts the clients of the last day by release, once in an hour: what is kept of how releases spread. It reports
// whether it did. known puts a release that is not known into one with the others.
func (db *DB) KeepClients(ctx context.Context, env string, known func(release string) string) (kept bool, err error) {
	now := db.now()
	hour := now.Truncate(time.Hour)
	there, err := all(ctx, db.sql, scanOne[int64], `SELECT count(*) FROM signals WHERE env = $1 AND at = $2 AND kind = $3`, env, millis(hour), string(rollout.SawClients))
	if err != nil {
		return false, db.failed(ctx, "count the clients", err)
	}
	if there[0] > 0 {
		return false, nil
	}
	counts, err := db.Census(ctx, env, now.Add(-24*time.Hour))
	if err != nil || len(counts) == 0 {
		return false, err
	}
	sums := map[string]int64{}
	for _, c := range counts {
		sums[known(c.Release)] += c.Clients
	}
	err = db.tx(ctx, "count the clients", func(tx *sql.Tx) error {
		for release, n := range sums {
			_, err := tx.ExecContext(ctx, `INSERT INTO signals (env, at, kind, schema, release, event, cohort, bucket, n) VALUES ($1, $2, $3, '', $4, '', '', 0, $5)
				ON CONFLICT (env, at, kind, schema, release, event, cohort, bucket) DO NOTHING`, env, millis(hour), string(rollout.SawClients), release, n)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return err == nil, err
}

// MergeSignals makes minutes of the slots that are two hours old, hours of the minutes that are two days old, and forgets
// what is 90 days old.
func (db *DB) MergeSignals(ctx context.Context, env string) error {
	now := db.now()
	return db.tx(ctx, "merge the signals", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "signals "+env); err != nil {
			return err
		}
		for _, m := range []struct{ older, into time.Duration }{{signalSlots, time.Minute}, {signalMinutes, time.Hour}} {
			before, size := millis(now.Add(-m.older).Truncate(m.into)), m.into.Milliseconds()
			_, err := tx.ExecContext(ctx, `INSERT INTO signals (env, at, kind, schema, release, event, cohort, bucket, n)
				SELECT env, at - at % $3, kind, schema, release, event, cohort, bucket, CAST(sum(n) AS BIGINT) FROM signals
				WHERE env = $1 AND at < $2 AND at % $3 <> 0 GROUP BY env, at - at % $3, kind, schema, release, event, cohort, bucket
				ON CONFLICT (env, at, kind, schema, release, event, cohort, bucket) DO UPDATE SET n = signals.n + excluded.n`, env, before, size)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM signals WHERE env = $1 AND at < $2 AND at % $3 <> 0`, env, before, size); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM signals WHERE env = $1 AND at < $2`, env, millis(now.Add(-signalsKept)))
		return err
	})
}
