//go:build unix

package main

import (
	"encoding/json"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestRollbackThroughEarlierServer walks an incident through a server that lacks the routes which came last: each command says what it
// goes on without, and ends as it should. The proxy asks the real server for a route that there is not instead.
func TestRollbackThroughEarlierServer(t *testing.T) {
	t.Parallel()
	w := &world{t: t, app: copyExample(t)}
	w.write("headgate.yaml", "app: todo\nschemas:\n  main: {entry: src/livestore/schema.ts, export: schema, adapters: [node]}\nenvironments:\n  prod:\n    stores:\n"+
		"      - {id: demo, log: \"file:data/demo/eventlog@6.db\"}\n      - {id: \"2\", log: \"file:data/fidelity/2/eventlog@6.db\"}\n")
	w.record(t, "1.1.0", "1.2.0")
	w.write("seen.csv", "storeId,clientId,release,lastSeen\ndemo,carol,1.2.0,"+time.Now().UTC().Format(time.RFC3339)+"\n")
	w.headgate(t, 0, "census", "import", "seen.csv", "--env", "prod")
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(w.headgate(t, 0, "token", "create", "--role", "operator", "--for", "ana", "--env", "prod", "--format", "json")), &made); err != nil {
		t.Fatal(err)
	}
	server := w.start(t, "serve", "--env", "prod", "--listen", "127.0.0.1:0")
	t.Cleanup(func() { server.stop(t) })
	server.says(t, "serving prod of todo on http")
	_, at, _ := strings.Cut(server.stderr.String(), "serving prod of todo on ")
	at, _, _ = strings.Cut(at, "\n")
	behind, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	earlier := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		for _, lacks := range []string{"/clients", "/census/stores", "/runs/undone", "/hold", "/release"} {
			if strings.HasSuffix(r.In.URL.Path, lacks) {
				r.Out.URL.Path = "/v1/nope"
			}
		}
	}})
	t.Cleanup(earlier.Close)
	s := shell{dir: w.app, env: []string{"HEADGATE_TOKEN=" + made.Token, "HEADGATE_SERVER=" + earlier.URL, "HEADGATE_CACHE=" + sharedCache()}, secret: made.Token}

	s.run(t, 0, "rollback", "--event", "v1.TodoArchived", "--reason", "archived by mistake")
	const without = "the server is of an earlier headgate: this goes on without "
	out, said := s.run(t, 0, "rollback", "assess", "--no-state", "--sample", "1")
	wantText(t, out, "where nobody was seen", "proven for 0, inferred for 0, unknown for ")
	wantText(t, said, without+"who was seen in the stores", without+"the clients of stores")
	if strings.Contains(said, "the census") || strings.Contains(out, "there is no census") {
		t.Errorf("the census, which every server has, is left out:\n%s%s", out, said)
	}
	_, said = s.run(t, 0, "rollback", "plan", "--no-state", "--remedy", "floor")
	wantText(t, said, without+"the runs of backfills")
	out, said = s.run(t, 0, "rollback", "run", "--yes")
	wantText(t, out, "the floor of prod is now 1.2.1", "done 1-raise-floor")
	wantText(t, said, "the server is of an earlier headgate: nobody keeps others from this plan meanwhile")
}
