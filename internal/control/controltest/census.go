package controltest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/control"
	"headgate/internal/errs"
)

func census(t *testing.T, d *database) {
	ctx := t.Context()
	at := func(day int) time.Time { return time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC) }
	load := func(clients ...control.Client) {
		t.Helper()
		if n, err := d.ImportCensus(ctx, "prod", "census.csv", control.Values(clients), ana()); err != nil || n != int64(len(clients)) {
			t.Fatalf("%d, %v", n, err)
		}
	}
	load(
		control.Client{Store: "s1", ID: "a", Release: "1.0.0", LastSeen: at(1)},
		control.Client{Store: "s1", ID: "b", Release: "1.9.0", LastSeen: at(2)},
		control.Client{Store: "s2", ID: "a", Release: "1.9.0", LastSeen: at(3)},
		control.Client{Store: "s2", ID: "c", Release: "1.10.0", LastSeen: at(4)},
		control.Client{Store: "s2", ID: "d", Release: "1.10.0-beta.1", LastSeen: at(5)},
		control.Client{Store: "s2", ID: "e", Release: "old", LastSeen: at(2)},
		// The newest counts, wherever it stands.
		control.Client{Store: "s3", ID: "f", Release: "1.10.0", LastSeen: at(6)},
		control.Client{Store: "s3", ID: "f", Release: "1.9.0", LastSeen: at(5)},
	)
	want := []control.ReleaseCount{
		{Release: "1.10.0", Clients: 2, Stores: 2, LastSeen: at(6)},
		{Release: "1.10.0-beta.1", Clients: 1, Stores: 1, LastSeen: at(5)},
		{Release: "1.9.0", Clients: 2, Stores: 2, LastSeen: at(3)},
		{Release: "1.0.0", Clients: 1, Stores: 1, LastSeen: at(1)},
		{Release: "old", Clients: 1, Stores: 1, LastSeen: at(2)},
	}
	check := func(since time.Time, want ...control.ReleaseCount) {
		t.Helper()
		got, err := d.Census(ctx, "prod", since)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	}
	check(time.Time{}, want...)
	check(at(4), want[:2]...)
	check(at(7))

	// What is older than what is known changes nothing; an update moves the client to its new release.
	load(control.Client{Store: "s1", ID: "a", Release: "0.9.0", LastSeen: at(1).Add(-time.Hour)}, control.Client{Store: "s1", ID: "b", Release: "1.10.0", LastSeen: at(8)})
	check(at(6), control.ReleaseCount{Release: "1.10.0", Clients: 2, Stores: 2, LastSeen: at(8)})
	check(at(1), control.ReleaseCount{Release: "1.10.0", Clients: 3, Stores: 3, LastSeen: at(8)}, want[1],
		control.ReleaseCount{Release: "1.9.0", Clients: 1, Stores: 1, LastSeen: at(3)}, want[3], want[4])
	of, err := d.ClientsOf(ctx, "prod", "s1")
	if diff := cmp.Diff([]control.Client{
		{Store: "s1", ID: "a", Release: "1.0.0", LastSeen: at(1)}, {Store: "s1", ID: "b", Release: "1.10.0", LastSeen: at(8)},
	}, of); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	seen := map[string][]control.SeenStore{}
	for _, after := range []string{"", "s1"} {
		for s, err := range d.SeenStores(ctx, "prod", after) {
			if err != nil {
				t.Fatal(err)
			}
			seen[after] = append(seen[after], s)
		}
	}
	everywhere := []control.SeenStore{
		{Store: "s1", Releases: []string{"1.0.0", "1.10.0"}}, {Store: "s2", Releases: []string{"1.10.0", "1.10.0-beta.1", "1.9.0", "old"}}, {Store: "s3", Releases: []string{"1.10.0"}},
	}
	if diff := cmp.Diff(map[string][]control.SeenStore{"": everywhere, "s1": everywhere[1:]}, seen); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var many []control.Client
	for i := range 501 { // more than a page
		many = append(many, control.Client{Store: fmt.Sprint(i), ID: "a", Release: "1.0.0", LastSeen: at(1)}, control.Client{Store: fmt.Sprint(i), ID: "b", Release: "1.1.0", LastSeen: at(1)})
	}
	many = append(many, control.Client{Store: "tools", ID: "hg:run", Release: "1.0.0", LastSeen: at(1)})
	if _, err := d.ImportCensus(ctx, "many", "x", control.Values(many), ana()); err != nil {
		t.Fatal(err)
	}
	if all := collect(t, d.SeenStores(ctx, "many", "")); len(all) != 501 || len(all[0].Releases) != 2 || len(all[500].Releases) != 2 {
		t.Errorf("%d stores, with %+v", len(all), all)
	}
	if got, err := d.Census(ctx, "staging", time.Time{}); err != nil || len(got) != 0 {
		t.Errorf("staging: %+v, %v", got, err)
	}

	// A sequence that breaks off leaves nothing behind.
	_, err = d.ImportCensus(ctx, "staging", "x", func(yield func(control.Client, error) bool) {
		for i := range 1000 {
			if !yield(control.Client{Store: "s", ID: fmt.Sprint(i), Release: "1.0.0", LastSeen: at(1)}, nil) {
				return
			}
		}
		yield(control.Client{}, errs.Invalidf("line 1001"))
	}, ana())
	wantCode(t, err, errs.Invalid)
	_, err = d.ImportCensus(ctx, "staging", "x", control.Values([]control.Client{{Store: "s", ID: "", Release: "1"}}), ana())
	wantCode(t, err, errs.Invalid)
	if got, err := d.Census(ctx, "staging", time.Time{}); err != nil || len(got) != 0 {
		t.Errorf("staging: %+v, %v", got, err)
	}
	entries := collect(t, d.Audit(ctx, "prod", time.Time{}))
	if len(entries) != 2 || entries[0].Action != "census.import" || entries[0].Subject != "census.csv" || string(entries[0].Detail) != `{"clients":8}` {
		t.Errorf("audit: %+v", entries)
	}
}

// censusAtOnce imports the same clients in opposite orders: no deadlock, and the newest stays.
func censusAtOnce(t *testing.T, d *database) {
	const n = 1000
	at := d.clock.Now()
	other := d.open(t)
	failed := atOnce(6, func(i int) error {
		db, clients := d.DB, make([]control.Client, n)
		if i%2 == 1 {
			db = other
		}
		for j := range clients {
			k := j
			if i%2 == 1 {
				k = n - 1 - j
			}
			clients[j] = control.Client{Store: "s", ID: fmt.Sprint(k), Release: fmt.Sprintf("1.%d.0", i), LastSeen: at.Add(time.Duration(i) * time.Hour)}
		}
		_, err := db.ImportCensus(t.Context(), "prod", "x", control.Values(clients), ana())
		return err
	})
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	want := []control.ReleaseCount{{Release: "1.5.0", Clients: n, Stores: 1, LastSeen: at.Add(5 * time.Hour)}}
	got, err := d.Census(t.Context(), "prod", time.Time{})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}
