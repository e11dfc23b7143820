package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/script"
)

// Job is the name under which a program registers [JobReplay] in the sandbox.
const Job = "replay"

// jobParams start the child's side.
type jobParams struct {
	Program engine.Program `json:"program"`
	// Path is the database, new or a copy of a checkpoint.
	Path string   `json:"path"`
	DDL  []string `json:"ddl"` // of the tables, in LiveStore's order
	// Continue leaves tables and hooks alone: the file is a checkpoint.
	Continue bool `json:"continue"`
	// Hooks is false where the hooks only begin and commit, or the strategy has none.
	Hooks bool `json:"hooks"`
	// Autocommit leaves all transactions to the app.
	Autocommit bool `json:"autocommit"`
}

// Sources are the scripts that the job evaluates.
func (p jobParams) Sources() []string { return p.Program.Sources() }

// The second byte of a frame says what is in it.
const (
	frameEvents   = 'e' // a JSON array of events
	frameSnapshot = 's' // a path: commit, and copy the database there
)

// An answer is what the child sends for each frame, and when it has nothing to do.
type answer struct {
	Idle    bool          `json:"idle,omitempty"`
	Micros  int64         `json:"us,omitempty"`
	Skipped []engine.Skip `json:"skipped,omitempty"`
}

// jobResult ends the job.
type jobResult struct {
	// Poison is the event of the batch that comes after all answered ones.
	Poison     *engine.Poison `json:"poison,omitempty"`
	HookErrors []string       `json:"hookErrors,omitempty"`
	Volatile   []string       `json:"volatile,omitempty"`
	// NeedsAutocommit says that a statement can't run inside a transaction of ours.
	NeedsAutocommit bool `json:"needsAutocommit,omitempty"`
	// Spent says where the time went.
	Spent Spent `json:"spent"`
	// Trouble is the machine's: the database file could not be written.
	Trouble *engine.SQLError `json:"trouble,omitempty"`
}

const (
	// heartbeat is how often an idle child says that it is alive: the log may come from a slow place.
	heartbeat = 10 * time.Second
	// commitEvery bounds what SQLite's rollback journal keeps in memory.
	commitEvery = 4000
)

// JobReplay is the sandbox's side of [Replay].
func JobReplay(_ context.Context, s *script.Session) (any, error) {
	var p jobParams
	if err := s.Params(&p); err != nil {
		return nil, err
	}
	start := time.Now() //nolint:forbidigo // a stopwatch: says what bounds a replay, decides nothing
	db, err := engine.OpenDB(p.Path)
	if err != nil {
		return troubled(err)
	}
	defer db.Close()
	c := &child{params: p, db: db, session: s}
	if err := prepare(db); err != nil {
		return troubled(err)
	}
	c.engine, err = engine.Open(s, p.Program, db, script.VMOptions{})
	if err != nil {
		return troubled(err)
	}
	defer c.engine.Close()
	c.result.Spent.Start = time.Since(start)
	if err := c.run(); err != nil {
		return troubled(err)
	}
	c.result.Volatile = db.Volatile()
	spent := &c.result.Spent
	spent.SQLite = c.engine.SQLTime
	spent.Code = c.applying - spent.SQLite
	spent.Other = time.Since(start) - spent.Start - c.applying
	return c.result, nil
}

// troubled makes a result of the machine's errors, so that they arrive as what they are.
func troubled(err error) (any, error) {
	var se *engine.SQLError
	if errors.As(err, &se) && se.Machine() {
		return jobResult{Trouble: se}, nil
	}
	return nil, err
}

type child struct {
	params  jobParams
	db      *engine.DB
	engine  *engine.Engine
	session *script.Session
	result  jobResult

	appTransaction bool // a hook opened it
	uncommitted    int  // events since our last BEGIN
	applying       time.Duration
}

func (c *child) exec(sql string) error { return c.db.Exec(sql, engine.Binds{}) }

// prepare configures the connection as LiveStore does, and then for a file that is thrown away on any failure: no
// journal on disk, no syncing, pages spilled when the cache is full.
func prepare(db *engine.DB) error {
	for _, pragma := range []string{
		"PRAGMA page_size=8192", "PRAGMA foreign_keys=ON",
		"PRAGMA journal_mode=MEMORY", "PRAGMA synchronous=OFF", "PRAGMA locking_mode=EXCLUSIVE", "PRAGMA cache_size=-32768",
	} {
		if err := db.Exec(pragma, engine.Binds{}); err != nil {
			return err
		}
	}
	return nil
}

