//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/livestore"
)

// TestFailures migrates a fleet of which only two stores can be: one's backend answers HTML, one's can't be reached, and one
// holds an event that the release fails on. Each failure says what to do, and nothing is written to those stores.
func TestFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	poisoned := w.stores[2]
	poison := w.open(t, poisoned)
	head, err := poison.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bad := todoEvent(head.Last.Global, "seed", 0)
	bad.Name, bad.Args = "v1.TodoCreated", json.RawMessage(`{"id":5}`)
	if err := poison.Append(t.Context(), []livestore.Event{bad}); err != nil {
		t.Fatal(err)
	}
	if err := poison.Close(); err != nil {
		t.Fatal(err)
	}
	page := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprint(rw, "<!doctype html><title>Welcome</title>")
	}))
	t.Cleanup(page.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	w.configure(w.url, "pace: 0", chaosMigration)
	path := filepath.Join(w.app, "headgate.yaml")
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	with := func(id, url string) string {
		return fmt.Sprintf("      - {id: %s, schema: main, log: \"sync-cf:%s\"}\n", id, url)
	}
	says := func(out string, texts ...string) {
		t.Helper()
		for _, s := range texts {
			if !strings.Contains(out, s) {
				t.Errorf("it does not say %q:\n%s", s, out)
			}
		}
	}

	w.write("headgate.yaml", string(sound)+with("page", page.URL)+with("nobody", nobody))
	says(w.headgate(t, 2, "migration", "up", "--env", "chaos", "--yes", "--store", "nothing"), `has no store "nothing"`, "there are: store-00")
	says(w.headgate(t, 5, "migration", "preview", "--env", "chaos"),
		"would be committed in 2 of 5 stores; what is due in 3 stores that failed is not known",
		"failed store-02: ", "e61 v1.TodoCreated: its arguments don't decode at $.id", "failed page: ", "it answers with HTTP 200 and an HTML page",
		"fix: check the address", "failed nobody: ", "can't reach the sync backend", "3 of 5 stores failed")
	out := w.headgate(t, 5, "migration", "preview", "--env", "chaos", "--store", "page", "--store", "nobody", "--store", "store-02")
	says(out, "no store could be previewed: what would be committed is not known")
	if strings.Contains(out, "OUTCOME") {
		t.Errorf("a table of no store:\n%s", out)
	}
	w.write("headgate.yaml", strings.ReplaceAll(string(sound), w.token, "another"))
	says(w.headgate(t, 2, "migration", "preview", "--env", "chaos", "--store", "store-00"), "the sync backend refused the connection", "invalid auth token",
		"hint: check the auth token", "next: headgate migration preview --env chaos --store store-00")

	// Those that failed in the preview are in no run: --only-failed would pass them over.
	w.write("headgate.yaml", string(sound)+with("page", page.URL))
	out = w.headgate(t, 5, "migration", "up", "--env", "chaos", "--yes")
	says(out, "73 events committed", "2 of 4 stores failed: store-02, page", "headgate: next: headgate migration up --env chaos --yes\n")
	out = w.headgate(t, 0, "status", "--env", "chaos")
	says(out, "00001_schedule: 2 stores in no run, since looking at what is due there failed\n", "  page: ", "it answers with HTTP 200 and an HTML page",
		"    fix: check the address", "  store-02: ", "its arguments don't decode at $.id", "    next: headgate log stats --store store-02 --env chaos",
		"next: headgate migration up 00001_schedule --env chaos")
	says(w.headgate(t, 5, "migration", "status", "--env", "chaos"), "no run took it: ", "failed page: ")
	for _, s := range w.stores[:2] {
		if r := w.inspect(t, s); r.duplicates != 0 || r.ours == 0 || r.markers != 1 || r.mixed {
			t.Errorf("%s: %+v", s, r)
		}
	}
	poison = w.open(t, poisoned)
	defer poison.Close()
	if h, err := poison.Head(t.Context()); err != nil || h.Last.Global != bad.Seq.Global {
		t.Errorf("something was written to the poisoned store: %v, %v", h, err)
	}
	// Once they are looked at well, they wait for nobody.
	w.write("headgate.yaml", strings.Replace(string(sound), "- {id: store-02,", "- {id: another,", 1)+with("page", w.url))
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes")
	if out := w.headgate(t, 0, "status", "--env", "chaos"); strings.Contains(out, "page: ") {
		t.Errorf("the page is still left out:\n%s", out)
	}
}
