package migrations

import (
	"context"
	"fmt"
	"iter"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// Check runs the migration's queries on the state of an empty log, which finds what SQLite or the events' schemas would
// refuse in every store; a module runs once, and must do so without any row. It needs no log.
func (j Job) Check(ctx context.Context) error {
	j.Log, j.After = emptyLog{}, nil
	s, err := j.follow(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	queries := s.Definition.Emits
	if s.Definition.module != nil {
		queries = nil
		if _, err := s.dueOf(0); err != nil {
			return err
		}
	}
	for _, e := range queries {
		columns, err := s.columns(e.SQL, e.SQLLine)
		if err != nil {
			return err
		}
		if _, err := newEncoder(s.Definition, e, s.Target.Release, columns); err != nil {
			return err
		}
	}
	for _, a := range s.Definition.Asserts {
		columns, err := s.columns(a.SQL, a.SQLLine)
		if err != nil {
			return err
		}
		if len(columns) != 1 {
			return errs.Invalidf("the assert %q returns %d columns", a.Label, len(columns)).At("%s:%d", s.Definition.Path, a.Line).
				Hintf("an assert returns one row with one value, 1 when it holds")
		}
	}
	if s.Definition.Marker == "" {
		return nil
	}
	_, err = s.markerArgs()
	return err
}

// columns are the names of a query's columns. What SQLite refuses it for is found in the query as it is; then the outer
// join makes a row where it has none.
func (s *session) columns(sql string, line int) (names []string, err error) {
	if err := s.query("EXPLAIN "+sql, line, func([]string, []any) error { return nil }); err != nil {
		return nil, err
	}
	err = s.query("SELECT q.* FROM (SELECT 1) LEFT JOIN (\n"+sql+"\n) AS q ON 1 LIMIT 1", line, func(columns []string, _ []any) error {
		names = columns
		return nil
	})
	return names, err
}

// emptyLog is the log of a store that nobody wrote to.
type emptyLog struct{}

func (emptyLog) Head(context.Context) (eventlog.Head, error) { return eventlog.Head{}, nil }
func (emptyLog) ClientOnly() bool                            { return false }
func (emptyLog) Close() error                                { return nil }
func (emptyLog) Events(context.Context, livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(func(livestore.Event, error) bool) {}
}

// A Standing is what a log alone says of a migration, without any state.
type Standing struct {
	Migration string           `json:"migration"`
	Known     bool             `json:"known"`            // there is a file of this name
	Events    int64            `json:"events"`           // committed
	Marked    bool             `json:"marked"`           // its marker is there
	Edited    string           `json:"edited,omitempty"` // the beginning of another checksum that it ran with
	Last      livestore.SeqNum `json:"last"`             // its last event
	Runs      int              `json:"runs"`
}

// Scan reads a log and says how the migrations stand in it: those that are given, and others that left events.
func Scan(ctx context.Context, log eventlog.Reader, defs []Definition) ([]Standing, error) {
	out := make([]Standing, len(defs))
	at := map[string]int{}
	for i, d := range defs {
		out[i] = Standing{Migration: d.Name, Known: true}
		at[d.Name] = i
	}
	runs := map[string]map[string]bool{}
	for e, err := range log.Events(ctx, livestore.ClientSeq{}) {
		if err != nil {
			return nil, err
		}
		name, sum, ours := committedBy(e.ClientID)
		if !ours {
			for i, d := range defs {
				out[i].Marked = out[i].Marked || d.marks(e)
			}
			continue
		}
		i, ok := at[name]
		if !ok {
			i = len(out)
			out = append(out, Standing{Migration: name})
			at[name] = i
		}
		s := &out[i]
		s.Last = e.Seq.Global
		if runs[name] == nil {
			runs[name] = map[string]bool{}
		}
		runs[name][e.SessionID] = true
		s.Runs = len(runs[name])
		if !s.Known {
			s.Events++
			continue
		}
		d := defs[i]
		if d.ClientID() != e.ClientID {
			s.Edited = sum
		}
		if d.Marker != "" && e.Name == d.Marker {
			s.Marked = true
			continue
		}
		s.Events++
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read the log: %w", context.Cause(ctx))
	}
	return out, nil
}
