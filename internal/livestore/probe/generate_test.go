package probe_test

import (
	"context"
	"iter"
	"math/rand/v2"
	"testing"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/payload"
	"headgate/internal/livestore/probe"
)

// memlog is a log in memory.
type memlog []livestore.Event

func (m memlog) Head(context.Context) (eventlog.Head, error) {
	return eventlog.Head{Events: int64(len(m))}, nil
}

func (m memlog) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for _, e := range m {
			if e.Seq.Compare(after) > 0 && !yield(e, ctx.Err()) {
				return
			}
		}
	}
}

func (m memlog) ClientOnly() bool { return true }
func (m memlog) Close() error     { return nil }

func (m *memlog) add(name, args string) {
	n := livestore.SeqNum(len(*m) + 1)
	*m = append(*m, livestore.Event{Name: name, Args: []byte(args), Seq: livestore.ClientSeq{Global: n}, Parent: livestore.ClientSeq{Global: n - 1}})
}

// Whatever is generated for a type that can be analysed is admitted by the app's own decoder: for the example's events,
// and for one event per kind of schema that apps write.
func TestGeneratedPayloadsAreAdmitted(t *testing.T) {
	t.Parallel()
	for _, r := range []*release{fixture(t, "types"), example(t, "1.2.0")} {
		hints := r.script.Hints(r.Release)
		var log memlog
		opaque := map[string]bool{}
		for _, e := range r.Events {
			g := payload.New(e.Args, hints[e.Name])
			opaque[e.Name] = len(g.Opaque()) > 0
			rng := rand.New(rand.NewPCG(1, 1))
			values := append(g.Examples(), g.Edge()...)
			if len(values) == 0 {
				t.Errorf("%s: nothing is generated", e.Name)
			}
			for range 60 {
				if v, ok := g.Random(rng); ok {
					values = append(values, v)
				}
			}
			for _, v := range values {
				log.add(e.Name, string(payload.Encode(v)))
			}
		}
		got, err := probe.Decode(t.Context(), launcher(t), r.program, log, nil, livestore.ClientSeq{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Events) != len(r.Events) {
			t.Errorf("%d of %d events were asked about", len(got.Events), len(r.Events))
		}
		for _, d := range got.Events {
			if d.Failing > 0 && !opaque[d.Event] {
				t.Errorf("%s: %d of %d are refused, the first at %s (%s): %s", d.Event, d.Failing, d.Count, d.Offenders[0].Path, d.Offenders[0].Wanted,
					log[d.Offenders[0].Seq.Global-1].Args)
			}
		}
	}
}

// What only code can judge is said to be so.
func TestOpaqueTypesAreSaid(t *testing.T) {
	t.Parallel()
	r := fixture(t, "types")
	for _, e := range r.Events {
		got := len(payload.New(e.Args, payload.Hints{}).Opaque()) > 0
		if want := e.Name == "v1.opaque" || e.Name == "v1.composed"; got != want {
			t.Errorf("%s: opaque is %v", e.Name, got)
		}
	}
}