func (c *child) run() error {
	if !c.params.Continue {
		if err := c.create(); err != nil {
			return err
		}
	}
	if err := c.begin(); err != nil {
		return err
	}
	if err := c.events(); err != nil || c.result.Poison != nil {
		return err
	}
	if err := c.commit(); err != nil {
		return err
	}
	if c.params.Hooks {
		if err := c.hook("post"); err != nil {
			return err
		}
	}
	if !c.db.Autocommit() {
		// A hook began and none committed: LiveStore's client goes on inside that transaction.
		if err := c.exec("COMMIT"); err != nil {
			return err
		}
	}
	return c.exec(fmt.Sprintf("PRAGMA application_id=%d", applicationID))
}

func (c *child) create() error {
	if c.params.Hooks {
		if err := c.hook("init"); err != nil {
			return err
		}
	}
	for _, ddl := range c.params.DDL {
		if err := c.exec(ddl); err != nil {
			return fmt.Errorf("create the tables: %w", err)
		}
	}
	if c.params.Hooks {
		if err := c.hook("pre"); err != nil {
			return err
		}
		// The generated hooks turn it off, which would keep the whole state in memory.
		if err := c.exec("PRAGMA cache_spill=ON"); err != nil {
			return err
		}
	}
	c.appTransaction = !c.db.Autocommit()
	return c.checkDeferred()
}

// checkDeferred gives up transactions of our own where a constraint would then be checked later than in LiveStore.
func (c *child) checkDeferred() error {
	return c.db.Query("SELECT sql FROM sqlite_schema WHERE sql LIKE '%deferr%'", engine.Binds{}, func([]string, []any) error {
		c.params.Autocommit = true
		return nil
	})
}

func (c *child) hook(name string) error {
	r, err := c.engine.Hook(name)
	if err != nil {
		return err
	}
	if r.Error != nil {
		c.result.HookErrors = append(c.result.HookErrors, fmt.Sprintf("%s: %s: %s", name, r.Error.Name, r.Error.Message))
	}
	return nil
}

func (c *child) begin() error {
	if c.params.Autocommit || c.appTransaction || !c.db.Autocommit() {
		return nil
	}
	c.uncommitted = 0
	return c.exec("BEGIN")
}

func (c *child) commit() error {
	if c.params.Autocommit || c.appTransaction || c.db.Autocommit() {
		return nil
	}
	return c.exec("COMMIT")
}

// events answers frame after frame until the parent ends or an event is poison.
func (c *child) events() error {
	return serve(c.session, func(kind byte, text string) (bool, error) {
		a, err := c.frame(kind, text)
		if err != nil || c.result.Poison != nil {
			return false, err
		}
		return true, c.session.Send(a)
	})
}

// serve hands each of the parent's frames to handle until the parent ends, handle fails, or it has had enough. While
// nothing comes it tells the parent that the child is alive.
func serve(s *script.Session, handle func(kind byte, text string) (more bool, err error)) error {
	frames := make(chan []byte, 2)
	var readErr error
	go func() { // it ends with the parent's last frame, or with the process
		defer close(frames)
		for {
			b, err := s.RecvBytes()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					readErr = err
				}
				return
			}
			frames <- b
		}
	}()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.Send(answer{Idle: true}); err != nil {
				return err
			}
		case b, ok := <-frames:
			if !ok {
				return readErr
			}
			if len(b) == 0 {
				return errors.New("an empty frame")
			}
			if more, err := handle(b[0], string(b[1:])); err != nil || !more {
				return err
			}
		}
	}
}

func (c *child) frame(kind byte, text string) (answer, error) {
	start := time.Now() //nolint:forbidigo // a stopwatch: says what bounds a replay, decides nothing
	if kind == frameSnapshot {
		if err := c.commit(); err != nil {
			return answer{}, err
		}
		if err := copyFile(c.params.Path, text); err != nil {
			// The replay itself is not in danger: the parent sees that the copy is incomplete.
			_ = os.Remove(text)
		}
		return answer{}, c.begin()
	}
	applied, err := c.engine.ApplyText(text)
	c.applying += time.Since(start)
	if err != nil {
		return answer{}, err
	}
	if applied.Poison != nil {
		c.result.Poison = applied.Poison
		c.result.NeedsAutocommit = !c.params.Autocommit && !c.appTransaction && strings.Contains(applied.Poison.Message, "within a transaction")
		return answer{}, nil
	}
	c.uncommitted += strings.Count(text, `"n":`) // rough is enough
	if c.uncommitted >= commitEvery {
		if err := c.commit(); err != nil {
			return answer{}, err
		}
		if err := c.begin(); err != nil {
			return answer{}, err
		}
	}
	return answer{Micros: time.Since(start).Microseconds(), Skipped: applied.Skipped}, nil
}

func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	_, err = io.Copy(dst, src)
	return err
}
