package bundle_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/errs"
	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/schema"
)

func release(version, hash string) (*schema.Release, *bundle.Script) {
	return &schema.Release{
		FormatVersion: schema.FormatVersion, App: "todo", Schema: "main", Version: version, StateHash: hash,
		Events: []schema.Event{{Name: "v1.A", Args: &schema.Type{Kind: schema.Literal, Value: []byte("null")}, JSONSchema: []byte(`{"b":1,"a":"<&>"}`)}},
	}, &bundle.Script{Code: "code " + hash, Map: "[]", Modules: []string{"src/schema.ts"}, Export: "schema"}
}

func add(t *testing.T, d bundle.Dir, version, hash string, force bool) (bundle.Outcome, error) {
	t.Helper()
	r, s := release(version, hash)
	return d.Add(r, s, force)
}

func mustAdd(t *testing.T, d bundle.Dir, version, hash string) {
	t.Helper()
	if o, err := add(t, d, version, hash, false); err != nil || o != bundle.Added {
		t.Fatalf("add %s: %v, %v", version, o, err)
	}
}

func TestDirKeepsWhatWasAdded(t *testing.T) {
	d := bundle.Dir{Path: filepath.Join(t.TempDir(), "releases")}
	for _, v := range []string{"1.10.0", "1.2.0", "1.2.0-beta.2", "1.2.0-beta.11"} {
		mustAdd(t, d, v, "1")
	}
	got, err := d.Versions("main")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1.2.0-beta.2", "1.2.0-beta.11", "1.2.0", "1.10.0"}, got); diff != "" {
		t.Error(diff)
	}
	r, err := d.Load("main", "1.2.0")
	if err != nil {
		t.Fatal(err)
	}
	want, wantScript := release("1.2.0", "1")
	want.Bundle = r.Bundle
	a, _ := want.Encode()
	b, _ := r.Encode()
	if diff := cmp.Diff(string(a), string(b)); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(string(b), `"a": "<&>"`) || !strings.Contains(string(b), `"value": null`) {
		t.Errorf("the canonical form is %s", b)
	}
	s, err := d.Script(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantScript, s); diff != "" {
		t.Error(diff)
	}
	if got, err := d.Versions("other"); err != nil || got != nil {
		t.Errorf("a schema without releases: %v, %v", got, err)
	}
}

func TestDirRefusesToChangeARelease(t *testing.T) {
	d := bundle.Dir{Path: t.TempDir()}
	mustAdd(t, d, "1.0.0", "1")
	if o, err := add(t, d, "1.0.0", "1", false); err != nil || o != bundle.Unchanged {
		t.Errorf("the same again: %v, %v", o, err)
	}
	_, err := add(t, d, "1.0.0", "2", false)
	wantError(t, err, errs.Refused, "recorded with other content", "1.0.0.json")
	if r, err := d.Load("main", "1.0.0"); err != nil || r.StateHash != "1" {
		t.Errorf("after a refusal: %+v, %v", r, err)
	}
	if o, err := add(t, d, "1.0.0", "2", true); err != nil || o != bundle.Replaced {
		t.Errorf("with force: %v, %v", o, err)
	}
	if r, err := d.Load("main", "1.0.0"); err != nil || r.StateHash != "2" {
		t.Errorf("after force: %+v, %v", r, err)
	}
	if m, _ := filepath.Glob(filepath.Join(d.Path, "main/bundles/*")); len(m) != 1 {
		t.Errorf("scripts that nobody names stay: %v", m)
	}
	for _, v := range []string{"1", "v1.0.0", "1.0", "01.0.0", "", "../1.0.0"} {
		if _, err := add(t, d, v, "1", true); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("version %q: %v", v, err)
		}
	}
}

func TestDirFindsDamage(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, d bundle.Dir)
		msg    string
	}{
		"edited": {func(t *testing.T, d bundle.Dir) { replace(t, filepath.Join(d.Path, "main/1.0.0.json"), `"1"`, `"9"`) }, "edited after it was recorded"},
		"truncated": {func(t *testing.T, d bundle.Dir) {
			if err := os.Truncate(filepath.Join(d.Path, "main/1.0.0.json"), 40); err != nil {
				t.Fatal(err)
			}
		}, "damaged"},
		"not in the sums": {func(t *testing.T, d bundle.Dir) {
			replace(t, filepath.Join(d.Path, "headgate.sum"), "main/1.0.0.json", "main/9.9.9.json")
		}, "not in headgate.sum"},
		"sums damaged": {func(t *testing.T, d bundle.Dir) {
			replace(t, filepath.Join(d.Path, "headgate.sum"), "sha256-", "<<<<<<< ")
		}, "not a checksum line"},
		"newer format": {func(t *testing.T, d bundle.Dir) {
			replace(t, filepath.Join(d.Path, "main/1.0.0.json"), `"formatVersion": 1`, `"formatVersion": 99`)
		}, "format 99"},
	} {
		t.Run(name, func(t *testing.T) {
			d := bundle.Dir{Path: t.TempDir()}
			mustAdd(t, d, "1.0.0", "1")
			c.damage(t, d)
			_, err := d.Load("main", "1.0.0")
			e := errs.As(err)
			if e == nil || !strings.Contains(e.Msg, c.msg) || e.Hint == "" {
				t.Errorf("got %v (%+v), want %q", err, e, c.msg)
			}
		})
	}
	gone := bundle.Dir{Path: t.TempDir()}
	mustAdd(t, gone, "1.0.0", "1")
	mustAdd(t, gone, "1.1.0", "1")
	if err := os.Remove(filepath.Join(gone.Path, "main/1.0.0.json")); err != nil {
		t.Fatal(err)
	}
	_, err := gone.LoadAll("main")
	wantError(t, err, errs.Mismatch, "release 1.0.0 is in headgate.sum, and its file is gone", "main/1.0.0.json")
	_, err = bundle.Dir{Path: t.TempDir()}.Load("main", "1.0.0")
	wantError(t, err, errs.NotFound, "not recorded", "1.0.0.json")
}

func TestDirFindsDamagedScript(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"gone":      os.Remove,
		"truncated": func(p string) error { return os.Truncate(p, 30) },
		"garbage":   func(p string) error { return os.WriteFile(p, []byte("garbage"), 0o644) },
	} {
		d := bundle.Dir{Path: t.TempDir()}
		mustAdd(t, d, "1.0.0", "1")
		r, err := d.Load("main", "1.0.0")
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(filepath.Join(d.Path, "main/bundles", r.Bundle+".json.gz")); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Script(r); errs.As(err) == nil || errs.As(err).Hint == "" {
			t.Errorf("%s: got %v", name, err)
		}
		if o, err := add(t, d, "1.0.0", "1", false); name == "gone" && (err != nil || o != bundle.Unchanged) {
			t.Errorf("adding again does not bring the script back: %v, %v", o, err)
		}
	}
}

func replace(t *testing.T, path, old, now string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(b), old, now, 1)
	if changed == string(b) {
		t.Fatalf("%s does not hold %q: %s", path, old, b)
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}
