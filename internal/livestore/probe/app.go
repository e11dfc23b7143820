package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/payload"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
)

// An App is a release as a probe needs it.
type App struct {
	Version       string                   `json:"version"`
	Program       engine.Program           `json:"program"`
	Tables        []schema.Table           `json:"tables"`
	Events        []schema.Event           `json:"events"`
	Materializers []schema.Materializer    `json:"materializers"`
	Migrations    schema.Migrations        `json:"migrations"`
	Hints         map[string]payload.Hints `json:"hints,omitempty"` // by event
}

// AppOf is a recorded release with its script. hints may be nil: see bundle's Hints.
func AppOf(r *schema.Release, p engine.Program, hints map[string]payload.Hints) App {
	a := App{
		Version: r.Version, Program: p, Tables: r.Tables, Materializers: r.Materializers, Migrations: r.Migrations, Hints: hints,
		Events: slices.Clone(r.Events),
	}
	for i := range a.Events {
		a.Events[i].JSONSchema = nil
	}
	return a
}

// event returns the definition of an event.
func (a *App) event(name string) *schema.Event {
	for i := range a.Events {
		if a.Events[i].Name == name {
			return &a.Events[i]
		}
	}
	return nil
}

// subjects are the events whose materializers are the app's own, in the order of their names. LiveStore makes those of
// client documents.
func (a *App) subjects() []*schema.Event {
	var out []*schema.Event
	for _, m := range a.Materializers {
		if e := a.event(m.Event); e != nil && !e.Derived && e.Args != nil {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *schema.Event) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// A runner is an evaluated App with two states beside it: one empty, one filled. It lives in the sandbox's child.
type runner struct {
	app    *App
	engine *engine.Engine
	empty  *engine.DB
	filled *engine.DB
	fill   []engine.Operation // what filled the filled one
	seq    int64
	gens   map[string]*payload.Generator
}

// open evaluates an app and makes its empty state. The caller closes it.
func open(s *script.Session, app *App, opts script.VMOptions) (*runner, error) {
	e, err := engine.Open(s, app.Program, nil, opts)
	if err != nil {
		return nil, err
	}
	r, err := newRunner(e, app)
	if err != nil {
		e.Close()
		return nil, err
	}
	return r, nil
}

func newRunner(e *engine.Engine, app *App) (*runner, error) {
	r := &runner{app: app, engine: e, gens: map[string]*payload.Generator{}}
	var err error
	r.empty, err = r.create()
	return r, err
}

// close closes the engine and the states.
func (r *runner) close() {
	r.engine.Close()
	r.closeStates()
}

func (r *runner) closeStates() {
	for _, db := range []*engine.DB{r.empty, r.filled} {
		if db != nil {
			db.Close()
		}
	}
}

// create makes a state without rows as LiveStore's migration does, hooks included: they may make tables or triggers.
func (r *runner) create() (*engine.DB, error) {
	db, err := engine.OpenDB("")
	if err != nil {
		return nil, err
	}
	if err := r.migrate(db); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

func (r *runner) migrate(db *engine.DB) error {
	if err := db.Exec("PRAGMA foreign_keys=ON", engine.Binds{}); err != nil {
		return err
	}
	if err := r.hook(db, "init"); err != nil {
		return err
	}
	for _, t := range r.app.Tables {
		for _, ddl := range t.DDL {
			if err := db.Exec(ddl, engine.Binds{}); err != nil {
				return fmt.Errorf("create table %s: %w", t.Name, err)
			}
		}
	}
	return r.hook(db, "pre")
}

// hook runs a migration hook. One that fails in the sandbox is left out: what needs its tables fails by itself.
func (r *runner) hook(db *engine.DB, name string) error {
	if !slices.ContainsFunc(r.app.Migrations.Hooks, func(h schema.Hook) bool { return h.Name == name }) {
		return nil
	}
	r.engine.DB = db
	_, err := r.engine.Hook(name)
	return err
}

// generator is the payload generator of an event.
func (r *runner) generator(e *schema.Event) *payload.Generator {
	g := r.gens[e.Name]
	if g == nil {
		g = payload.New(e.Args, r.app.Hints[e.Name])
		r.gens[e.Name] = g
	}
	return g
}

// admitted returns the payloads that the app's decoder admits, as JSON, and how many it refused.
func (r *runner) admitted(event string, values []any) (list []json.RawMessage, refused int, err error) {
	if len(values) == 0 {
		return nil, 0, nil
	}
	ask := make([]engine.Payload, len(values))
	for i, v := range values {
		ask[i] = engine.Payload{Name: event, Args: payload.Encode(v)}
	}
	issues, err := r.engine.Decode(ask)
	if err != nil {
		return nil, 0, err
	}
	for i, issue := range issues {
		if issue == nil {
			list = append(list, ask[i].Args)
		} else {
			refused++
		}
	}
	return list, refused, nil
}

// admits asks about one payload.
func (r *runner) admits(event string, args json.RawMessage) bool {
	issues, err := r.engine.Decode([]engine.Payload{{Name: event, Args: args}})
	return err == nil && len(issues) == 1 && issues[0] == nil
}

// A step is an event of a probe.
type step struct {
	event string
	args  json.RawMessage
}

// materialize asks for the statements of one event against a state, and executes nothing.
func (r *runner) materialize(db *engine.DB, s step) (engine.Materialized, error) {
	r.engine.DB = db
	r.seq++
	return r.engine.Materialize(livestore.Event{
		Name: s.event, Args: s.args, Seq: livestore.ClientSeq{Global: livestore.SeqNum(r.seq)},
		Parent: livestore.ClientSeq{Global: livestore.SeqNum(r.seq - 1)}, ClientID: "client", SessionID: "session",
	})
}

// execute runs the statements of one event.
func execute(db *engine.DB, ops []engine.Operation) *engine.Poison {
	for _, op := range ops {
		if err := db.Exec(op.SQL, op.Binds); err != nil {
			return sqlPoison(op.SQL, err)
		}
	}
	return nil
}

func sqlPoison(sql string, err error) *engine.Poison {
	return &engine.Poison{Stage: engine.StageSQL, Name: "SqliteError", Message: err.Error(), SQL: sql}
}

// apply materializes and executes one event.
func (r *runner) apply(db *engine.DB, s step) (engine.Materialized, error) {
	m, err := r.materialize(db, s)
	if err == nil && m.Poison == nil {
		m.Poison = execute(db, m.Ops)
	}
	return m, err
}

const savepoint = "headgate_probe"

// within runs f and undoes what it did to the state.
func within(db *engine.DB, f func() error) error {
	if err := db.Exec("SAVEPOINT "+savepoint, engine.Binds{}); err != nil {
		return err
	}
	err := f()
	if back := db.Exec("ROLLBACK TO "+savepoint+"; RELEASE "+savepoint, engine.Binds{}); back != nil {
		return errors.Join(err, errTransaction)
	}
	return err
}

var errTransaction = errors.New("a materializer begins or ends a transaction, so its effect can't be taken back")

// SQLite's extended codes of the constraints that depend on the rows already there.
const (
	constraintForeignKey = 787
	constraintPrimaryKey = 1555
	constraintUnique     = 2067
	constraintRowID      = 2579
)

// collides reports whether a failure only says that a row is already there, or that one referred to is not.
func collides(p *engine.Poison) bool {
	return hasCode(p, constraintForeignKey, constraintPrimaryKey, constraintUnique, constraintRowID)
}

// refersToNothing reports whether a failure only says that a row referred to is not there.
func refersToNothing(p *engine.Poison) bool { return hasCode(p, constraintForeignKey) }

func hasCode(p *engine.Poison, codes ...int) bool {
	return p != nil && p.Stage == engine.StageSQL && slices.ContainsFunc(codes, func(code int) bool {
		return strings.HasSuffix(p.Message, fmt.Sprintf("(SQLite code %d)", code))
	})
}
