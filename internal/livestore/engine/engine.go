package engine

import (
	"encoding/json"
	"fmt"

	"headgate/internal/livestore"
	"headgate/internal/livestore/script"
)

// A Program is what an Engine evaluates: a bundle, and the export of its entry that is the schema.
type Program struct {
	Code   string `json:"code"`
	Export string `json:"export"` // empty: the only export that is a LiveStore schema
}

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

// BundleName is the file name that stack frames give for the bundle.
const BundleName = "<input>"

func (e *Engine) load(p Program) error {
	if err := e.vm.Host("__headgate_sql", e.sql); err != nil {
		return err
	}
	if err := e.vm.Load("bundle", p.Code); err != nil {
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

// UnmarshalJSON decodes the driver's [index, reason].
func (s *Skip) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&s.Event, &s.Reason})
}

// wireEvent is how an event goes to the driver.
type wireEvent struct {
	Name      string          `json:"n"`
	Args      json.RawMessage `json:"a"`
	Seq       [3]int64        `json:"s"`
	Parent    [3]int64        `json:"p"`
	ClientID  string          `json:"c"`
	SessionID string          `json:"x"`
}

func toWireEvent(e livestore.Event) wireEvent {
	return wireEvent{
		Name: e.Name, Args: e.Args, ClientID: e.ClientID, SessionID: e.SessionID,
		Seq:    [3]int64{int64(e.Seq.Global), e.Seq.Client, e.Seq.Rebase},
		Parent: [3]int64{int64(e.Parent.Global), e.Parent.Client, e.Parent.Rebase},
	}
}

// Applied is the outcome of a batch.
type Applied struct {
	Skipped []Skip
	// Poison is the event that the batch stopped at; the events before it are in the database whole.
	Poison *Poison
}

// Apply materializes a batch of events, in order, into the database. It stops at the first poison event, as a
// rebuild in LiveStore does. The caller decides about transactions.
func (e *Engine) Apply(events []livestore.Event) (Applied, error) {
	in := make([]wireEvent, len(events))
	for i, ev := range events {
		in[i] = toWireEvent(ev)
	}
	var out struct {
		Ops     []Operation `json:"ops"`
		Skipped []Skip      `json:"skipped"`
		Poison  *Poison     `json:"poison"`
	}
	if err := e.call("apply", in, &out); err != nil {
		return Applied{}, err
	}
	if i, err := e.run(out.Ops); err != nil {
		// An operation runs only after its whole batch went through the materializers, or before a query of a later
		// event; either way its own event is the one to blame.
		return Applied{Skipped: out.Skipped, Poison: sqlPoison(out.Ops[i], err)}, nil
	}
	return Applied{Skipped: out.Skipped, Poison: out.Poison}, nil
}

func (e *Engine) run(ops []Operation) (int, error) {
	for i, op := range ops {
		if err := e.DB.Exec(op.SQL, op.Binds); err != nil {
			return i, err
		}
	}
	return 0, nil
}

func sqlPoison(op Operation, err error) *Poison {
	return &Poison{Event: op.Event, Stage: StageSQL, Name: "SqliteError", Message: err.Error(), SQL: op.SQL}
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
	return out, e.call("materialize", toWireEvent(ev), &out)
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

// sql serves the driver: it runs the operations that are still pending, then a query.
func (e *Engine) sql(request string) (string, error) {
	var in struct {
		Run    []Operation `json:"run"`
		Select *struct {
			SQL   string `json:"sql"`
			Binds Binds  `json:"binds"`
		} `json:"select"`
	}
	if err := json.Unmarshal([]byte(request), &in); err != nil {
		return "", err
	}
	var out struct {
		Columns []string `json:"columns"`
		Rows    [][]any  `json:"rows"`
		Error   string   `json:"error,omitempty"`
		Failed  *int     `json:"failed,omitempty"` // the event whose operation failed
	}
	out.Rows = [][]any{}
	i, err := e.run(in.Run)
	if err != nil {
		out.Failed = &in.Run[i].Event
	} else if in.Select != nil {
		err = e.DB.Query(in.Select.SQL, in.Select.Binds, func(columns []string, values []any) error {
			out.Columns = columns
			row := make([]any, len(values))
			for i, v := range values {
				row[i] = encodeValue(v)
			}
			out.Rows = append(out.Rows, row)
			return nil
		})
	}
	if err != nil {
		out.Error = err.Error()
	}
	b, err := json.Marshal(out)
	return string(b), err
}
