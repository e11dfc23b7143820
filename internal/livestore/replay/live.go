package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/script"
)

// A Live is a state that stays open: events are added to it as its log grows, and it can be asked. It is used by one
// goroutine. A failed call ends it.
type Live struct {
	target Target
	proc   *script.Proc
	parts  chan livePart
	done   chan struct{}
	Head   livestore.ClientSeq // the last event that is in it

	tried []livestore.ClientSeq // the last events of the batches that are tried
	kept  int                   // batches that are in it, but can't be let go of in the database yet
}

// maxTried is how many batches may lie on each other in the database: each costs it a savepoint.
const maxTried = 64

type livePart struct {
	answer liveAnswer
	err    error
}

// LiveOptions say what is there beside the state.
type LiveOptions struct {
	// Namespace is what uuid5(name), in SQL and in the module, derives its ids from.
	Namespace string
	// Inputs are tables of outside values. Their names must be none of the release's tables.
	Inputs []Input
	// Module is what [Live.Generate] runs; nil for nothing.
	Module *Module
}

// Follow replays the log into Options.Out, as [Replay] does, and keeps that state open. A log with a poison event
// has no state: then the Live is nil, and the result says why. The caller closes the Live, and removes the file.
func Follow(ctx context.Context, l script.Launcher, t Target, r eventlog.Reader, o Options, more LiveOptions) (*Live, Result, error) {
	res, err := Replay(ctx, l, t, r, o)
	if err != nil || res.Poison != nil {
		return nil, res, err
	}
	proc, err := l.Start(ctx, LiveJob, liveParams{
		Program: t.Program, Path: o.Out, Namespace: more.Namespace, Inputs: more.Inputs, Module: more.Module,
	})
	if err != nil {
		return nil, res, err
	}
	v := &Live{target: t, proc: proc, parts: make(chan livePart), done: make(chan struct{}), Head: res.Head}
	go v.receive(ctx)
	return v, res, nil
}

// receive takes what the child sends at all times: an idle child says that it is alive, and is killed if nobody hears it.
func (v *Live) receive(ctx context.Context) {
	defer close(v.parts)
	for {
		data, done, err := v.proc.Recv(ctx)
		var p livePart
		switch {
		case err != nil:
			p.err = err
		case done:
			p.err = errors.New("the sandbox ended early")
		default:
			p.err = json.Unmarshal(data, &p.answer)
		}
		if p.err == nil && p.answer.Idle {
			continue
		}
		select {
		case v.parts <- p:
		case <-v.done:
			return
		}
		if p.err != nil {
			return
		}
	}
}

// Close ends the child and waits for it.
func (v *Live) Close() {
	close(v.done)
	v.proc.Close()
	for range v.parts { // until the receiver is gone
	}
}

// ask sends a frame and hands each part of the answer to part.
func (v *Live) ask(frame []byte, part func(liveAnswer) error) error {
	if err := v.proc.SendBytes(frame); err != nil {
		if p, ok := <-v.parts; ok && p.err != nil {
			return p.err
		}
		return err
	}
	for p := range v.parts {
		if p.err != nil {
			return p.err
		}
		if err := part(p.answer); err != nil {
			return err
		}
		if p.answer.Last {
			return nil
		}
	}
	return errors.New("the sandbox has ended")
}

// Apply adds events. The first one that the release fails on is returned; the state is then useless. Nothing may be tried.
func (v *Live) Apply(events []livestore.Event) (*Poison, error) {
	if err := v.settled(); err != nil {
		return nil, err
	}
	p, err := v.events(frameEvents, events)
	if err == nil && p == nil && len(events) > 0 {
		v.Head = events[len(events)-1].Seq
	}
	return p, err
}

// Try adds a batch on trial, on top of those that are tried already. The first event that the release fails on is
// returned, and then the batch is not there. Until what is tried was kept or dropped, the state can't be asked.
func (v *Live) Try(events []livestore.Event) (*Poison, error) {
	if !v.Room() {
		return nil, errors.New("too many batches are tried")
	}
	p, err := v.events(frameTry, events)
	if err == nil && p == nil {
		v.tried = append(v.tried, events[len(events)-1].Seq)
	}
	return p, err
}

// Room reports whether one more batch may be tried.
func (v *Live) Room() bool { return v.kept+len(v.tried) < maxTried }

// Top is the last event that is tried, or else the last one of the state.
func (v *Live) Top() livestore.ClientSeq {
	if n := len(v.tried); n > 0 {
		return v.tried[n-1]
	}
	return v.Head
}

// Keep makes the first batch that is tried a part of the state.
func (v *Live) Keep() error {
	v.Head, v.tried = v.tried[0], v.tried[1:]
	v.kept++
	if len(v.tried) > 0 {
		return nil // a savepoint can't be released without those inside of it
	}
	v.kept = 0
	return v.ask([]byte{0, frameKeep}, func(liveAnswer) error { return nil })
}

// Drop takes all batches back that are tried.
func (v *Live) Drop() error {
	if len(v.tried) == 0 {
		return nil
	}
	frame := fmt.Appendf([]byte{0, frameDrop}, "%d", v.kept)
	v.tried, v.kept = nil, 0
	return v.ask(frame, func(liveAnswer) error { return nil })
}

func (v *Live) settled() error {
	if len(v.tried) > 0 {
		return errors.New("batches are tried, and were neither kept nor dropped")
	}
	return nil
}

func (v *Live) events(kind byte, events []livestore.Event) (*Poison, error) {
	b := &batch{frame: []byte{0, kind, '['}}
	for _, e := range events {
		b.add(e)
	}
	var found *engine.Poison
	err := v.ask(append(b.frame, ']'), func(a liveAnswer) error {
		found = a.Poison
		return nil
	})
	if err != nil || found == nil {
		return nil, err
	}
	p := &Poison{Stage: found.Stage, Path: found.Path, Wanted: found.Wanted, Error: found.Name, Message: found.Message, SQL: withoutLiterals(found.SQL)}
	if found.Event >= 0 && found.Event < len(events) {
		p.Seq, p.Event = events[found.Event].Seq, events[found.Event].Name
	}
	if v.target.Locate != nil && found.Stack != "" {
		p.Where = v.target.Locate(found.Stack)
	}
	return p, nil
}

// A QueryError is what SQLite refuses a query for.
type QueryError struct {
	Msg    string
	Offset int // the byte of the query that it is about; -1 where SQLite does not say
}

func (e *QueryError) Error() string { return "SQLite refuses the query: " + e.Msg }

// Query runs one statement that reads, and calls row with each row: nil, int64, float64, string or []byte. An error
// of SQLite is a *QueryError. The state can't be changed by it.
func (v *Live) Query(sql string, row func(columns []string, values []any) error) error {
	if err := v.settled(); err != nil {
		return err
	}
	var failed *engine.SQLError
	err := v.ask(append([]byte{0, frameQuery}, sql...), func(a liveAnswer) error {
		failed = a.SQL
		for _, r := range a.Rows {
			values, err := decodeRow(r)
			if err != nil {
				return fmt.Errorf("decode a row: %w", err)
			}
			if err := row(a.Columns, values); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && failed != nil {
		return &QueryError{Msg: failed.Msg, Offset: failed.Offset}
	}
	return err
}

// Snapshot copies the state to path.
func (v *Live) Snapshot(path string) error {
	if err := v.settled(); err != nil {
		return err
	}
	return v.ask(append([]byte{0, frameSnapshot}, path...), func(liveAnswer) error { return nil })
}
