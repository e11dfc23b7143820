package probe

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/script"
)

// DecodeJob is the name under which a program registers [JobDecode] in the sandbox.
const DecodeJob = "probe.decode"

// An Offender is an event that a release does not decode.
type Offender struct {
	Seq  livestore.ClientSeq `json:"seq"`
	Path string              `json:"path"`
	// Wanted is what the schema wanted there.
	Wanted string `json:"wanted"`
}

// Decoding is how a release's decoder fares with the events of one name.
type Decoding struct {
	Event string `json:"event"`
	// Count is how many events were asked about, Failing how many don't decode, Unreadable how many the log itself
	// could not give.
	Count      int64 `json:"count"`
	Failing    int64 `json:"failing"`
	Unreadable int64 `json:"unreadable,omitempty"`
	// Undefined is true when the release has no such event: all of them count as failing.
	Undefined bool `json:"undefined,omitempty"`
	// Offenders are the first failing events, up to [MaxOffenders].
	Offenders []Offender `json:"offenders,omitempty"`
}

// MaxOffenders bounds the offenders kept per event name.
const MaxOffenders = 10

// Evidence is the outcome of [Decode] on one store's log.
type Evidence struct {
	// Head is the last event read, of whatever name: where the next probe goes on.
	Head   livestore.ClientSeq `json:"head"`
	Events []Decoding          `json:"events"` // by name
}

// Names of the events to ask about; nil means all.
type decodeParams struct {
	Program engine.Program `json:"program"`
}

// batchSize is how many events go to the decoder at once.
const batchSize = 500

type decodeAnswer struct {
	Issues []indexedIssue `json:"issues,omitempty"`
}

type indexedIssue struct {
	I int `json:"i"`
	engine.DecodeIssue
}

// JobDecode is the sandbox's side of [Decode].
func JobDecode(_ context.Context, s *script.Session) (any, error) {
	var p decodeParams
	if err := s.Params(&p); err != nil {
		return nil, err
	}
	e, err := engine.Open(s, p.Program, nil, script.VMOptions{})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	for {
		batch, err := s.RecvBytes()
		if errors.Is(err, io.EOF) {
			return "done", nil
		} else if err != nil {
			return nil, err
		}
		issues, err := e.DecodeText(string(batch))
		if err != nil {
			return nil, err
		}
		var a decodeAnswer
		for i, issue := range issues {
			if issue != nil {
				a.Issues = append(a.Issues, indexedIssue{i, *issue})
			}
		}
		if err := s.Send(a); err != nil {
			return nil, err
		}
	}
}

// Decode asks a release's own decoder about every event of the given names (nil: all) behind a place in a log; the zero
// place is its beginning. progress, if not nil, is called now and then with how many events were read.
func Decode(ctx context.Context, l script.Launcher, p engine.Program, r eventlog.Reader, names []string, after livestore.ClientSeq, progress func(read int64)) (Evidence, error) {
	proc, err := l.Start(ctx, DecodeJob, decodeParams{p})
	if err != nil {
		return Evidence{}, err
	}
	defer proc.Close()
	d := &decoding{head: after, byName: map[string]*Decoding{}, names: names, progress: progress}
	batches := make(chan []livestore.Event, 4) // sent and not yet answered
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(batches)
		return d.send(gctx, proc, r, after, batches)
	})
	g.Go(func() error { return d.receive(gctx, proc, batches) })
	if err := g.Wait(); err != nil {
		return Evidence{}, err
	}
	out := Evidence{Head: d.head, Events: []Decoding{}}
	for _, n := range names {
		d.of(n)
	}
	for _, n := range slices.Sorted(maps.Keys(d.byName)) {
		out.Events = append(out.Events, *d.byName[n])
	}
	return out, nil
}

// decoding is one run of Decode. head and unreadable belong to the sender, byName to the receiver until both are done.
type decoding struct {
	head     livestore.ClientSeq
	byName   map[string]*Decoding
	names    []string
	progress func(int64)
}

func (d *decoding) of(name string) *Decoding {
	e := d.byName[name]
	if e == nil {
		e = &Decoding{Event: name}
		d.byName[name] = e
	}
	return e
}

func (d *decoding) send(ctx context.Context, proc *script.Proc, r eventlog.Reader, after livestore.ClientSeq, batches chan<- []livestore.Event) error {
	var batch []livestore.Event
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		text := []byte{0, '['} // the first byte is the frame's
		for i, e := range batch {
			if i > 0 {
				text = append(text, ',')
			}
			text = engine.AppendPayload(text, e.Name, e.Args)
		}
		if err := proc.SendBytes(append(text, ']')); err != nil {
			return err
		}
		select {
		case batches <- batch:
		case <-ctx.Done():
			return ctx.Err()
		}
		batch = nil
		return nil
	}
	read := int64(0)
	for e, err := range r.Events(ctx, after) {
		var bad *eventlog.Malformed
		if err != nil && !errors.As(err, &bad) {
			return err
		}
		read++
		if d.progress != nil && read%1000 == 0 {
			d.progress(read)
		}
		d.head = e.Seq
		if d.names != nil && !slices.Contains(d.names, e.Name) {
			continue
		}
		if bad != nil {
			e = livestore.Event{Name: e.Name, Seq: e.Seq} // without arguments: the receiver knows it by that
		}
		if batch = append(batch, e); len(batch) == batchSize {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return proc.End()
}

func (d *decoding) receive(ctx context.Context, proc *script.Proc, batches <-chan []livestore.Event) error {
	for batch := range batches {
		data, _, err := proc.Recv(ctx)
		if err != nil {
			return err
		}
		var a decodeAnswer
		if err := json.Unmarshal(data, &a); err != nil {
			return err
		}
		failing := map[int]engine.DecodeIssue{}
		for _, issue := range a.Issues {
			failing[issue.I] = issue.DecodeIssue
		}
		for i, e := range batch {
			d.count(e, failing, i)
		}
	}
	return nil
}

func (d *decoding) count(e livestore.Event, failing map[int]engine.DecodeIssue, i int) {
	of := d.of(e.Name)
	if e.Args == nil {
		of.Unreadable++
		return
	}
	of.Count++
	issue, bad := failing[i]
	if !bad {
		return
	}
	of.Failing++
	of.Undefined = of.Undefined || issue.Reason != ""
	if len(of.Offenders) < MaxOffenders {
		wanted := issue.Wanted
		if issue.Reason != "" {
			wanted = "a definition of the event"
		}
		of.Offenders = append(of.Offenders, Offender{Seq: e.Seq, Path: issue.Path, Wanted: wanted})
	}
}
