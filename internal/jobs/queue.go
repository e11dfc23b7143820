package jobs

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// storeArgs is the job "look at this store of that run". It carries IDs only.
type storeArgs struct {
	Run   string `json:"run"`
	Store string `json:"store"`
}

// Kind names the job in the queue; it must not change.
func (storeArgs) Kind() string { return "migrate-store" }

// A queue is River's client on either engine.
type queue struct {
	start  func(context.Context) error
	stop   func(context.Context) error // waits for what is under way
	insert func(context.Context, []river.InsertManyParams) error
	close  func() error
}

// A handler is what a job does. A wait above 0 puts it back for that time.
type handler func(ctx context.Context, run, store string) (wait time.Duration, err error)

type worker struct {
	river.WorkerDefaults[storeArgs]
	handle handler
}

func (w *worker) Work(ctx context.Context, job *river.Job[storeArgs]) error {
	wait, err := w.handle(ctx, job.Args.Run, job.Args.Store)
	if err == nil && wait > 0 {
		return river.JobSnooze(wait)
	}
	return err
}

// Timeout is none: how long a store may take is its job's own patience.
func (w *worker) Timeout(*river.Job[storeArgs]) time.Duration { return -1 }

const (
	pollSQLite   = 100 * time.Millisecond
	pollPostgres = time.Second // beside its notifications
	// rescueAfter is when River takes a job whose process died for lost. The conductor rings much sooner.
	rescueAfter = time.Hour
)

// openQueue opens River beside the control database's tables, and makes its own.
func openQueue(ctx context.Context, db *control.DB, name string, jobs int, log *slog.Logger, h handler) (*queue, error) {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{handle: h}); err != nil {
		return nil, err
	}
	if !log.Enabled(ctx, slog.LevelDebug) { // what goes wrong shows in the rows
		log = slog.New(slog.DiscardHandler)
	}
	config := &river.Config{
		Queues: map[string]river.QueueConfig{name: {MaxWorkers: jobs}}, Workers: workers, Logger: log,
		FetchCooldown: pollSQLite, FetchPollInterval: pollSQLite, JobTimeout: -1, RescueStuckJobsAfter: rescueAfter,
		CompletedJobRetentionPeriod: 10 * time.Minute,
	}
	if db.Postgres() {
		config.FetchPollInterval = pollPostgres
		return openPostgres(ctx, db.DataSource(), config)
	}
	return openSQLite(ctx, db.DataSource(), config)
}

func openSQLite(ctx context.Context, dsn string, config *river.Config) (*queue, error) {
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1) // River's transactions must not wait for each other in SQLite
	q, err := newQueue(ctx, riversqlite.New(pool), config, pool.Close)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return q, nil
}

func openPostgres(ctx context.Context, dsn string, config *river.Config) (*queue, error) {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return nil, errs.New(errs.Internal, "can't open the queue in the control database") // the cause may quote the address
	}
	closed := func() error { pool.Close(); return nil }
	q, err := newQueue[pgx.Tx](ctx, riverpgxv5.New(pool), config, closed)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return q, nil
}

// migrateTries is how often River's tables are tried to be made while other processes do the same.
const migrateTries = 50

func newQueue[Tx any](ctx context.Context, driver riverdriver.Driver[Tx], config *river.Config, closed func() error) (*queue, error) {
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
		if err == nil {
			break
		}
		if try == migrateTries || ctx.Err() != nil {
			return nil, errs.New(errs.Internal, "can't make the queue's tables in the control database").Because(err)
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
	c, err := river.NewClient(driver, config)
	if err != nil {
		return nil, err
	}
	return &queue{
		start: c.Start, stop: c.StopAndCancel, close: closed,
		insert: func(ctx context.Context, all []river.InsertManyParams) error {
			_, err := c.InsertManyFast(ctx, all)
			return err
		},
	}, nil
}

// queueName makes a queue's name of an environment's.
func queueName(env string) string {
	return "env-" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, env)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
