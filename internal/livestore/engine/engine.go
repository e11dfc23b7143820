package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/internal/livestore"
	"headgate/internal/livestore/script"
)

// A Program is what an Engine evaluates: a bundle, and the export of its entry that is the schema.
type Program struct {
	Code   string `json:"code"`
	Export string `json:"export"` // empty: the only export that is a LiveStore schema
}

// Sources are the scripts that evaluating p takes, see [script.Compiled].
func (p Program) Sources() []string { return []string{p.Code} }

// A ChooseProblem says why a program has no schema under the export that was asked for.
type ChooseProblem struct {
	Kind    string   `json:"error"`   // no-export, no-schema, several-schemas or not-a-schema
	Exports []string `json:"exports"` // what the entry exports
	Schemas []string `json:"schemas"` // those that are LiveStore schemas
	Type    string   `json:"type"`    // JavaScript's type of what is not a schema
}

func (p *ChooseProblem) Error() string { return "the entry has no such schema: " + p.Kind }

// An Engine is an evaluated schema with its state database. It is used by one goroutine.
type Engine struct {
	// DB is the state database; the caller of Open owns it.
	DB *DB
	vm *script.VM

	// SQLTime is how long SQLite has worked for the events so far; the rest of their time is the app's code.
	SQLTime time.Duration

	texts   []string // statements that the driver names by number
	binds   Binds    // of the operation at hand; its memory is used again
	answer  []byte   // likewise
	trouble error    // the machine's, met during the running call
}

// Open evaluates p in a VM of the session. A throw is a *script.Failure, a missing schema a *ChooseProblem.
func Open(s *script.Session, p Program, db *DB, opts script.VMOptions) (*Engine, error) {
	vm, err := s.NewVM(opts)
	if err != nil {
		return nil, err
	}
	e := &Engine{vm: vm, DB: db}
	if err := e.load(p); err != nil {
		vm.Close()
		return nil, err
	}
	return e, nil
}

func (e *Engine) load(p Program) error {
	if err := e.vm.Host("__headgate_sql", e.sql); err != nil {
		return err
	}
	if err := e.vm.Load("bundle", p.Code); err != nil {
		return err
	}
	if err := e.vm.Evaluated(); err != nil {
		return err
	}
	var problem *ChooseProblem
	if err := e.call("choose", p.Export, &problem); err != nil {
		return err
	}
	if problem != nil {
		return problem
	}
	return nil
}

// Close frees the VM; the database stays open.
func (e *Engine) Close() { e.vm.Close() }

func (e *Engine) call(function string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode for %s: %w", function, err)
	}
	r, err := e.vm.Call("__headgate_"+function, string(b))
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(r), out); err != nil {
		return fmt.Errorf("decode what %s returned: %w", function, err)
	}
	return nil
}

// Describe returns the driver's description of the schema, the input of package bundle.
func (e *Engine) Describe() (json.RawMessage, error) {
	var out json.RawMessage
	return out, e.call("describe", nil, &out)
}

// An Operation is a statement that a materializer issued for the event at index Event of its batch.
type Operation struct {
	Event int    `json:"e"`
	SQL   string `json:"sql"`
	Binds Binds  `json:"binds"`
}

// A Stage is where an event turned out to be poison.
type Stage string

const (
	StageDecode      Stage = "decode"      // the arguments don't decode
	StageMaterialize Stage = "materialize" // the materializer threw
	StageQuery       Stage = "query"       // a query that the materializer made failed
	StageSQL         Stage = "sql"         // SQLite refused one of its statements
	StageUnknown     Stage = "unknown"     // no definition or materializer, and unknownEventHandling is "fail"
)

// A Poison says why an event can't be materialized. It holds no payload values.
type Poison struct {
	Event   int    `json:"e"` // index in the batch
	Stage   Stage  `json:"stage"`
	Path    string `json:"path,omitempty"`   // the JSON path that does not decode ("$.estimate")
	Wanted  string `json:"wanted,omitempty"` // what the schema wanted there
	Name    string `json:"name,omitempty"`   // the error's name
	Message string `json:"message,omitempty"`
	SQL     string `json:"sql,omitempty"`
	Stack   string `json:"stack,omitempty"` // QuickJS's trace; package bundle turns it into TypeScript places
}

// A Skip is an event that the schema does not know; LiveStore skips it and goes on.
type Skip struct {
	Event  int
	Reason string // event-definition-missing or materializer-missing
}

// MarshalJSON encodes [index, reason].
func (s Skip) MarshalJSON() ([]byte, error) { return json.Marshal([]any{s.Event, s.Reason}) }

// UnmarshalJSON decodes the driver's [index, reason].
func (s *Skip) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&s.Event, &s.Reason})
}

