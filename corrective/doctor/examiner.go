package doctor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/filelog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
)

// An Examiner looks at the stores of one schema. It is safe for several goroutines.
type Examiner struct {
	// Env is the environment, for commands; empty for none.
	Env string
	// Releases are all that are recorded, the oldest first, and Alive the versions that clients may run.
	Releases []*schema.Release
	Alive    []string
	// Deployed is what would be deployed next, the code that lies here; nil where it can't be read.
	Deployed *schema.Release
	// Target loads a release with its code.
	Target func(version string) (replay.Target, error)

	Launcher script.Launcher
	// Checkpoints is where replays of a backend's log are kept to go on from.
	Checkpoints *replay.Checkpoints
	Now         func() time.Time
	// NoState leaves out what needs materializers to run; Diff counts the rows that differ where a state does.
	NoState, Diff bool
}

// A Patient is one log to look at, a backend's or that of a client.
type Patient struct {
	Store livestore.StoreID
	Log   eventlog.Reader
	// Client is the same log with the states beside it; nil for a backend's.
	Client *filelog.Client
	// Backend opens the log of the backend that the client syncs with; nil where none is known.
	Backend func(context.Context) (eventlog.Reader, error)
	// Ref names the log to headgate: --store demo --env prod, or --log file:PATH.
	Ref string
	// Dir is private, for states that are made; the caller removes it.
	Dir string
	// Progress is called with the events that were read or replayed since its last call.
	Progress func(events int64)

	made map[string]replay.Result // by version
}

// folder is where the client keeps the store.
func (p *Patient) folder() string { return filepath.Dir(p.Client.Path()) }

// found fills in what the findings of one patient share.
func (p *Patient) found(f Finding) Finding {
	f.Store = p.Store
	if f.Where == "" && p.Client != nil {
		f.Where = p.folder()
	}
	return f
}

// Examined is what an examination of one patient came to.
type Examined struct {
	Findings []Finding
	// Whole is true where the log, and what lies beside it, could be looked at to the end.
	Whole bool
	// Held is true where the client's state in use is what a replay makes of its log.
	Held bool
	// Holding is what the client holds, for [Compare]; nil for a backend's log, and where the state is not to be compared.
	Holding *Holding
}

// Examine looks at one patient. Beside an error is what was found in spite of it.
func (x *Examiner) Examine(ctx context.Context, p *Patient) (out Examined, err error) {
	if p.Progress == nil {
		p.Progress = func(int64) {}
	}
	p.made = map[string]replay.Result{}
	head, err := p.Log.Head(ctx)
	if err != nil {
		return out, err
	}
	add := func(found []Finding, err error) error {
		for _, f := range found {
			out.Findings = append(out.Findings, p.found(f))
		}
		return err
	}
	var states []clientState
	if p.Client != nil {
		var unreadable []Finding
		states, unreadable, err = x.states(ctx, p)
		if add(unreadable, err) != nil {
			return out, err
		}
	}
	seen, err := x.read(ctx, p, states)
	if err != nil {
		return out, err
	}
	_ = add(x.order(p, seen, head), nil)
	if err := add(x.poison(ctx, p)); err != nil {
		return out, err
	}
	if p.Client == nil {
		out.Whole = true
		return out, nil
	}
	// A backend that can't be read says nothing about the client's own files.
	away := add(x.beside(ctx, p, seen, head))
	used := inUse(states)
	for i := range states {
		if s := &states[i]; s != used && s.missing > 0 {
			_ = add([]Finding{x.stale(s, head)}, nil)
		}
	}
	if used == nil {
		out.Whole = true
		return out, away
	}
	found, err := x.judge(ctx, p, used, seen, head)
	if add(found, err) != nil {
		return out, errors.Join(away, err)
	}
	out.Held = len(found) == 0 && !x.NoState
	if used.newest() != nil && used.missing == 0 {
		out.Holding, err = x.holding(ctx, p, used, head)
	}
	out.Whole = err == nil
	return out, errors.Join(away, err)
}

// sight is what one pass over a log shows.
type sight struct {
	eventlog.Stats
	skipped map[string]*skipped // events that the client did not know, by name
	// unsent are the events that wait to be sent.
	unsent                  int64
	firstUnsent, lastUnsent livestore.ClientSeq
}

// A skipped counts events of one name that the client whose log this is did not know.
type skipped struct {
	name        string
	events      int64
	first, last livestore.ClientSeq
}

// read reads the log once. states get the events that are missing in them.
func (x *Examiner) read(ctx context.Context, p *Patient, states []clientState) (sight, error) {
	collect := eventlog.NewCollector(x.Now())
	seen := sight{skipped: map[string]*skipped{}}
	told, read := int64(0), int64(0)
	for e, err := range eventlog.Check(livestore.ClientSeq{}, p.Log.Events(ctx, livestore.ClientSeq{}), collect.Report) {
		var bad *eventlog.Malformed
		switch {
		case errors.As(err, &bad):
			collect.AddMalformed(e)
		case err != nil:
			return seen, err
		default:
			collect.Add(e)
			seen.see(e, states)
		}
		if read++; read-told == 1000 {
			p.Progress(read - told)
			told = read
		}
	}
	p.Progress(read - told)
	seen.Stats = collect.Stats()
	return seen, nil
}

func (s *sight) see(e livestore.Event, states []clientState) {
	if e.Pending && !e.ClientOnly() {
		if s.unsent++; s.unsent == 1 {
			s.firstUnsent = e.Seq
		}
		s.lastUnsent = e.Seq
	}
	if e.HasSchemaHash && e.SchemaHash == livestore.UnknownSchemaHash {
		k := s.skipped[e.Name]
		if k == nil {
			if len(s.skipped) == eventlog.MaxNames {
				return
			}
			k = &skipped{name: e.Name, first: e.Seq}
			s.skipped[e.Name] = k
		}
		k.events++
		k.last = e.Seq
		return // it left no trace in any state
	}
	for i := range states {
		states[i].see(e)
	}
}

// replay makes the state of the patient's log under a release, once. A client's is kept in the patient's directory.
func (x *Examiner) replay(ctx context.Context, p *Patient, t replay.Target) (replay.Result, error) {
	version := t.Release.Version
	if res, ok := p.made[version]; ok {
		return res, nil
	}
	o := replay.Options{Out: p.stateFile(version), Store: string(p.Store), Now: x.Now, Progress: p.Progress}
	if p.Client == nil {
		o.Checkpoints = x.Checkpoints
		o.Out = p.stateFile("state") // one after the other
	}
	res, err := replay.Replay(ctx, x.Launcher, t, p.Log, o)
	if err == nil {
		p.made[version] = res
	}
	return res, err
}

func (p *Patient) stateFile(name string) string { return filepath.Join(p.Dir, name+".db") }

// release returns a recorded release.
func (x *Examiner) release(version string) *schema.Release {
	i := slices.IndexFunc(x.Releases, func(r *schema.Release) bool { return r.Version == version })
	if i < 0 {
		return nil
	}
	return x.Releases[i]
}

func (x *Examiner) inEnv() string {
	if x.Env == "" {
		return ""
	}
	return " --env " + x.Env
}

func events(n int64) string {
	if n == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}
