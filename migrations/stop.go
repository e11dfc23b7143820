package migrations

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/schema"
)

// A Kind says what a job stopped at, where whoever runs it has something else to do than with other errors.
type Kind string

const (
	Poisoned Kind = "poisoned" // the log holds an event that the release fails on
	Stalled  Kind = "stalled"  // no progress for as long as the job's patience
)

// A stop is an error of a kind.
type stop struct {
	kind Kind
	err  *errs.Error
}

func (s *stop) Error() string { return s.err.Error() }
func (s *stop) Unwrap() error { return s.err }

// KindOf returns an error's kind, empty for any other error.
func KindOf(err error) Kind {
	var s *stop
	if errors.As(err, &s) {
		return s.kind
	}
	return ""
}

// unreadable says that the log holds an event that the release fails on, and what that means where nobody but the
// clients can read it.
func (j Job) unreadable(ctx context.Context, p *replay.Poison) error {
	if p.Stage == engine.StageDecode && j.opaque(ctx, p.Seq) {
		return &stop{Poisoned, errs.New(errs.Unverifiable, "the arguments of %s at %s look encrypted end to end: release %s can't read them without the clients' keys",
			p.Event, p.Seq, j.Target.Release.Version).
			Hintf("for such a store the clients themselves are the only ones that can run a migration: see examples/client-migrations.md. Nothing was committed").
			Then("headgate generate --client-migration " + j.Definition.Name)}
	}
	return &stop{Poisoned, errs.New(errs.Unverifiable, "the log holds an event that release %s fails on: %s", j.Target.Release.Version, p).
		Hintf("a client that rebuilds its state from this log does not start; nothing was committed").
		Then("headgate log stats --store " + string(j.Store))}
}

// opaque reports whether an event's arguments are nothing that its schema knows: a text, or an object with none of its
// fields, as encryption leaves them.
func (j Job) opaque(ctx context.Context, at livestore.ClientSeq) bool {
	for e, err := range j.Log.Events(ctx, livestore.ClientSeq{Global: at.Global - 1}) {
		if err != nil || e.Seq.Compare(at) > 0 {
			return false
		}
		if e.Seq != at {
			continue
		}
		wire, bad := wireStruct(j.Target.Release, e.Name)
		if bad != nil {
			return false
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(e.Args, &fields) != nil {
			return bytes.HasPrefix(e.Args, []byte(`"`))
		}
		return len(fields) > 0 && len(wire.Fields) > 0 && !slices.ContainsFunc(wire.Fields, func(f schema.Field) bool {
			_, ok := fields[f.Name]
			return ok
		})
	}
	return false
}
