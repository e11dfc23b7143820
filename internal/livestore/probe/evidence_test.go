package probe_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/openlog"
	"headgate/internal/livestore/probe"
	"headgate/internal/testenv"
)

func demoLog(t *testing.T) eventlog.Reader {
	t.Helper()
	u, err := openlog.Parse("file:"+filepath.Join(testenv.Example(t, "todo"), "data", "demo", "eventlog@6.db"), "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := openlog.Open(t.Context(), u, openlog.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestEvidenceFromARealLog(t *testing.T) {
	t.Parallel()
	log := demoLog(t)
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for e, err := range log.Events(t.Context(), livestore.ClientSeq{}) {
		if err != nil {
			t.Fatal(err)
		}
		counts[e.Name]++
	}
	now, err := probe.Decode(t.Context(), launcher(t), example(t, "1.2.0").program, log, nil, livestore.ClientSeq{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, d := range now.Events {
		got[d.Event] = d.Count
		if d.Failing > 0 || d.Undefined {
			t.Errorf("%+v", d)
		}
	}
	if diff := cmp.Diff(counts, got); diff != "" || now.Head != head.Last {
		t.Errorf("head %v, want %v; %s", now.Head, head.Last, diff)
	}
	old, err := probe.Decode(t.Context(), launcher(t), example(t, "1.0.0").program, log, []string{"v2.TodoCreated", "v1.TodoCreated", "v9.Nothing"}, livestore.ClientSeq{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range old.Events {
		switch d.Event {
		case "v2.TodoCreated":
			if !d.Undefined || d.Failing != counts[d.Event] || d.Failing == 0 || int64(len(d.Offenders)) != min(d.Failing, probe.MaxOffenders) {
				t.Errorf("%+v", d)
			}
		case "v1.TodoCreated":
			if d.Failing > 0 || d.Count != counts[d.Event] {
				t.Errorf("%+v", d)
			}
		default:
			if d.Count > 0 {
				t.Errorf("%+v", d)
			}
		}
	}
	if len(old.Events) != 3 {
		t.Errorf("%d names", len(old.Events))
	}
}

func TestEvidenceNamesOffendersAndGoesOn(t *testing.T) {
	t.Parallel()
	r := example(t, "1.2.0")
	var log memlog
	for range 1200 { // more than one batch
		log.add("v1.TodoRenamed", `{"id":"a","text":"private"}`)
	}
	log.add("v1.TodoRenamed", `{"id":"a"}`)
	log.add("v1.TodoRenamed", `{"id":"a","text":{"private":1}}`)
	log.add("v1.TodoMoved", `{}`)
	log = append(log, livestore.Event{Name: "v1.TodoRenamed", Seq: livestore.ClientSeq{Global: 1204}}) // unreadable
	reads := int64(0)
	ev, err := probe.Decode(t.Context(), launcher(t), r.program, log, []string{"v1.TodoRenamed"}, livestore.ClientSeq{}, func(n int64) { reads = n })
	if err != nil {
		t.Fatal(err)
	}
	want := probe.Evidence{Head: livestore.ClientSeq{Global: 1204}, Events: []probe.Decoding{{
		Event: "v1.TodoRenamed", Count: 1202, Failing: 2, Unreadable: 1,
		Offenders: []probe.Offender{
			{Seq: livestore.ClientSeq{Global: 1201}, Path: "$.text", Wanted: "a value (the key is missing)"},
			{Seq: livestore.ClientSeq{Global: 1202}, Path: "$.text", Wanted: "string"},
		},
	}}}
	if diff := cmp.Diff(want, ev); diff != "" {
		t.Error(diff)
	}
	if reads != 1000 {
		t.Errorf("progress said %d", reads)
	}
	if b, err := json.Marshal(ev); err != nil || strings.Contains(string(b), "private") {
		t.Errorf("a value is shown: %s, %v", b, err)
	}
	rest, err := probe.Decode(t.Context(), launcher(t), r.program, log, []string{"v1.TodoRenamed"}, livestore.ClientSeq{Global: 1201}, nil)
	if err != nil || rest.Events[0].Count != 1 || rest.Events[0].Failing != 1 {
		t.Errorf("after 1201: %+v, %v", rest, err)
	}
}

func TestEvidenceStopsWithItsContext(t *testing.T) {
	t.Parallel()
	r := example(t, "1.2.0")
	ctx, cancel := context.WithCancel(t.Context())
	var log memlog
	for range 3000 {
		log.add("v1.TodoRenamed", `{"id":"a","text":"b"}`)
	}
	_, err := probe.Decode(ctx, launcher(t), r.program, log, nil, livestore.ClientSeq{}, func(int64) { cancel() })
	if err == nil {
		t.Error("it went on")
	}
}
