package corrective_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"headgate/corrective"
	"headgate/internal/livestore/schema"
)

func release(version, hash string) *schema.Release {
	return &schema.Release{
		Version: version, StateHash: hash, LiveStore: schema.LiveStore{StorageFormat: 6},
		Migrations: schema.Migrations{Strategy: "auto", AtomicRebuild: true},
	}
}

// disaster is a release whose tables moved, with events that the one before it can't decode.
func disaster() corrective.Facts {
	return corrective.Facts{
		Env: "prod", Schema: "main", Bad: release("1.3.0", "2"), Target: release("1.2.0", "1"), Events: 40, Rows: 12, Otherwise: -1,
		Names:   []corrective.Taken{{Event: "v1.A", Verdict: corrective.Reads}, {Event: "v2.A", Verdict: corrective.Breaks}, {Event: "v1.B", Verdict: corrective.Skips}},
		Keepers: []string{"node"}, Emitters: []corrective.Emitter{{Event: "v2.A", Flag: "event.A"}}, Wrapped: corrective.Unclear,
	}
}

func find(t *testing.T, d corrective.Decision, kind corrective.RemedyKind) corrective.Remedy {
	t.Helper()
	for _, r := range d.Remedies {
		if r.Kind == kind {
			return r
		}
	}
	t.Fatalf("no remedy %s", kind)
	return corrective.Remedy{}
}

func failing(r corrective.Remedy) (out []string) {
	for _, p := range r.Preconditions {
		if p.Met == corrective.No {
			out = append(out, p.Text)
		}
	}
	return out
}

func TestRedeployIsRefused(t *testing.T) {
	f := disaster()
	r := find(t, corrective.Decide(f), corrective.Redeploy)
	want := []string{"it reads every event that is in the logs", "it knows every event that is in the logs", "no client opens an old state file again"}
	if got := failing(r); !slices.Equal(got, want) || r.Possible {
		t.Errorf("possible %v; these fail: %q, want %q", r.Possible, got, want)
	}

	// The same hash: no file is opened again, and no row changes.
	f.Target.StateHash, f.Names = "2", f.Names[:1]
	r = find(t, corrective.Decide(f), corrective.Redeploy)
	if r.Possible || len(failing(r)) != 0 || !strings.Contains(r.Refused, "12 rows stay wrong") {
		t.Errorf("%+v", r)
	}
	f.Rows = 0
	if r := find(t, corrective.Decide(f), corrective.Redeploy); !r.Possible {
		t.Errorf("%+v", r)
	}

	// On the web an old file is gone.
	f = disaster()
	f.Names, f.Keepers = f.Names[:1], nil
	if r := find(t, corrective.Decide(f), corrective.Redeploy); !r.Possible {
		t.Errorf("%+v", r)
	}
}

// TestDecideBySample: by some of the stores only what does no harm in the others is possible.
func TestDecideBySample(t *testing.T) {
	f := disaster()
	f.Target.StateHash, f.Names, f.Rows, f.Otherwise = "2", f.Names[:1], 0, 0
	all := corrective.Decide(f)
	f.Sampled = true
	by := corrective.Decide(f)
	for _, kind := range corrective.RemedyKinds() {
		was, is := find(t, all, kind), find(t, by, kind)
		harmless := slices.Contains([]corrective.RemedyKind{corrective.FlagOff, corrective.CorrectiveRelease, corrective.Floor}, kind)
		if is.Possible != (was.Possible && harmless) {
			t.Errorf("%s: possible %v by all stores, and %v by a sample", kind, was.Possible, is.Possible)
		}
	}
	if !find(t, all, corrective.Redeploy).Possible {
		t.Error("the test shows nothing")
	}
}

