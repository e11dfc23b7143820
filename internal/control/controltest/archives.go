package controltest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/control"
	"headgate/internal/errs"
)

func archives(t *testing.T, d *database) {
	ctx := t.Context()
	random := make([]byte, 1<<20)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(random) // never fails
	want := control.Archive{"00001_a.sql": []byte("SELECT 1;\r\n"), "lib/b.ts": {}, "bundles/c.gz": random}
	digest, err := d.Keep(ctx, want)
	if err != nil || digest != want.Digest() {
		t.Fatalf("%s, %v", digest, err)
	}
	for _, err := range atOnce(8, func(int) error {
		again, err := d.Keep(ctx, control.Archive{"bundles/c.gz": random, "lib/b.ts": {}, "00001_a.sql": []byte("SELECT 1;\r\n")})
		if err == nil && again != digest {
			err = errors.New("another digest: " + again)
		}
		return err
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	got, err := d.Archive(ctx, digest)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%.500s", err, diff)
	}
	for _, other := range []control.Archive{{"a": []byte("bc")}, {"ab": []byte("c")}, {}} {
		k, err := d.Keep(ctx, other)
		if err != nil || k == digest {
			t.Errorf("%v: %s, %v", other, k, err)
		}
		if got, err := d.Archive(ctx, k); err != nil || !cmp.Equal(got, other) {
			t.Errorf("%v: %v, %v", other, got, err)
		}
	}
	_, err = d.Archive(ctx, "sha256-00")
	wantCode(t, err, errs.NotFound)
	half := make([]byte, control.MaxArchiveBytes/2+1)
	_, err = d.Keep(ctx, control.Archive{"a": half, "b": half})
	wantCode(t, err, errs.Invalid)
	_, err = d.Keep(ctx, control.Archive{"": nil})
	wantCode(t, err, errs.Invalid)
	if most, err := d.Keep(ctx, control.Archive{"a": half[1:], "b": half[1:]}); err != nil {
		t.Error(err)
	} else if a, err := d.Archive(ctx, most); err != nil || !bytes.Equal(a["b"], half[1:]) {
		t.Errorf("the largest one is not what it was: %v", err)
	}

	// What was edited outside is found.
	d.exec(t, "UPDATE archives SET data = (SELECT data FROM archives WHERE digest = '"+control.Archive{"a": []byte("bc")}.Digest()+"') WHERE digest = '"+digest+"'")
	_, err = d.Archive(ctx, digest)
	wantCode(t, err, errs.Mismatch)
}

// pruneArchives: what a run needs that is under way, that ended lately or is the last of its migration stays.
func pruneArchives(t *testing.T, d *database) {
	ctx := t.Context()
	d.stores(t, "a")
	archive := map[string]string{}
	keep := func(names ...string) {
		t.Helper()
		for _, name := range names {
			digest, err := d.Keep(ctx, control.Archive{name: []byte("SELECT 1;")})
			if err != nil || archive[name] != "" && archive[name] != digest {
				t.Fatal(digest, err)
			}
			archive[name] = digest
		}
	}
	create := func(id, env, migration string, names ...string) {
		t.Helper()
		keep(names...)
		kept := map[string]string{}
		for _, name := range names {
			kept[name] = archive[name]
		}
		options, err := json.Marshal(map[string]any{"kept": map[string]any{"releases": kept}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.CreateRun(ctx, control.Run{ID: id, Env: env, Migration: migration, Options: options}, control.Values([]control.RunStore{}), ana()); err != nil {
			t.Fatal(err)
		}
	}
	end := func(id string) {
		t.Helper()
		for _, move := range [][2]control.State{{control.Pending, control.Running}, {control.Running, control.Succeeded}} {
			if ok, err := d.MoveRun(ctx, id, move[:1], move[1], ana()); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
	}
	const month = 30 * 24 * time.Hour
	prune := func(want int, gone ...string) {
		t.Helper()
		if n, err := d.PruneArchives(ctx, month); err != nil || n != want {
			t.Errorf("%d removed, %v, want %d", n, err, want)
		}
		for name, digest := range archive {
			_, err := d.Archive(ctx, digest)
			if is := errs.CodeOf(err) == errs.NotFound; is != slices.Contains(gone, name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	create("r1", "prod", "00001_x", "first", "shared")
	create("r2", "staging", "00001_x", "staging")
	keep("nobody's")
	prune(0)
	d.clock.Advance(2 * month)
	prune(0) // they are under way
	end("r1")
	end("r2")
	create("r3", "prod", "00001_x", "second", "shared")
	d.clock.Advance(2 * month)
	prune(0) // r3 is
	end("r3")
	keep("new")
	d.clock.Advance(time.Hour)
	prune(2, "first", "nobody's")
	keep("first") // again, for a run that is about to begin
	prune(0, "nobody's")
	create("r4", "prod", "00001_x", "first", "shared")
	end("r4")
	d.clock.Advance(2 * month)
	prune(2, "nobody's", "second", "new")
}

func approvals(t *testing.T, d *database) {
	ctx := t.Context()
	first := d.clock.Now()
	if a, err := d.Approve(ctx, "prod", "sha256-aa", control.By{Actor: "ben", Reason: "looked at it"}); err != nil || a.Actor != "ben" || a.At != first {
		t.Fatalf("%+v, %v", a, err)
	}
	d.clock.Advance(time.Minute)
	if a, err := d.Approve(ctx, "prod", "sha256-aa", control.By{Actor: "ben", Reason: "again"}); err != nil || a.Reason != "looked at it" || a.At != first {
		t.Errorf("%+v, %v", a, err)
	}
	for _, k := range [][2]string{{"prod", "sha256-aa"}, {"prod", "sha256-bb"}, {"staging", "sha256-aa"}} {
		if _, err := d.Approve(ctx, k[0], k[1], control.By{Actor: "cleo"}); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := d.Approve(ctx, "prod", "sha256-aa", control.By{Actor: " BEN "}); err != nil || again.Actor != "ben" { // one person, however it is typed
		t.Errorf("%+v, %v", again, err)
	}
	got, err := d.Approvals(ctx, "prod", "sha256-aa")
	want := []control.Approval{
		{Plan: "sha256-aa", Actor: "ben", Reason: "looked at it", At: first},
		{Plan: "sha256-aa", Actor: "cleo", At: first.Add(time.Minute)},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if none, err := d.Approvals(ctx, "prod", "sha256-cc"); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	if entries := collect(t, d.Audit(ctx, "prod", time.Time{})); len(entries) != 3 || entries[0].Action != "plan.approve" || entries[0].Subject != "sha256-aa" {
		t.Errorf("%+v", entries)
	}
	_, err = d.Approve(ctx, "prod", "", ana())
	wantCode(t, err, errs.Invalid)
	_, err = d.Approve(ctx, "prod", "sha256-aa", control.By{})
	wantCode(t, err, errs.Internal)
}

// plans are kept once, the one that was approved last first, and not for ever.
func plans(t *testing.T, d *database) {
	ctx := t.Context()
	keep := func(env, digest, text string) {
		t.Helper()
		if err := d.KeepPlan(ctx, env, digest, text); err != nil {
			t.Fatal(err)
		}
		d.clock.Advance(time.Minute)
	}
	keep("prod", "sha256-aa", "{\"a\":1}")
	keep("prod", "sha256-bb", "{}")
	keep("staging", "sha256-cc", "{}")
	keep("prod", "sha256-aa", "{\"a\":2}") // its evidence is newer
	got, err := d.Plans(ctx, "prod", 10)
	if err != nil || len(got) != 2 || got[0].Digest != "sha256-aa" || got[0].Text != "{\"a\":2}" || got[1].Digest != "sha256-bb" || !got[0].At.After(got[1].At) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := d.Plans(ctx, "prod", 1); err != nil || len(got) != 1 || got[0].Digest != "sha256-aa" {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range 100 {
		keep("prod", fmt.Sprintf("sha256-%03d", i), "{}")
	}
	got, err = d.Plans(ctx, "prod", 1000)
	if err != nil || len(got) != 100 || got[99].Digest != "sha256-000" {
		t.Errorf("%d plans, %v", len(got), err)
	}
	if got, err := d.Plans(ctx, "staging", 10); err != nil || len(got) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	wantCode(t, d.KeepPlan(ctx, "prod", "", "{}"), errs.Invalid)
	wantCode(t, d.KeepPlan(ctx, "prod", "sha256-dd", strings.Repeat("x", control.MaxPlanBytes+1)), errs.Invalid)
}
