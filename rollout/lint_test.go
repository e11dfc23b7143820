package rollout_test

import (
	"strings"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/rollout"
)

const twoVersions = `flags:
  event.A:
    variants:
      v1: v1.A
      v2: {event: v2.A, floor: 1.5.0, percent: 25}
`

func TestLint(t *testing.T) {
	local := release("1.5.0", "v1.A", "v2.A")
	local.Events[1].ClientOnly = true
	silent := release("1.5.0", "v1.A", "v2.A")
	silent.Materializers = silent.Materializers[:1]

	for _, tc := range []struct {
		name      string
		text      string
		releases  []*schema.Release
		variant   string // "" for no problem
		msg, hint string
	}{
		{"healthy", twoVersions, []*schema.Release{release("1.4.0", "v1.A"), release("1.5.0", "v1.A", "v2.A"), release("1.6.0", "v1.A", "v2.A")}, "", "", ""},
		{"the family came later", twoVersions, []*schema.Release{release("1.0.0"), release("1.5.0", "v1.A", "v2.A")}, "", "", ""},
		{
			"a release after the floor lacks it", twoVersions,
			[]*schema.Release{release("1.7.0", "v1.A", "v2.A"), release("1.5.0", "v1.A"), release("1.6.0", "v1.A", "v2.A")},
			"v2", "release 1.5.0 does not define v2.A, and the floor 1.5.0 lets its builds emit it", "raise the floor to 1.6.0",
		},
		{
			"a prerelease of the floor lacks it", twoVersions,
			[]*schema.Release{release("1.5.0-beta.1", "v1.A"), release("1.5.0-beta.2", "v1.A", "v2.A"), release("1.5.0", "v1.A", "v2.A")},
			"v2", "release 1.5.0-beta.1 does not define v2.A", "raise the floor to 1.5.0-beta.2",
		},
		{
			"the newest release dropped it", twoVersions,
			[]*schema.Release{release("1.5.0", "v1.A", "v2.A"), release("1.6.0", "v1.A")},
			"v2", "release 1.6.0 does not define v2.A", "bring the event back",
		},
		{"clientOnly", twoVersions, []*schema.Release{local}, "v2", "no recorded release defines and materializes v2.A", ""},
		{"clientOnly for a while", twoVersions, []*schema.Release{local, release("1.6.0", "v1.A", "v2.A")}, "v2", "does not sync v2.A", "raise the floor to 1.6.0"},
		{"no materializer", twoVersions, []*schema.Release{silent, release("1.6.0", "v1.A", "v2.A")}, "v2", "has no materializer for v2.A", "1.6.0"},
		{
			"nothing at the floor", twoVersions,
			[]*schema.Release{release("1.4.0", "v1.A")},
			"v2", "no recorded release is at or above the floor 1.5.0", "headgate release add 1.5.0",
		},
		{
			"unknown event", "flags: {event.A: {variants: {v1: v1.A}}}",
			[]*schema.Release{release("1.4.0", "v1.Aa")},
			"v1", "no recorded release defines and materializes v1.A", "did you mean v1.Aa?",
		},
		{
			"the default was dropped", "flags: {event.A: {variants: {v1: v1.A}}}",
			[]*schema.Release{release("1.4.0", "v1.A"), release("1.5.0", "v2.A")},
			"v1", "release 1.5.0 does not define v1.A", "bring the event back",
		},
		{"no releases", "flags: {event.A: {variants: {v1: v1.A}}}", nil, "v1", "no release is recorded", "headgate release add"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			problems := rollout.Lint(flag(t, tc.text), tc.releases)
			if tc.variant == "" {
				if len(problems) > 0 {
					t.Errorf("problems: %+v", problems)
				}
				return
			}
			if len(problems) != 1 {
				t.Fatalf("problems: %+v, want one", problems)
			}
			p := problems[0]
			if p.Code != "RO103" || p.Flag != "event.A" || p.Variant != tc.variant || !p.Open || p.Line == 0 || !strings.Contains(p.Msg, tc.msg) || !strings.Contains(p.Hint, tc.hint) {
				t.Errorf("%+v, want %s, %q, %q", p, tc.variant, tc.msg, tc.hint)
			}
		})
	}
}

// TestLintClosed: a variant that no store gets has its problem too, but holds nothing up.
func TestLintClosed(t *testing.T) {
	releases := []*schema.Release{release("1.4.0", "v1.A")}
	for name, text := range map[string]string{
		"no percent": strings.Replace(twoVersions, "percent: 25", "percent: 0", 1),
		"disabled":   strings.Replace(twoVersions, "variants:", "state: disabled\n    variants:", 1),
	} {
		if p := rollout.Lint(flag(t, text), releases); len(p) != 1 || p[0].Open {
			t.Errorf("%s: %+v, want one problem that is not open", name, p)
		}
	}
	listed := strings.Replace(twoVersions, "percent: 25", "stores: [demo]", 1)
	if p := rollout.Lint(flag(t, listed), releases); len(p) != 1 || !p[0].Open {
		t.Errorf("a listed store: %+v, want one open problem", p)
	}
}

func TestDraft(t *testing.T) {
	releases := []*schema.Release{
		release("1.2.0", "v1.A", "v2.A", "v3.A", "v1.B", "v1.C", "v2.C"),
		release("1.0.0", "v1.A", "v3.A", "v1.B"), // v3 was there, then gone for a while
		release("1.1.0", "v1.A", "v2.A", "v1.B", "v1.C"),
	}
	text, err := rollout.DraftFlags("", releases)
	if err != nil {
		t.Fatal(err)
	}
	f := flags(t, text)
	if got := strings.Join(f.Keys(), " "); got != "event.A event.C" {
		t.Errorf("flags %s, want those with several versions", got)
	}
	var floors []string
	for _, v := range append(f.Flags[0].Variants, f.Flags[1].Variants...) {
		floors = append(floors, v.Name+":"+v.Floor)
		if v.Open() != (v.Name == "v1") {
			t.Errorf("%s is open or closed the wrong way", v.Event)
		}
	}
	if got := strings.Join(floors, " "); got != "v1: v2:1.1.0 v3:1.2.0 v1: v2:1.2.0" {
		t.Errorf("floors %s", got)
	}
	for i := range f.Flags {
		if p := rollout.Lint(&f.Flags[i], releases); len(p) > 0 {
			t.Errorf("the draft has problems: %+v", p)
		}
	}
	if text, _ := rollout.DraftFlags("main", releases); flag(t, text).Schema != "main" {
		t.Errorf("no schema in\n%s", text)
	}
	for _, none := range [][]*schema.Release{nil, {release("1.0.0", "v1.A")}} {
		if _, err := rollout.DraftFlags("", none); errs.CodeOf(err) != errs.NotFound {
			t.Errorf("nothing to draft: %v", err)
		}
	}
}