// AppendEvent appends an event in the form that the driver takes, which is its arguments as they are stored in a
// frame of the other fields.
func AppendEvent(b []byte, e livestore.Event) []byte {
	b = append(b, `{"n":`...)
	b = appendString(b, e.Name)
	b = append(b, `,"a":`...)
	if len(e.Args) == 0 {
		b = append(b, "null"...)
	}
	b = append(b, e.Args...)
	b = appendSeq(append(b, `,"s":[`...), e.Seq)
	b = appendSeq(append(b, `],"p":[`...), e.Parent)
	b = appendString(append(b, `],"c":`...), e.ClientID)
	b = appendString(append(b, `,"x":`...), e.SessionID)
	return append(b, '}')
}

func appendSeq(b []byte, s livestore.ClientSeq) []byte {
	b = append(strconv.AppendInt(b, int64(s.Global), 10), ',')
	b = append(strconv.AppendInt(b, s.Client, 10), ',')
	return strconv.AppendInt(b, s.Rebase, 10)
}

// Applied is the outcome of a batch.
type Applied struct {
	Skipped []Skip
	// Poison is the event that the batch stopped at; the events before it are in the database whole.
	Poison *Poison
}

// Apply materializes a batch of events, in order, into the database. It stops at the first poison event, as a
// rebuild in LiveStore does. The caller decides about transactions. An error is the machine's or headgate's own
// trouble (a full disk), not the events'.
func (e *Engine) Apply(events []livestore.Event) (Applied, error) {
	b := []byte{'['}
	for i, ev := range events {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendEvent(b, ev)
	}
	return e.ApplyText(string(append(b, ']')))
}

// ApplyText is [Engine.Apply] for a JSON array of what [AppendEvent] wrote.
func (e *Engine) ApplyText(events string) (Applied, error) {
	e.trouble = nil
	text, err := e.vm.Call("__headgate_apply", events)
	if err != nil {
		return Applied{}, err
	}
	if e.trouble != nil {
		return Applied{}, e.trouble
	}
	s := scanner{s: text}
	if err := s.expect(`{"o":`); err != nil {
		return Applied{}, err
	}
	start := time.Now() //nolint:forbidigo // a stopwatch: says what bounds a replay, decides nothing
	failed, err := e.operations(&s)
	e.SQLTime += time.Since(start)
	if e.trouble != nil {
		return Applied{}, e.trouble
	}
	if err != nil && failed == nil {
		return Applied{}, err
	}
	var rest struct {
		Skipped []Skip  `json:"s"`
		Poison  *Poison `json:"p"`
	}
	if s.accept(',') {
		if err := json.Unmarshal([]byte("{"+s.s[s.i:]), &rest); err != nil {
			return Applied{}, fmt.Errorf("decode what apply returned: %w", err)
		}
	}
	if failed != nil {
		// An operation runs only after its whole batch went through the materializers, or before a query of a later
		// event; either way its own event is the one to blame.
		skipped := rest.Skipped[:0]
		for _, k := range rest.Skipped {
			if k.Event < failed.Event {
				skipped = append(skipped, k)
			}
		}
		return Applied{Skipped: skipped, Poison: failed}, nil
	}
	return Applied{Skipped: rest.Skipped, Poison: rest.Poison}, nil
}

// maxTexts is how many statements the driver names by number; it knows the same limit.
const maxTexts = 4096

// operations reads [[event, statement, binds], …] and executes it. A statement is its text the first time, its
// number afterwards. After one that SQLite refuses the rest is only read; failed says which and why.
func (e *Engine) operations(s *scanner) (failed *Poison, err error) {
	if err := s.expect("["); err != nil {
		return nil, err
	}
	if s.accept(']') {
		return nil, nil
	}
	for {
		if err := s.expect("["); err != nil {
			return nil, err
		}
		event, err := s.int()
		if err != nil {
			return nil, err
		}
		if err := s.expect(","); err != nil {
			return nil, err
		}
		text, err := e.statement(s)
		if err != nil {
			return nil, err
		}
		if err := s.expect(","); err != nil {
			return nil, err
		}
		if err := s.binds(&e.binds); err != nil {
			return nil, err
		}
		if err := s.expect("]"); err != nil {
			return nil, err
		}
		if failed == nil {
			if err := e.DB.Exec(text, e.binds); err != nil {
				e.machine(err)
				failed = &Poison{Event: event, Stage: StageSQL, Name: "SqliteError", Message: err.Error(), SQL: text}
			}
		}
		if !s.accept(',') {
			return failed, s.expect("]")
		}
	}
}

