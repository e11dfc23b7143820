package controltest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/control"
	"headgate/internal/errs"
)

func audit(t *testing.T, d *database) {
	ctx := t.Context()
	if c, err := d.VerifyAudit(ctx); err != nil || c.Entries != 0 || c.Last != "" {
		t.Errorf("an empty audit: %+v, %v", c, err)
	}
	for i, e := range []control.Entry{
		{Env: "prod", Actor: "ana", Action: "plan.allow", Subject: "RO102", Detail: map[string]string{"reason": "<ok> & \"fine\" ü"}},
		{Env: "staging", Actor: "bob", Action: "payload.reveal"},
		{Env: "prod", Actor: "an\x00a\xff", Action: "payload.reveal"}, // Postgres stores neither
	} {
		if i == 2 {
			d.clock.Advance(time.Hour)
		}
		if err := d.Record(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	all := collect(t, d.Audit(ctx, "prod", time.Time{}))
	if len(all) != 2 || all[0].Seq != 1 || all[1].Seq != 3 || all[1].Actor != "an\uFFFDa\uFFFD" || string(all[1].Detail) != "{}" {
		t.Fatalf("%+v", all)
	}
	if diff := cmp.Diff(all[1:], collect(t, d.Audit(ctx, "prod", d.clock.Now()))); diff != "" {
		t.Errorf("since:\n%s", diff)
	}
	for want, q := range map[string]control.AuditQuery{
		"[1 3]": {Limit: 9}, "[3 1]": {Latest: true, Limit: 9}, "[3]": {Latest: true, Limit: 1}, "[1]": {Subject: "RO102", Limit: 9}, "[]": {Subject: "RO1", Limit: 9},
		" [1]": {Action: "plan.", Limit: 9}, "  [1]": {Latest: true, Before: 3, Limit: 9}, " [3]": {After: 1, Limit: 9}, "  [3]": {Since: d.clock.Now(), Limit: 9},
	} {
		got, err := d.AuditOf(ctx, "prod", q)
		seqs := []int64{}
		for _, e := range got {
			seqs = append(seqs, e.Seq)
		}
		if err != nil || fmt.Sprint(seqs) != strings.TrimSpace(want) {
			t.Errorf("%+v: %v, %v", q, seqs, err)
		}
	}
	c, err := d.VerifyAudit(ctx)
	if err != nil || c.Entries != 3 || c.Last != all[1].Hash {
		t.Errorf("%+v, %v", c, err)
	}
	// The hash is what the documentation says: it never changes.
	if want := firstHash; all[0].Hash != want {
		t.Errorf("the first entry's hash is %s, want %s", all[0].Hash, want)
	}
	if err := d.Record(ctx, control.Entry{Env: "prod", Action: "x.y"}); err == nil {
		t.Error("an entry without an actor")
	}
}

// firstHash was computed with sha256sum.
const firstHash = "b438fd51ca432bd0027402c849f3f10040af8b495c42b525881e3761d0b70b4e"

// auditAtOnce: entries from many sides at once, of every kind, are one chain.
func auditAtOnce(t *testing.T, d *database) {
	const sides, each = 8, 25
	others := []*control.DB{d.DB, d.open(t), d.open(t)}
	failed := atOnce(sides, func(i int) error {
		db := others[i%len(others)]
		for j := range each {
			name := fmt.Sprintf("lock-%d-%d", i, j)
			if j%5 != 0 {
				if err := db.Record(t.Context(), control.Entry{Env: "prod", Actor: "ana", Action: "test.record", Subject: name}); err != nil {
					return err
				}
				continue
			}
			if _, err := db.Acquire(t.Context(), control.Lease{Env: "prod", Name: name, Owner: "one"}, time.Minute); err != nil {
				return err
			}
			if _, err := db.Break(t.Context(), "prod", name, control.By{Actor: "ana", Reason: "test"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	if c, err := d.VerifyAudit(t.Context()); err != nil || c.Entries != sides*each {
		t.Errorf("%+v, %v", c, err)
	}
}

func auditBroken(t *testing.T, d *database) {
	ctx := t.Context()
	const n = 600 // over a page
	for i := range n {
		if err := d.Record(ctx, control.Entry{Env: "prod", Actor: "ana", Action: "test.record", Subject: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	unprotect := `DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete`
	if d.Postgres() {
		unprotect = `DROP TRIGGER audit_append_only ON audit`
	}
	for _, query := range []string{`UPDATE audit SET actor = 'bob' WHERE seq = 1`, `DELETE FROM audit`} {
		if err := d.try(t, query); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", query, err)
		}
	}
	d.exec(t, unprotect)
	for _, step := range []struct {
		query   string
		entries int64
		broken  string
	}{
		{`UPDATE audit SET at = at + 1 WHERE seq = 590`, 589, "entry 590 was changed"},
		{`UPDATE audit SET detail = '{"x":1}' WHERE seq = 580`, 579, "entry 580 was changed"},
		{`UPDATE audit SET prev = 'abc' WHERE seq = 570`, 569, "entry 570 does not follow the entry before it"},
		{`DELETE FROM audit WHERE seq = 560`, 559, "entry 560 is missing"},
		{`DELETE FROM audit WHERE seq = 1`, 0, "entry 1 is missing"},
	} {
		d.exec(t, step.query)
		c, err := d.VerifyAudit(ctx)
		if errs.CodeOf(err) != errs.Mismatch || c.Entries != step.entries || c.Broken != step.broken {
			t.Errorf("%s: %+v, %v", step.query, c, err)
		}
	}
}
