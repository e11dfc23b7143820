package rollout_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"headgate/internal/livestore/schema"
	"headgate/rollout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flags parses text, which must be good.
func flags(t testing.TB, text string) *rollout.File {
	t.Helper()
	f, err := rollout.Parse([]byte(text), "/app/headgate/flags.yaml")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

// flag is the first flag of text.
func flag(t testing.TB, text string) *rollout.Flag {
	t.Helper()
	return &flags(t, text).Flags[0]
}

// release is a recorded release that syncs and materializes these events.
func release(version string, events ...string) *schema.Release {
	r := &schema.Release{Version: version}
	for _, e := range events {
		r.Events = append(r.Events, schema.Event{Name: e, Family: e[3:], FamilyVersion: int(e[1] - '0')})
		r.Materializers = append(r.Materializers, schema.Materializer{Event: e})
	}
	return r
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
