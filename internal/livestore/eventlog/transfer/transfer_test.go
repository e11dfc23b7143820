package transfer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
	"headgate/internal/livestore/eventlog/transfer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a log whose pushes may go wrong: fault says how the next one does.
type memory struct {
	events []livestore.Event
	fault  func(batch []livestore.Event) (stored int, err error)
	pushes int
}

func (m *memory) Head(context.Context) (eventlog.Head, error) { return eventlog.Head{}, nil }
func (m *memory) ClientOnly() bool                            { return false }
func (m *memory) Close() error                                { return nil }

func (m *memory) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for _, e := range slices.Clone(m.events) {
			if e.Seq.Compare(after) > 0 && !yield(e, ctx.Err()) {
				return
			}
		}
	}
}

func (m *memory) Append(_ context.Context, batch []livestore.Event) error {
	m.pushes++
	if err := eventlog.CheckBatch(batch); err != nil {
		return err
	}
	var last livestore.SeqNum
	for _, e := range m.events {
		last = e.Seq.Global
	}
	if batch[0].Parent.Global != last {
		return &eventlog.AheadError{Head: last}
	}
	stored, err := len(batch), error(nil)
	if m.fault != nil {
		stored, err = m.fault(batch)
	}
	for _, e := range batch[:stored] {
		// As a backend gives arguments back.
		e.Args = json.RawMessage(strings.Replace(string(e.Args), "1.0", "1", 1))
		m.events = append(m.events, e)
	}
	return err
}

func chain(n int) []livestore.Event {
	var out []livestore.Event
	for i := range n {
		out = append(out, livestore.Event{
			Name: "v1.A", Args: json.RawMessage(fmt.Sprintf(`{"id":"e%d","n":1.0}`, i+1)), ClientID: "c", SessionID: "s",
			Seq: livestore.ClientSeq{Global: livestore.SeqNum(i + 1)}, Parent: livestore.ClientSeq{Global: livestore.SeqNum(i)},
		})
	}
	return out
}

// dump writes events to a file and opens it.
func dump(t testing.TB, events []livestore.Event) (*dumplog.Reader, dumplog.Verified) {
	t.Helper()
	var b bytes.Buffer
	if _, err := dumplog.Export(context.Background(), &memory{events: events}, &b, dumplog.ExportOptions{StoreID: "s"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dump.json")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := dumplog.Open(context.Background(), path, dumplog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.Verify(context.Background(), nil)
	if err != nil || !v.Declared || v.Events != int64(len(events)) {
		t.Fatalf("%+v, %v", v, err)
	}
	return r, v
}

func quick(context.Context, time.Duration) error { return nil }

func TestInto(t *testing.T) {
	all := chain(250)
	other := chain(250)
	other[120].ClientID = "somebody else"
	tests := []struct {
		name   string
		before []livestore.Event
		pushed int64
		refuse string
	}{
		{"empty", nil, 250, ""},
		{"begun", all[:100], 150, ""},
		{"done", all, 0, ""},
		{"of another", other[120:121], 0, "its first event (v1.A) is not the dump's"},
		{"with another event", other[:130], 0, "the store has the first 120 events of the dump, and then another: e121"},
		{"with more", chain(251), 0, "the store has more events than the dump, from e251 (v1.A) on"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			from, v := dump(t, all)
			log := &memory{events: slices.Clone(test.before)}
			before, lookErr := transfer.Look(t.Context(), log, from)
			r, err := transfer.Into(t.Context(), log, from, v, transfer.Options{Sleep: quick})
			if test.refuse != "" {
				for _, err := range []error{err, lookErr} {
					if errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), test.refuse) || log.pushes > 0 {
						t.Errorf("error %v after %d pushes, want %q", err, log.pushes, test.refuse)
					}
				}
				return
			}
			if err != nil || r.Pushed != test.pushed || r.Before != int64(len(test.before)) || before != r.Before || lookErr != nil {
				t.Errorf("%+v, %v, look %d, %v", r, err, before, lookErr)
			}
			if err := transfer.Same(t.Context(), log, from, func(int64) {}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestIntoFaults: whatever a push ends with, the log holds the dump in the end and nothing twice, or a beginning of it with an
// error that says why; and then another run brings it to its end.
func TestIntoFaults(t *testing.T) {
	all := chain(230)
	from, v := dump(t, all)
	rapid.Check(t, func(rt *rapid.T) {
		faults := rapid.SliceOfN(rapid.IntRange(0, 5), 0, 8).Draw(rt, "faults")
		log := &memory{}
		log.fault = func(batch []livestore.Event) (int, error) {
			if len(faults) == 0 {
				return len(batch), nil
			}
			f := faults[0]
			faults = faults[1:]
			lost := &eventlog.AmbiguousError{Err: errors.New("no answer")}
			switch f {
			case 1:
				return 0, lost
			case 2:
				return len(batch) / 2, lost
			case 3:
				return len(batch), lost
			case 4:
				return 0, &eventlog.AheadError{Head: -1}
			case 5:
				return 0, errs.New(errs.Internal, "it broke")
			}
			return len(batch), nil
		}
		for range 9 {
			if _, err := transfer.Into(rt.Context(), log, from, v, transfer.Options{Sleep: quick}); err == nil {
				break
			} else if errs.CodeOf(err) != errs.Internal {
				rt.Fatal(err)
			}
		}
		if err := transfer.Same(rt.Context(), log, from, func(int64) {}); err != nil {
			rt.Error(err)
		}
	})
}

func TestIntoBesideOthers(t *testing.T) {
	all := chain(250)
	from, v := dump(t, all)
	log := &memory{}
	log.fault = func(batch []livestore.Event) (int, error) {
		if batch[0].Seq.Global == 1 {
			return len(batch), nil
		}
		e := batch[0]
		e.ClientID = "ann"
		log.events = append(log.events, e)
		return 0, &eventlog.AheadError{Head: e.Seq.Global}
	}
	_, err := transfer.Into(t.Context(), log, from, v, transfer.Options{Sleep: quick})
	if errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), `somebody else wrote event e101 (v1.A) of client "ann"`) {
		t.Errorf("error %v", err)
	}

	// A push that was cut short in the backend leaves events beyond its head.
	log = &memory{events: slices.Clone(all[:14])}
	log.fault = func([]livestore.Event) (int, error) { return 0, &eventlog.AheadError{Head: 0} }
	_, err = transfer.Into(t.Context(), log, from, v, transfer.Options{Sleep: quick})
	if errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), "the backend's head is e0, but its log goes to e14") {
		t.Errorf("error %v", err)
	}
}

func TestSame(t *testing.T) {
	all := chain(5)
	changed := slices.Clone(all)
	changed[2].Args = json.RawMessage(`{"id":"e3","n":2}`)
	from, _ := dump(t, all)
	for want, events := range map[string][]livestore.Event{
		"": all,
		"the log has another event e3 (v1.A) than the dump": changed,
		"the log ends before event e5 (v1.A) of the dump":   all[:4],
		"the log has event e6 (v1.A), and the dump ends":    chain(6),
	} {
		err := transfer.Same(t.Context(), &memory{events: events}, from, func(int64) {})
		if want == "" && err != nil || want != "" && (errs.CodeOf(err) != errs.Mismatch || !strings.Contains(err.Error(), want)) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
