package server

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/livestore/schema"
	"headgate/internal/testenv"
	"headgate/rollout"
)

// TestRealSpans has stock OpenTelemetry exporters send what real LiveStore clients do, in both encodings, packed.
func TestRealSpans(t *testing.T) {
	dir := filepath.Join("testdata", "clients")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@opentelemetry", "sdk-trace-base")); errors.Is(err, fs.ErrNotExist) {
		testenv.Need(t, "testdata/clients/node_modules", "run `make deps`")
	}
	app := testenv.Example(t, "todo")
	sync, syncToken := testenv.Backend(t)
	w := newWorld(t, func(o *Options) {
		o.Operate.Known = func() (operate.Names, error) {
			return operate.NamesOf(map[string][]*schema.Release{"main": {{Version: "1.1.0", Events: []schema.Event{{Name: "v1.TodoCreated"}}}}}), nil
		}
	})
	for _, encoding := range []string{"json", "proto"} {
		store := "spans-" + encoding
		_, secret := w.token(t, control.Token{Role: control.RoleClient, App: "todo", Stores: []string{store}})
		cmd := exec.CommandContext(t.Context(), "node", "spans.mjs", app, w.url, secret, sync, syncToken, store, encoding, t.TempDir())
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "done") {
			t.Fatalf("%s: %v\n%s", encoding, err, out)
		}
		if err := w.counter.write(t.Context()); err != nil {
			t.Fatal(err)
		}
		counts, err := w.Operate.DB.Signals(t.Context(), "prod", control.SignalQuery{Until: w.now().Add(time.Hour), Schema: "main"})
		if err != nil {
			t.Fatal(err)
		}
		sums := map[rollout.Sign]int64{}
		for _, c := range counts {
			sums[c.Sign] += c.N
			if c.Release != "1.1.0" || c.Sign == rollout.SawApplyTime && c.Event != "v1.TodoCreated" {
				t.Errorf("%s: %+v", encoding, c)
			}
		}
		// Each of two clients applied three events; what was pushed in how many requests is LiveStore's to say.
		if sums[rollout.SawApplyTime] < 6 || sums[rollout.SawPushTime] == 0 || sums[rollout.SawTraced] <= sums[rollout.SawApplyTime] || sums[rollout.SawApplyFailed] != 0 {
			t.Errorf("%s: %v", encoding, sums)
		}
		t.Logf("%s: %v", encoding, sums)
		w.advance(24 * time.Hour)
		if err := w.Operate.DB.MergeSignals(t.Context(), "prod"); err != nil {
			t.Fatal(err)
		}
	}
	r, err := w.Operate.Signals(t.Context(), 72*time.Hour)
	if err != nil || r.Traced.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	for _, s := range r.Signals {
		if s.Signal == "materialize-latency-p95" || s.Signal == "push-latency-p50" {
			if ms, ok := s.Value.(float64); !ok || ms <= 0 || ms > 10_000 {
				t.Errorf("%+v", s)
			}
		}
	}
}
