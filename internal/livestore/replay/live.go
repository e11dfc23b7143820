package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"headgate/internal/errs"
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
}

type livePart struct {
	answer liveAnswer
	err    error
}

// Follow replays the log into Options.Out, as [Replay] does, and keeps that state open. A log with a poison event
// has no state: then the Live is nil, and the result says why. namespace is what the SQL function uuid5(name)
// derives its ids from. The caller closes the Live, and removes the file.
func Follow(ctx context.Context, l script.Launcher, t Target, r eventlog.Reader, o Options, namespace string) (*Live, Result, error) {
	res, err := Replay(ctx, l, t, r, o)
	if err != nil || res.Poison != nil {
		return nil, res, err
	}
	proc, err := l.Start(ctx, LiveJob, liveParams{Program: t.Program, Path: o.Out, Namespace: namespace})
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

// Apply adds events. The first one that the release fails on is returned; the state is then useless.
func (v *Live) Apply(events []livestore.Event) (*Poison, error) {
	p, err := v.events(frameEvents, events)
	if err == nil && p == nil && len(events) > 0 {
		v.Head = events[len(events)-1].Seq
	}
	return p, err
}

// Try adds events and takes them back. The first one that the release fails on is returned.
func (v *Live) Try(events []livestore.Event) (*Poison, error) { return v.events(frameTry, events) }

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

// Query runs one statement that reads, and calls row with each row: nil, int64, float64, string or []byte. An error
// of SQLite is an *errs.Error. The state can't be changed by it.
func (v *Live) Query(sql string, row func(columns []string, values []any) error) error {
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
		return errs.Invalidf("SQLite refuses the query: %s", failed.Msg)
	}
	return err
}

// Snapshot copies the state to path.
func (v *Live) Snapshot(path string) error {
	return v.ask(append([]byte{0, frameSnapshot}, path...), func(liveAnswer) error { return nil })
}
