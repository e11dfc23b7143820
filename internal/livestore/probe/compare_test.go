package probe_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"headgate/internal/livestore/probe"
)

func compare(t *testing.T, from, to *release, samples map[string]probe.Sample) map[string]probe.Behaviour {
	t.Helper()
	if from.StateHash != to.StateHash {
		t.Fatalf("the state hashes differ: %s and %s", from.StateHash, to.StateHash)
	}
	list, err := probe.Compare(t.Context(), launcher(t), from.app(), to.app(), samples, probe.Budget{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]probe.Behaviour{}
	for _, b := range list {
		out[b.Event] = b
	}
	return out
}

// The bug of 1.3.0 is in a helper that the materializer imports; the materializer's own text is unchanged.
func TestBugInAHelperModuleIsFound(t *testing.T) {
	t.Parallel()
	got := compare(t, example(t, "1.2.0"), example(t, "1.3.0"), nil)
	for event, b := range got {
		if event == "v2.TodoCreated" {
			continue
		}
		if b.Verdict != probe.Same || b.SourceChanged || b.Tried == 0 {
			t.Errorf("%s: %+v", event, b)
		}
	}
	b := got["v2.TodoCreated"]
	if b.Verdict != probe.Different || !b.SourceChanged || !b.Exact || b.Difference != "todos.text: text(25) -> text(24)" ||
		!strings.Contains(b.Witness, `"text":string(25)`) || !strings.Contains(b.Witness, `"details":absent`) {
		t.Errorf("got %+v", b)
	}
	var p struct{ Text string }
	if err := json.Unmarshal(b.WitnessPayload, &p); err != nil || len(p.Text) != 25 {
		t.Errorf("the witness is %s", b.WitnessPayload)
	}
}

// The literals of the code that an event uses are known, also of a helper module, and not those of other modules.
func TestHintsComeFromTheSourcesOfAnEvent(t *testing.T) {
	t.Parallel()
	r := example(t, "1.3.0")
	hints := r.script.Hints(r.Release)
	if h := hints["v2.TodoCreated"]; !slices.Contains(h.Numbers, 24) || !slices.Contains(h.Strings, "inbox") {
		t.Errorf("got %+v", h)
	}
	if h := hints["v1.TodoRenamed"]; slices.Contains(h.Numbers, 24) {
		t.Errorf("a literal of a module that v1.TodoRenamed does not use: %+v", h)
	}
}

func TestComparingTheSameReleaseFindsNothing(t *testing.T) {
	t.Parallel()
	for event, b := range compare(t, example(t, "1.2.0"), example(t, "1.2.0"), nil) {
		if b.Verdict != probe.Same || b.SourceChanged {
			t.Errorf("%s: %+v", event, b)
		}
	}
}

func TestBehaviours(t *testing.T) {
	t.Parallel()
	from, to := fixture(t, "compare-old"), fixture(t, "compare-new")
	got := compare(t, from, to, nil)
	for event, want := range map[string]struct {
		verdict    probe.Verdict
		changed    bool
		difference string // a part
	}{
		"v1.Same":       {probe.Same, false, ""},
		"v1.Numbered":   {probe.Same, false, ""}, // it uses the event's number
		"v1.Additive":   {probe.Same, true, ""},
		"v1.Titled":     {probe.Same, true, ""},
		"v1.Refactored": {probe.Same, true, ""},
		"v1.Rewritten":  {probe.Statements, true, "the text of statement 1"},
		"v1.Word":       {probe.Different, true, "rows.text: text(6) -> text(1)"},
		"v1.Threshold":  {probe.Different, true, "rows.n"},
		"v1.Throws":     {probe.Different, true, "only the new one fails: TypeError"},
		"v1.Renamed":    {probe.Different, true, "rows.text: another text(1)"}, // only where the row is there
		"v1.Stricter":   {probe.Same, true, ""},                                // what is not admitted any more is another finding
		"v1.Defaulted":  {probe.Different, true, "rows.text: another text(1)"},
		"v1.Hidden":     {probe.Same, true, ""}, // no generated payload shows it
		"v1.Fixed":      {probe.Same, true, ""}, // the old one was poison there, so nobody has other rows
	} {
		b := got[event]
		if b.Verdict != want.verdict || b.SourceChanged != want.changed || !strings.Contains(b.Difference, want.difference) || want.difference == "" && b.Difference != "" {
			t.Errorf("%s: %+v", event, b)
		}
	}
	if b := got["v1.Stricter"]; b.Refused == 0 || b.Tried == 0 {
		t.Errorf("refused %d of %d", b.Refused, b.Tried)
	}
}

// A payload of a log can show what no generated one does; its values are not shown.
func TestRealPayloadIsAWitness(t *testing.T) {
	t.Parallel()
	var log memlog
	log.add("v1.Hidden", `{"id":"private-1","text":"plain"}`)
	log.add("v1.Hidden", `{"id":"private-2","text":"xyzzyxx"}`)
	log.add("v1.Same", `{"id":"private-3","text":"secret"}`)
	log.add("v1.Hidden", `{"id":7}`) // not admitted
	samples, err := probe.Collect(t.Context(), log, []string{"v1.Hidden"}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if s := samples["v1.Hidden"]; len(samples) != 1 || s.Seen != 3 || len(s.Payloads) != 3 {
		t.Fatalf("collected %+v", samples)
	}
	b := compare(t, fixture(t, "compare-old"), fixture(t, "compare-new"), probe.Merge(10, samples))["v1.Hidden"]
	if b.Verdict != probe.Different || b.Real != 2 || b.Difference != "rows.text: text(5) -> text(0)" {
		t.Errorf("got %+v", b)
	}
	shown, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.WitnessPayload) > 0 || strings.Contains(string(shown), "private") || strings.Contains(string(shown), "zzy") {
		t.Errorf("a real value is shown: %s", shown)
	}
}

func TestCollectKeepsOneOfEachShape(t *testing.T) {
	t.Parallel()
	var log memlog
	for range 5 {
		log.add("v1.A", `{"id":"aa"}`)
		log.add("v1.A", `{"id":"aaa"}`)
		log.add("v1.A", `{"id":null}`)
	}
	got, err := probe.Collect(t.Context(), log, []string{"v1.A"}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if s := got["v1.A"]; s.Seen != 15 || len(s.Payloads) != 2 || slices.Equal(s.Payloads[0], s.Payloads[1]) {
		t.Errorf("got %+v", s)
	}
	both := probe.Merge(3, got, got)["v1.A"]
	if both.Seen != 30 || len(both.Payloads) != 3 {
		t.Errorf("got %+v", both)
	}
}
