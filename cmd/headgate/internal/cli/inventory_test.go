package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// inventoryApp is an app with one environment, e, and what a run knows of it.
func inventoryApp(t *testing.T, schemas, environment string, files map[string]string) (*app, *config.Config, config.Environment) {
	t.Helper()
	dir := t.TempDir()
	files["headgate.yaml"] = "app: x\nschemas: {" + schemas + "}\nenvironments:\n  e:\n    " + environment + "\n"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lookup := func(string) (string, bool) { return "", false }
	cfg, err := config.Load(config.Source{Dir: dir, LookupEnv: lookup})
	if err != nil {
		t.Fatal(err)
	}
	env, err := cfg.Environment("e")
	if err != nil {
		t.Fatal(err)
	}
	return newApp(nil, io.Discard, io.Discard, lookup, time.Now), cfg, env
}

const (
	oneSchema  = "main: {entry: s.ts, adapters: [web]}"
	twoSchemas = oneSchema + ", other: {entry: o.ts, adapters: [web]}"
)

func TestStoresOfAnInventory(t *testing.T) {
	a, cfg, env := inventoryApp(t, twoSchemas, "log: sync-cf:https://sync\n    inventory: {command: [sh, stores.sh]}", map[string]string{
		"stores.sh": `echo x >> asked
cat <<'E'
{"id": "a", "schema": "main", "region": "eu"}
{"id": "b", "schema": "other", "log": "file:b.db"}
{"id": "c", "schema": "main", "state": "hold"}
{"id": "d", "schema": "main", "state": "deleted"}
E
`,
	})
	if _, err := os.Stat(filepath.Join(cfg.Dir, "asked")); err == nil {
		t.Error("the inventory was read before anybody needed it")
	}
	got, err := a.stores(t.Context(), cfg, env)
	want := []config.Store{
		{ID: "a", Schema: "main", Log: config.LogURL{Kind: "sync-cf", Address: "https://sync"}, Region: "eu", State: config.Active, Line: 6},
		{ID: "b", Schema: "other", Log: config.LogURL{Kind: "file", Path: filepath.Join(cfg.Dir, "b.db")}, State: config.Active, Line: 6},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("error %v, stores (-want +got):\n%s", err, d)
	}
	if all, err := a.allStores(t.Context(), cfg, env); err != nil || len(all) != 4 || all[3].State != config.Deleted {
		t.Errorf("all stores: %+v, %v", all, err)
	}
	if s, err := a.store(t.Context(), cfg, env, "b"); err != nil || !cmp.Equal(want[1], s) {
		t.Errorf("store b: %+v, %v", s, err)
	}
	for id, want := range map[livestore.StoreID]string{
		"c": "headgate.yaml:6: row 3 of the command: store c is on hold in the inventory",
		"d": "headgate.yaml:6: row 4 of the command: store d is deleted in the inventory",
		"e": `environment "e" has no store "e"`,
	} {
		_, err := a.store(t.Context(), cfg, env, id)
		if err == nil || !strings.Contains(err.Error(), want) || errs.As(err).Hint == "" {
			t.Errorf("store %s: %v, want %q", id, err, want)
		}
	}
	if asked, err := os.ReadFile(filepath.Join(cfg.Dir, "asked")); err != nil || string(asked) != "x\n" {
		t.Errorf("the inventory was read %d times, %v", len(asked)/2, err)
	}
}

