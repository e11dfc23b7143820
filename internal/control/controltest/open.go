package controltest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// open: what one process wrote, another reads.
func open(t *testing.T, d *database) {
	d.stores(t, "a")
	other := d.open(t)
	if s, err := other.Store(t.Context(), "prod", "a"); err != nil || s.State != control.StoreActive {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := other.Store(t.Context(), "staging", "a"); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("another environment's store: %v", err)
	}
	if strings.Contains(d.Place(), "hunter2") || d.Place() == "" {
		t.Errorf("place %q", d.Place())
	}
	if _, err := control.Open(t.Context(), control.Options{URL: d.url}); err == nil {
		t.Error("opened without a clock")
	}
}

// openAtOnce makes the tables from several sides, and then finds them there once.
func openAtOnce(t *testing.T, d *database) {
	drop := "DROP TABLE "
	if tables := d.tables(t); d.Postgres() {
		d.exec(t, drop+strings.Join(tables, ", ")+"; DROP FUNCTION audit_append_only")
	} else {
		d.exec(t, "PRAGMA foreign_keys=OFF; "+drop+strings.Join(tables, "; "+drop))
	}
	failed := atOnce(8, func(i int) error {
		db, err := control.Open(t.Context(), control.Options{URL: d.url, Now: d.clock.Now})
		if err != nil {
			return err
		}
		_, err = db.Acquire(t.Context(), control.Lease{Env: "prod", Name: string(rune('a' + i)), Owner: "one"}, time.Minute)
		return errors.Join(err, db.Close())
	})
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	if held, err := d.Leases(t.Context(), "prod"); err != nil || len(held) != 8 {
		t.Errorf("%d leases, %v", len(held), err)
	}
}

func openNewer(t *testing.T, d *database) {
	if d.Postgres() {
		d.exec(t, `INSERT INTO headgate_ddl (version_id, is_applied) VALUES (99999, true)`)
	} else {
		d.exec(t, `INSERT INTO headgate_ddl (version_id, is_applied) VALUES (99999, 1)`)
	}
	_, err := control.Open(t.Context(), control.Options{URL: d.url, Now: d.clock.Now})
	wantCode(t, err, errs.Refused)
	if e := errs.As(err); !strings.Contains(e.Msg, "version 99999") || e.Hint == "" {
		t.Errorf("%v, hint %q", e, e.Hint)
	}
}