func (e *Engine) statement(s *scanner) (string, error) {
	if s.next() != '"' {
		n, err := s.int()
		if err != nil || n < 0 || n >= len(e.texts) {
			return "", s.bad("a statement's number")
		}
		return e.texts[n], nil
	}
	text, err := s.string()
	if err == nil && len(e.texts) < maxTexts {
		text = strings.Clone(text) // the answer that it is cut from is large
		e.texts = append(e.texts, text)
	}
	return text, err
}

// machine keeps an error that no event is to blame for.
func (e *Engine) machine(err error) {
	var se *SQLError
	if errors.As(err, &se) && se.Machine() {
		e.trouble = err
	}
}

// Materialized is what one event makes, with nothing executed.
type Materialized struct {
	Ops     []Operation `json:"ops"`
	Queried bool        `json:"queried"` // the materializer read the state
	Skipped string      `json:"skipped"` // why the event is unknown to the schema
	Poison  *Poison     `json:"poison"`
}

// Materialize asks for the statements of one event; queries see the database as it is.
func (e *Engine) Materialize(ev livestore.Event) (Materialized, error) {
	var out Materialized
	text, err := e.vm.Call("__headgate_materialize", string(AppendEvent(nil, ev)))
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return out, fmt.Errorf("decode what materialize returned: %w", err)
	}
	return out, nil
}

// A DecodeIssue says why a payload does not decode. A nil issue means that it does.
type DecodeIssue struct {
	Reason string `json:"reason,omitempty"` // event-definition-missing
	Path   string `json:"path,omitempty"`
	Wanted string `json:"wanted,omitempty"`
}

// A Payload is an event's name and encoded arguments.
type Payload struct {
	Name string
	Args json.RawMessage
}

// MarshalJSON encodes the driver's [name, args].
func (p Payload) MarshalJSON() ([]byte, error) { return json.Marshal([]any{p.Name, p.Args}) }

// Decode asks the schema's own decoder about each payload.
func (e *Engine) Decode(payloads []Payload) ([]*DecodeIssue, error) {
	var out []*DecodeIssue
	return out, e.call("decode", payloads, &out)
}

// Identify has the driver say of each event of a JSON array of what [AppendEvent] wrote how it is told from others; out is
// a pointer to a slice in the form of the driver's answer.
func (e *Engine) Identify(events string, out any) error {
	text, err := e.vm.Call("__headgate_identify", events)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), out)
}

// A HookRun is the outcome of a migration hook.
type HookRun struct {
	Ran   bool    `json:"ran"`
	Error *Poison `json:"error"`
}

// Hook runs a migration hook (init, pre, post) of the schema against the database.
func (e *Engine) Hook(name string) (HookRun, error) {
	var out HookRun
	return out, e.call("hook", name, &out)
}

// sql serves the driver: it runs the operations that are still pending, then a query. The request is
// {"o":[…],"q":[text, binds]} or {"o":[…]}, the answer {"c":[…],"r":[[…]]} or {"error", "failed"}.
func (e *Engine) sql(request string) (string, error) {
	start := time.Now() //nolint:forbidigo // a stopwatch: says what bounds a replay, decides nothing
	defer func() { e.SQLTime += time.Since(start) }()
	s := scanner{s: request}
	if err := s.expect(`{"o":`); err != nil {
		return "", err
	}
	failed, err := e.operations(&s)
	if err != nil {
		return "", err
	}
	if failed != nil {
		return e.sqlError(failed.Message, failed.Event)
	}
	if !s.accept(',') {
		return "{}", nil
	}
	if err := s.expect(`"q":[`); err != nil {
		return "", err
	}
	text, err := s.string()
	if err != nil {
		return "", err
	}
	if err := s.expect(","); err != nil {
		return "", err
	}
	if err := s.binds(&e.binds); err != nil {
		return "", err
	}
	b := append(e.answer[:0], '{')
	err = e.DB.Query(text, e.binds, func(columns []string, values []any) error {
		if len(b) == 1 {
			b = append(b, `"c":[`...)
			for i, c := range columns {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendString(b, c)
			}
			b = append(b, `],"r":[`...)
		} else {
			b = append(b, ',')
		}
		b = append(b, '[')
		for i, v := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, v)
		}
		b = append(b, ']')
		return nil
	})
	if err != nil {
		e.machine(err)
		return e.sqlError(err.Error(), -1)
	}
	if len(b) > 1 {
		b = append(b, ']')
	}
	b = append(b, '}')
	if cap(b) <= 1<<20 {
		e.answer = b
	}
	return string(b), nil
}

func (e *Engine) sqlError(message string, event int) (string, error) {
	b, err := json.Marshal(struct {
		Error  string `json:"error"`
		Failed int    `json:"failed"` // the event whose operation failed, -1 for the query
	}{message, event})
	return string(b), err
}
