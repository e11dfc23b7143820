package probe

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

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

type decodeParams struct {
	Program engine.Program `json:"program"`
}

// Sources are the scripts that the job evaluates.
func (p decodeParams) Sources() []string { return p.Program.Sources() }

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
	return answerBatches(s, func(e *engine.Engine, batch string) (any, error) {
		issues, err := e.DecodeText(batch)
		var a decodeAnswer
		for i, issue := range issues {
			if issue != nil {
				a.Issues = append(a.Issues, indexedIssue{i, *issue})
			}
		}
		return a, err
	})
}

// answerBatches evaluates the program of decodeParams, and answers each frame that is sent until there are no more.
func answerBatches(s *script.Session, answer func(e *engine.Engine, batch string) (any, error)) (any, error) {
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
		a, err := answer(e, string(batch))
		if err != nil {
			return nil, err
		}
		if err := s.Send(a); err != nil {
			return nil, err
		}
	}
}

// Decode asks a release's own decoder about every event of the given names (nil: all) behind a place in a log; the zero
// place is its beginning. progress, if not nil, is called now and then with how many events were read.
func Decode(ctx context.Context, l script.Launcher, p engine.Program, r eventlog.Reader, names []string, after livestore.ClientSeq, progress func(read int64)) (Evidence, error) {
	d := &decoding{head: after, byName: map[string]*Decoding{}, names: names, progress: progress, batches: make(chan []livestore.Event)}
	g, gctx := errgroup.WithContext(ctx)
	hire := func() { g.Go(func() error { return d.work(gctx, l, p) }) }
	g.Go(func() error {
		defer close(d.batches)
		return d.read(gctx, r, after, hire)
	})
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

// decoding is one run of Decode: a reader hands batches to sandboxes, one at first, more when there is much to do.
type decoding struct {
	names    []string
	progress func(int64)
	batches  chan []livestore.Event
	head     livestore.ClientSeq // the reader's

	mu     sync.Mutex // guards byName
	byName map[string]*Decoding
}

const (
	// hireAfter is the number of batches that pay for another sandbox, which takes the time of some to start.
	hireAfter = 8
	// maxSandboxes bounds the memory.
	maxSandboxes = 4
)

func (d *decoding) of(name string) *Decoding {
	e := d.byName[name]
	if e == nil {
		e = &Decoding{Event: name}
		d.byName[name] = e
	}
	return e
}

func (d *decoding) read(ctx context.Context, r eventlog.Reader, after livestore.ClientSeq, hire func()) error {
	var batch []livestore.Event
	sent, sandboxes := 0, 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if sent >= sandboxes*hireAfter && sandboxes < min(maxSandboxes, runtime.GOMAXPROCS(0)) {
			sandboxes++
			hire()
		}
		select {
		case d.batches <- batch:
		case <-ctx.Done():
			return ctx.Err()
		}
		sent++
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
			e = livestore.Event{Name: e.Name, Seq: e.Seq} // without arguments: count knows it by that
		}
		if batch = append(batch, e); len(batch) == batchSize {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// work is one sandbox: it asks about batches until there are no more.
func (d *decoding) work(ctx context.Context, l script.Launcher, p engine.Program) error {
	proc, err := l.Start(ctx, DecodeJob, decodeParams{p})
	if err != nil {
		return err
	}
	defer proc.Close()
	alive := time.NewTicker(l.Limits.Silence / 3)
	defer alive.Stop()
	for {
		var batch []livestore.Event
		select {
		case next, ok := <-d.batches:
			if !ok {
				return nil
			}
			batch = next
		case <-alive.C: // the log is slow; an empty batch shows that the sandbox isn't
		}
		failing, err := ask(ctx, proc, batch)
		if err != nil {
			return err
		}
		d.mu.Lock()
		for i, e := range batch {
			d.count(e, failing, i)
		}
		d.mu.Unlock()
	}
}

// ask returns the issues of a batch by index.
func ask(ctx context.Context, proc *script.Proc, batch []livestore.Event) (map[int]engine.DecodeIssue, error) {
	text := []byte{0, '['} // the first byte is the frame's
	for i, e := range batch {
		if i > 0 {
			text = append(text, ',')
		}
		text = engine.AppendPayload(text, e.Name, e.Args)
	}
	var a decodeAnswer
	if err := exchange(ctx, proc, append(text, ']'), &a); err != nil {
		return nil, err
	}
	failing := map[int]engine.DecodeIssue{}
	for _, issue := range a.Issues {
		failing[issue.I] = issue.DecodeIssue
	}
	return failing, nil
}

// exchange sends a frame and reads the answer to it.
func exchange(ctx context.Context, proc *script.Proc, frame []byte, answer any) error {
	sent := proc.SendBytes(frame)
	data, _, err := proc.Recv(ctx) // when sending failed, it says why the sandbox ended
	if err = cmp.Or(err, sent); err != nil {
		return err
	}
	return json.Unmarshal(data, answer)
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
	wanted := issue.Wanted
	if issue.Reason != "" {
		wanted = "a definition of the event"
	}
	of.Offenders = append(of.Offenders, Offender{Seq: e.Seq, Path: issue.Path, Wanted: wanted})
	if n := len(of.Offenders); n > MaxOffenders || n > 1 && of.Offenders[n-2].Seq.Compare(e.Seq) > 0 { // batches end in any order
		slices.SortFunc(of.Offenders, func(a, b Offender) int { return a.Seq.Compare(b.Seq) })
		of.Offenders = of.Offenders[:min(n, MaxOffenders)]
	}
}
