package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/script"
)

// LiveJob is the name under which a program registers [JobLive] in the sandbox.
const LiveJob = "live"

// liveParams start the child of a [Live], or one that only describes a module.
type liveParams struct {
	Program   engine.Program `json:"program"`
	Path      string         `json:"path"` // the state so far
	Namespace string         `json:"namespace"`
	Inputs    []Input        `json:"inputs,omitempty"`
	Module    *Module        `json:"module,omitempty"`
	// Describe evaluates the module and does nothing else, see [Exports].
	Describe bool `json:"describe,omitempty"`
}

// Sources are the scripts that the job evaluates.
func (p liveParams) Sources() []string { return p.Program.Sources() }

// Frames of a Live beside frameEvents and frameSnapshot.
const (
	frameTry    = 't' // events: apply them on top of those that are tried, in a savepoint
	frameKeep   = 'k' // nothing more: what is tried is a part of the state
	frameDrop   = 'd' // a number: keep so many of the batches that are tried, and take the others back
	frameQuery  = 'q' // a query's text
	frameModule = 'm' // nothing more: run the module
)

// A liveAnswer is a part of what the child answers to a frame; the last part has Last set.
type liveAnswer struct {
	Idle    bool              `json:"idle,omitempty"`
	Last    bool              `json:"last,omitempty"`
	Poison  *engine.Poison    `json:"poison,omitempty"`
	SQL     *engine.SQLError  `json:"sql,omitempty"`
	Columns []string          `json:"columns,omitempty"`
	Rows    []json.RawMessage `json:"rows,omitempty"`
	Events  []json.RawMessage `json:"events,omitempty"`  // [name, args] that the module yielded
	Queries []moduleQuery     `json:"queries,omitempty"` // that it made for the first time
	Failure *script.Failure   `json:"failure,omitempty"` // what it ended with
}

// rowsBytes is about how large a part of a query's answer is.
const rowsBytes = 256 << 10

// JobLive is the sandbox's side of [Live]: the state stays open, and every frame gets an answer.
func JobLive(_ context.Context, s *script.Session) (any, error) {
	var p liveParams
	if err := s.Params(&p); err != nil {
		return nil, err
	}
	if p.Describe {
		return describeModule(s, *p.Module)
	}
	db, err := engine.OpenDB(p.Path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := prepare(db); err != nil {
		return nil, err
	}
	if err := db.AddUUID5(p.Namespace); err != nil {
		return nil, err
	}
	for _, in := range p.Inputs {
		if err := in.create(db); err != nil {
			return nil, fmt.Errorf("create the table of %s: %w", in.Table, err)
		}
	}
	e, err := engine.Open(s, p.Program, db, script.VMOptions{})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	c := &liveChild{path: p.Path, db: db, engine: e, session: s, module: p.Module, namespace: p.Namespace}
	return struct{}{}, serve(s, func(kind byte, text string) (bool, error) {
		a, err := c.frame(kind, text)
		if err != nil {
			return false, err
		}
		a.Last = true
		return true, s.Send(a)
	})
}

type liveChild struct {
	path    string
	db      *engine.DB
	engine  *engine.Engine
	session *script.Session
	tried   int // batches, each in a savepoint

	module    *Module
	namespace string
}

func (c *liveChild) exec(sql string) error { return c.db.Exec(sql, engine.Binds{}) }

func (c *liveChild) frame(kind byte, text string) (liveAnswer, error) {
	switch kind {
	case frameEvents:
		a, err := c.engine.ApplyText(text)
		return liveAnswer{Poison: a.Poison}, err
	case frameTry:
		return c.try(text)
	case frameKeep:
		return liveAnswer{}, c.keep()
	case frameDrop:
		n, err := strconv.Atoi(text)
		if err != nil {
			return liveAnswer{}, err
		}
		return liveAnswer{}, errors.Join(c.drop(n), c.keep())
	case frameSnapshot:
		if err := copyFile(c.path, text); err != nil {
			_ = os.Remove(text)
			return liveAnswer{}, err
		}
		return liveAnswer{}, nil
	case frameQuery:
		return c.query(text)
	case frameModule:
		return c.runModule()
	}
	return liveAnswer{}, fmt.Errorf("unknown frame %q", kind)
}

// try applies events in a savepoint of their own.
func (c *liveChild) try(text string) (liveAnswer, error) {
	if err := c.exec(fmt.Sprintf("SAVEPOINT headgate_%d", c.tried)); err != nil {
		return liveAnswer{}, err
	}
	c.tried++
	a, err := c.engine.ApplyText(text)
	if err == nil && a.Poison != nil {
		err = c.drop(c.tried - 1)
	}
	return liveAnswer{Poison: a.Poison}, err
}

// keep lets go of all savepoints.
func (c *liveChild) keep() error {
	if c.tried == 0 {
		return nil
	}
	c.tried = 0
	return c.exec("RELEASE headgate_0")
}

// drop takes all batches back but the first n.
func (c *liveChild) drop(n int) error {
	c.tried = n
	return errors.Join(c.exec(fmt.Sprintf("ROLLBACK TO headgate_%d", n)), c.exec(fmt.Sprintf("RELEASE headgate_%d", n)))
}

// query answers with the rows in parts. What the statement says can't change the state.
func (c *liveChild) query(sql string) (a liveAnswer, err error) {
	if err := c.exec("PRAGMA query_only=ON"); err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, c.exec("PRAGMA query_only=OFF")) }()
	size := 0
	err = c.db.Query(sql, engine.Binds{}, func(columns []string, values []any) error {
		a.Columns = columns
		b, err := encodeRow(values)
		if err != nil {
			return err
		}
		a.Rows = append(a.Rows, b)
		if size += len(b); size < rowsBytes {
			return nil
		}
		size = 0
		part := a
		a.Rows = nil
		return c.session.Send(part)
	})
	var se *engine.SQLError
	if errors.As(err, &se) {
		a.SQL, err = se, nil
	}
	return a, err
}

// A cell is a value of a row between child and parent: JSON can't tell an integer from a float, or text from bytes.
type cell struct {
	Int   *int64   `json:"i,omitempty"`
	Float *float64 `json:"f,omitempty"`
	Text  *string  `json:"t,omitempty"`
	Blob  []byte   `json:"b,omitempty"`
	Bytes bool     `json:"bytes,omitempty"` // a blob, maybe empty
}

func encodeRow(values []any) (json.RawMessage, error) {
	row := make([]cell, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case nil:
		case int64:
			row[i].Int = &v
		case float64:
			row[i].Float = &v
		case string:
			row[i].Text = &v
		case []byte:
			row[i].Blob, row[i].Bytes = v, true
		}
	}
	return json.Marshal(row)
}

func decodeRow(data json.RawMessage) ([]any, error) {
	var row []cell
	if err := json.Unmarshal(data, &row); err != nil {
		return nil, err
	}
	values := make([]any, len(row))
	for i, c := range row {
		switch {
		case c.Int != nil:
			values[i] = *c.Int
		case c.Float != nil:
			values[i] = *c.Float
		case c.Text != nil:
			values[i] = *c.Text
		case c.Bytes:
			values[i] = c.Blob
		}
	}
	return values, nil
}