func TestWhatIsRefused(t *testing.T) {
	d := corrective.Decide(disaster())
	for _, kind := range []corrective.RemedyKind{corrective.EpochRebuild, corrective.ClientReset} {
		if r := find(t, d, kind); r.Possible || r.Refused == "" {
			t.Errorf("%s: %+v", kind, r)
		}
	}
	c := find(t, d, corrective.CorrectiveRelease)
	if !c.Possible || !strings.Contains(c.Title, "on 1.3.0") || !strings.Contains(c.Effect, "1.2.0 as it was can't read the log") {
		t.Errorf("%+v", c)
	}
	f := disaster()
	f.Names = f.Names[:1]
	if c := find(t, corrective.Decide(f), corrective.CorrectiveRelease); !strings.Contains(c.Title, "on 1.2.0") {
		t.Errorf("%+v", c)
	}
	f.Bad.Migrations.Strategy = "manual"
	if c := find(t, corrective.Decide(f), corrective.CorrectiveRelease); c.Possible {
		t.Error("clients that never rebuild are told to")
	}
	// Where the release before makes other rows of the same events, the materializers are wrong: no event mends that.
	for rows, want := range map[int64]corrective.Met{-1: corrective.Unclear, 0: corrective.Yes, 4: corrective.No} {
		f = disaster()
		f.Otherwise = rows
		if r := find(t, corrective.Decide(f), corrective.CompensatingEvent); r.Preconditions[0].Met != want || r.Possible != (rows < 1) {
			t.Errorf("%d rows: %+v", rows, r)
		}
	}
	f = disaster()
	f.Rows = 0
	if r := find(t, corrective.Decide(f), corrective.CompensatingEvent); r.Possible {
		t.Error("an opposite of nothing")
	}
	f.Poison = []string{"v2.A at e7 in store s"}
	if r := find(t, corrective.Decide(f), corrective.EpochRebuild); r.Possible {
		t.Error("clients are to rebuild over a poison event")
	}
}

// TestOrder: whatever the facts are, every remedy is there once, the possible ones come first and the destructive ones last,
// each part from the least destructive to the most, and what is destructive says what it loses.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hash := rapid.SampledFrom([]string{"1", "2"})
		f := corrective.Facts{
			Env: "prod", Schema: "main", Bad: release("1.3.0", hash.Draw(t, "hash")),
			Events: rapid.Int64Range(1, 9).Draw(t, "events"), Pending: rapid.Int64Range(0, 2).Draw(t, "pending"), Rows: rapid.Int64Range(-1, 2).Draw(t, "rows"), Otherwise: rapid.Int64Range(-1, 2).Draw(t, "otherwise"),
			Poison:  rapid.SliceOfN(rapid.Just("v1.A at e1"), 0, 1).Draw(t, "poison"),
			Keepers: rapid.SliceOfN(rapid.Just("node"), 0, 1).Draw(t, "keepers"), Emitters: rapid.SliceOfN(rapid.Just(corrective.Emitter{Event: "v2.A", Flag: "event.A"}), 0, 1).Draw(t, "flags"),
			Wrapped: rapid.SampledFrom([]corrective.Met{corrective.Yes, corrective.No, corrective.Unclear}).Draw(t, "wrapped"),
		}
		f.Bad.Migrations.Strategy = rapid.SampledFrom([]string{"auto", "manual"}).Draw(t, "strategy")
		f.Bad.Migrations.AtomicRebuild = rapid.Bool().Draw(t, "hooks")
		if rapid.Bool().Draw(t, "target") {
			f.Target = release("1.2.0", hash.Draw(t, "old hash"))
			verdict := rapid.SampledFrom([]corrective.Verdict{corrective.Reads, corrective.Skips, corrective.Breaks})
			f.Names = []corrective.Taken{{Event: "v1.A", Verdict: verdict.Draw(t, "a")}, {Event: "v1.B", Verdict: verdict.Draw(t, "b")}}
		}
		d := corrective.Decide(f)
		kinds := corrective.RemedyKinds()
		last, part := -1, 0
		for _, r := range d.Remedies {
			at := slices.Index(kinds, r.Kind)
			now := 0
			if r.Kind.Destructive() {
				now = 2
			} else if !r.Possible {
				now = 1
			}
			if now > part {
				last, part = -1, now
			}
			if now < part || at <= last {
				t.Fatalf("%s is out of order", r.Kind)
			}
			last = at
			if r.Kind.Destructive() && len(r.Loses) == 0 {
				t.Fatalf("%s does not say what it loses", r.Kind)
			}
			if !r.Possible && r.Refused == "" && len(failing(r)) == 0 {
				t.Fatalf("%s is not possible, and nothing says why", r.Kind)
			}
			if r.Effect == "" || r.Title == "" {
				t.Fatalf("%s says nothing", r.Kind)
			}
		}
		if len(d.Remedies) != len(kinds) {
			t.Fatalf("%d remedies of %d", len(d.Remedies), len(kinds))
		}
		if d.Remedies[0].Kind.Destructive() {
			t.Fatalf("%s is the first", d.Remedies[0].Kind)
		}
	})
}
