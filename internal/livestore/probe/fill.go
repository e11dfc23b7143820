package probe

import (
	"encoding/json"
	"math/rand/v2"

	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/payload"
)

// entities is how many entities the filled state knows.
const entities = 2

// ensureFilled makes the filled state: the rows that the events which insert make about the first entities. Events that only
// update or delete are left out, since the rows are wanted.
func (r *runner) ensureFilled() error {
	if r.filled != nil {
		return nil
	}
	var err error
	if r.filled, err = r.create(); err != nil {
		return err
	}
	var steps []step
	for n := 1; n <= entities; n++ {
		steps = append(steps, r.about(func(g *payload.Generator) (any, bool) { return g.Base(n) })...)
	}
	r.fill, err = r.insertAll(r.filled, steps)
	return err
}

// about makes one payload per event.
func (r *runner) about(base func(*payload.Generator) (any, bool)) []step {
	var out []step
	for _, e := range r.app.subjects() {
		v, ok := base(r.generator(e))
		if ok && r.admits(e.Name, payload.Encode(v)) {
			out = append(out, step{e.Name, payload.Encode(v)})
			continue
		}
		list, _, _, err := r.payloads(e.Name, nil, maxExamples)
		if err == nil && len(list) > 0 {
			out = append(out, step{e.Name, list[0]})
		}
	}
	return out
}

// insertAll applies the steps that insert when nothing is there yet, and then, again and again until none succeeds, those
// that failed: they may refer to rows of others. What inserts only once there are rows is left out, since it usually
// changes those too (a completed todo counts).
func (r *runner) insertAll(db *engine.DB, steps []step) ([]engine.Operation, error) {
	var makers, later []step
	for _, s := range steps {
		m, err := r.materialize(db, s)
		switch {
		case err != nil:
			return nil, err
		case m.Poison != nil:
			later = append(later, s)
		case inserts(m.Ops):
			makers = append(makers, s)
		}
	}
	var done []engine.Operation
	rest := append(makers, later...)
	for progress := true; progress; {
		progress = false
		steps, rest = rest, nil
		for _, s := range steps {
			m, err := r.materialize(db, s)
			if err != nil {
				return nil, err
			}
			if m.Poison != nil || !inserts(m.Ops) || tryAll(db, m.Ops) != nil {
				rest = append(rest, s)
				continue
			}
			done = append(done, m.Ops...)
			progress = true
		}
	}
	return done, nil
}

// inserts reports whether the operations insert and don't delete.
func inserts(ops []engine.Operation) bool {
	some := false
	for _, op := range ops {
		switch kindOf(op.SQL) {
		case "delete":
			return false
		case "insert":
			some = true
		}
	}
	return some
}

// tryAll executes all operations or none.
func tryAll(db *engine.DB, ops []engine.Operation) error {
	if err := db.Exec("SAVEPOINT "+savepoint, engine.Binds{}); err != nil {
		return err
	}
	end := "RELEASE " + savepoint
	poison := execute(db, ops)
	if poison != nil {
		end = "ROLLBACK TO " + savepoint + "; " + end
	}
	if err := db.Exec(end, engine.Binds{}); err != nil {
		return errTransaction
	}
	if poison != nil {
		return &engine.SQLError{Msg: poison.Message}
	}
	return nil
}

// refill makes the filled state out of given operations.
func (r *runner) refill(ops []engine.Operation) error {
	var err error
	if r.filled, err = r.create(); err != nil {
		return err
	}
	r.fill = ops
	return tryAll(r.filled, ops)
}

// payloads are up to most of the generated payloads that the decoder admits, and random ones where it admits none of
// them: a filter of the app's may be met by chance. cut says that there were more.
func (r *runner) payloads(event string, generated []any, most int) (list []json.RawMessage, refused int, cut bool, err error) {
	if len(generated) > most {
		generated, cut = spread(generated, most), true
	}
	list, refused, err = r.admitted(event, generated)
	if err == nil && len(list) == 0 {
		more := 0
		list, more, err = r.admitted(event, r.randoms(event, min(most, 150)))
		refused += more
	}
	return list, refused, cut, err
}

// randoms are n random payloads.
func (r *runner) randoms(event string, n int) []any {
	rng := rand.New(rand.NewPCG(7, 7))
	var out []any
	g := r.generator(r.app.event(event))
	for range n {
		if v, ok := g.Random(rng); ok {
			out = append(out, v)
		}
	}
	return out
}

// spread keeps n of the values, the first one and others at even distances.
func spread(values []any, n int) []any {
	out := make([]any, 0, n)
	for i := range n {
		out = append(out, values[i*len(values)/n])
	}
	return out
}