// TestInventoryIsReadOnce: who needs an inventory that somebody else reads waits for it, for as long as it has time, and
// tries itself when the other one gave up. What another environment needs waits for nobody.
func TestInventoryIsReadOnce(t *testing.T) {
	var k inventories
	reads := 0
	begun, release := make(chan struct{}), make(chan struct{})
	ctx, giveUp := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := k.get(ctx, "e", func() (*fleet, error) {
			reads++
			close(begun)
			<-release
			return nil, context.Canceled
		})
		first <- err
	}()
	<-begun
	if f, err := k.get(t.Context(), "other", func() (*fleet, error) { return &fleet{}, nil }); f == nil || err != nil {
		t.Error("another environment", err)
	}
	short, done := context.WithTimeout(t.Context(), time.Millisecond)
	defer done()
	if _, err := k.get(short, "e", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error("it waits for longer than it has", err)
	}
	k.forgetOld(time.Now()) // what is being read is not old
	second := make(chan error, 1)
	go func() {
		_, err := k.get(t.Context(), "e", func() (*fleet, error) {
			reads++
			return &fleet{read: time.Now()}, nil
		})
		second <- err
	}()
	giveUp()
	close(release)
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-second; err != nil || reads != 2 {
		t.Error(reads, err)
	}
	if f, err := k.get(t.Context(), "e", nil); f == nil || err != nil {
		t.Error("it is not kept", err)
	}
	k.forget("e")
	broken := errors.New("broken")
	for range 2 { // a failure is not kept
		if _, err := k.get(t.Context(), "e", func() (*fleet, error) { reads++; return nil, broken }); !errors.Is(err, broken) {
			t.Error(err)
		}
	}
	if reads != 4 {
		t.Error(reads)
	}
}

func TestStoresOfTheFile(t *testing.T) {
	a, cfg, env := inventoryApp(t, oneSchema, "log: sync-cf:https://sync\n    stores:\n      - {id: a}\n      - {id: b, state: hold}", map[string]string{})
	got, err := a.stores(t.Context(), cfg, env)
	if err != nil || len(got) != 1 || got[0].ID != "a" {
		t.Errorf("stores %+v, %v", got, err)
	}
	if _, err := a.store(t.Context(), cfg, env, "b"); err == nil || !strings.Contains(err.Error(), "headgate.yaml:8: store b is on hold in headgate.yaml") {
		t.Errorf("store b: %v", err)
	}
}

func TestStoresRefuses(t *testing.T) {
	many := "id\n"
	for _, id := range strings.Split("aaaa bbbb cccc dddd eeee ffff gggg hhhh iiii jjjj kkkk llll mmmm nnnn oooo pppp qqqq rrrr ssss tttt uuuu", " ") {
		many += "tenant-" + id + "\n"
	}
	for _, test := range []struct{ schemas, environment, csv, want, hint string }{
		{twoSchemas, "log: sync-cf:https://s", "id\na\n", "stores.csv:2: store a must say its schema", "add a column schema"},
		{twoSchemas, "log: sync-cf:https://s", "id,schema\na,othr\n", `stores.csv:2: there is no schema "othr"`, "did you mean other?"},
		{oneSchema, "pace: 1s", "id\na\n", "stores.csv:2: store a has no log", "add a column log"},
		{oneSchema, "pace: 1s", "id,log\na,sync-cf:hunter2\n", "stores.csv:2: column log: sync-cf: wants the http", ""},
		{oneSchema, "pace: 1s", "id,log\na,postgres:hunter2\n", "stores.csv:2: column log: postgres: wants the URL", ""},
		{oneSchema, "log: sync-cf:https://s", "id\na\na\n", "stores.csv:3: store a is there twice", "stores.csv:2"},
		{oneSchema, "log: sync-cf:https://s", many, `no store "tenant-nnn"`, "did you mean tenant-nnnn? There are 21"},
		{oneSchema, "log: sync-cf:https://s", strings.ReplaceAll(many, "tenant-", "x-"), `no store "tenant-nnn"`, "there are 21, x-aaaa, x-bbbb, x-cccc and so on"},
	} {
		a, cfg, env := inventoryApp(t, test.schemas, test.environment+"\n    inventory: {file: stores.csv}", map[string]string{"stores.csv": test.csv})
		_, err := a.store(t.Context(), cfg, env, "tenant-nnn")
		e := errs.As(err)
		if e == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(e.Hint, test.hint) || strings.Contains(err.Error()+e.Hint, "hunter2") {
			t.Errorf("%q: error %v, hint of %+v, want %q and %q", test.csv, err, e, test.want, test.hint)
		}
	}
}
