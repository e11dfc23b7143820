package openlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog/openlog"
	"headgate/internal/testenv"
)

// A clock stands still unless it is told.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

// shell is an auth command that runs a script in a directory of its own.
func shell(t *testing.T, script string, c *clock) (*openlog.Auth, string) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		testenv.Need(t, "sh", "run the tests on a Unix system")
	}
	dir := t.TempDir()
	return openlog.CommandAuth([]string{"sh", "-c", script, "auth"}, dir, "headgate.yaml:7", c.now), dir
}

func noon() *clock { return &clock{time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)} }

func payload(t *testing.T, a *openlog.Auth, store livestore.StoreID) string {
	t.Helper()
	p, err := a.Payload(store)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func TestStaticAuth(t *testing.T) {
	var none *openlog.Auth
	if none.Payload("demo") != nil {
		t.Error("no auth has a payload")
	}
	if got := payload(t, openlog.StaticAuth(json.RawMessage(`{"a":1}`)), "demo"); got != `{"a":1}` {
		t.Errorf("payload %s", got)
	}
}

// TestCommandAuthCaches counts how often the command runs: it appends the store to a file each time.
func TestCommandAuthCaches(t *testing.T) {
	c := noon()
	a, dir := shell(t, `echo "$1 $HEADGATE_STORE" >> asked; echo "{\"payload\": {\"n\": $(wc -l < asked)}, \"expires\": \"2027-01-01T13:00:00+01:00\"}"`, c)
	asked := func() int {
		text, err := os.ReadFile(filepath.Join(dir, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "\n")
	}
	c.Time = c.Add(-time.Hour) // the payload is good for an hour
	for range 3 {
		if got := payload(t, a, "one"); strings.ReplaceAll(got, " ", "") != `{"n":1}` {
			t.Errorf("payload %s", got)
		}
	}
	if got := payload(t, a, "two"); strings.ReplaceAll(got, " ", "") != `{"n":2}` {
		t.Errorf("payload %s of another store", got)
	}
	c.Time = c.Add(time.Hour - 31*time.Second)
	payload(t, a, "one")
	if asked() != 2 {
		t.Errorf("asked %d times, want once for each store", asked())
	}
	c.Time = c.Add(time.Second) // 30 seconds before
	payload(t, a, "one")
	if asked() != 3 {
		t.Errorf("asked %d times, want once more shortly before the expiry", asked())
	}
	text, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil || string(text) != "one one\ntwo two\none one\n" {
		t.Errorf("asked for %q, %v", text, err)
	}
}

func TestCommandAuthShortLife(t *testing.T) {
	c := noon()
	a, dir := shell(t, `echo x >> asked; echo '{"payload": 1, "expires": "2027-01-01T12:00:10Z"}'`, c)
	payload(t, a, "one")
	c.Time = c.Add(8 * time.Second)
	payload(t, a, "one")
	c.Time = c.Add(time.Second)
	payload(t, a, "one")
	if text, err := os.ReadFile(filepath.Join(dir, "asked")); err != nil || string(text) != "x\nx\n" {
		t.Errorf("asked %q, %v: want twice", text, err)
	}
}

func TestCommandAuthForGood(t *testing.T) {
	c := noon()
	a, dir := shell(t, `echo x >> asked; echo '{"payload": {"authToken": "t"}}'`, c)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if p, err := a.Payload("one")(t.Context()); err != nil || string(p) != `{"authToken": "t"}` {
				t.Errorf("payload %s, %v", p, err)
			}
		})
	}
	wg.Wait()
	c.Time = c.AddDate(1, 0, 0)
	payload(t, a, "one")
	if text, err := os.ReadFile(filepath.Join(dir, "asked")); err != nil || string(text) != "x\n" {
		t.Errorf("asked %q, %v: want once", text, err)
	}
}

func TestCommandAuthFails(t *testing.T) {
	for script, want := range map[string]string{
		`echo '{"payload":{"t":"hunter2"}}'; echo first >&2; echo "no  $1 for hunter2"  >&2; exit 3`: "for store demo failed (exit status 3): no  demo for …",
		`exit 4`:                          "failed (exit status 4) and said nothing on stderr",
		`echo hunter2`:                    "did not print one JSON object",
		`echo '["hunter2"]'`:              "did not print one JSON object",
		`echo '{"hunter2":1}'`:            "did not print one JSON object",
		`echo '{"payload":"hunter2"'`:     "did not print one JSON object",
		`echo '{}'`:                       `printed no "payload"`,
		`echo '{"payload":"hunter2"} {}'`: "more than one JSON object",
		`echo '{"payload":"hunter2","expire":"2027-01-01T12:00:00Z"}'`:            "did not print one JSON object",
		`echo '{"payload":"hunter2","expires":"tomorrow"}'`:                       "not a time in the form of RFC 3339",
		`echo '{"payload":"hunter2","expires":"2027-01-01T12:00:00Z"}'`:           "has expired, at 2027-01-01T12:00:00Z",
		`i=0; while [ $i -lt 9000 ]; do echo "hunter2 hunter2"; i=$((i+1)); done`: "printed more than 64 kB",
	} {
		a, _ := shell(t, script, noon())
		p, err := a.Payload("demo")(t.Context())
		e := errs.As(err)
		if e == nil || e.Code != errs.Invalid || e.Where != "headgate.yaml:7" || e.Hint == "" || !strings.Contains(e.Msg, want) {
			t.Errorf("%s: payload %s, error %v, want one that says %q", script, p, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error quotes the payload: %v", script, err)
		}
	}
	a := openlog.CommandAuth([]string{filepath.Join(t.TempDir(), "nowhere")}, "", "headgate.yaml:7", time.Now)
	if _, err := a.Payload("demo")(t.Context()); errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), "can't be run") {
		t.Errorf("no such command: %v", err)
	}
}

// TestCommandAuthAfterFailure: a failure is not kept.
func TestCommandAuthAfterFailure(t *testing.T) {
	a, _ := shell(t, `if [ -e asked ]; then echo '{"payload": 1}'; else touch asked; exit 1; fi`, noon())
	if _, err := a.Payload("demo")(t.Context()); err == nil {
		t.Error("no error")
	}
	if got := payload(t, a, "demo"); got != "1" {
		t.Errorf("payload %s", got)
	}
}

// TestCommandAuthIsInterrupted: both who runs the command and who waits for it end with their context.
func TestCommandAuthIsInterrupted(t *testing.T) {
	a, dir := shell(t, `touch asked; sleep 60`, noon())
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("stopped by the test")
	result := make(chan error, 2)
	ask := func() { _, err := a.Payload("demo")(ctx); result <- err }
	go ask()
	for {
		if _, err := os.Stat(filepath.Join(dir, "asked")); err == nil {
			break
		}
	}
	go ask()
	cancel(why)
	for range 2 {
		if err := <-result; !errors.Is(err, why) {
			t.Errorf("error %v, want the context's cause", err)
		}
	}
}
