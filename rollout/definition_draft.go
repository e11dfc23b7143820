package rollout

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
)

// DraftDefinition writes a rollout of an event family to a version, "" for the newest, as the recorded releases have it,
// and returns the name it should have. The schema's name goes into the file when it is not empty.
func DraftDefinition(family, to, schemaName string, releases []*schema.Release) (name, text string, err error) {
	if _, rest, ok := strings.Cut(family, "."); ok {
		family = rest // v2.TodoCreated and event.TodoCreated name it as well
	}
	if len(releases) == 0 {
		return "", "", errs.NotFoundf("no release is recorded").Hintf("a rollout is between versions that releases have").Then("headgate release add VERSION")
	}
	ordered := slices.SortedFunc(slices.Values(releases), func(a, b *schema.Release) int { return schema.CompareVersions(a.Version, b.Version) })
	newest := ordered[len(ordered)-1]
	var versions []int
	known := map[string]bool{}
	for _, e := range newest.Events {
		if e.FamilyVersion == 0 || emits(newest, e.Name) != "" {
			continue
		}
		known[e.Family] = true
		if e.Family == family {
			versions = append(versions, e.FamilyVersion)
		}
	}
	slices.Sort(versions)
	if len(versions) == 0 {
		var names []string
		for n := range known {
			names = append(names, n)
		}
		slices.Sort(names)
		return "", "", errs.NotFoundf("release %s has no versions of the event %q", newest.Version, family).Hintf("%s", didYouMean(family, names))
	}
	at := len(versions) - 1
	if to != "" {
		if at = slices.Index(versions, versionNumber(to)); at < 0 {
			return "", "", errs.NotFoundf("release %s has no %s.%s", newest.Version, to, family).Hintf("there are: v%s", strings.Trim(strings.ReplaceAll(fmt.Sprint(versions), " ", ", v"), "[]")).
				Then("headgate release add VERSION")
		}
	}
	next := fmt.Sprint("v", versions[at])
	old, f := Off, Family{Name: family, From: Off, To: next}
	if at > 0 {
		old = fmt.Sprint("v", versions[at-1])
	} else if !slices.ContainsFunc(ordered, func(r *schema.Release) bool { return emits(r, f.New()) != "" }) {
		return "", "", errs.Invalidf("v%d is the oldest version of %s", versions[0], family).Hintf("a rollout goes from a version to a newer one, or opens an event that an older release lacks")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Opens %s to the fleet, each store when its readers are there. `headgate help rollout-file` explains it.\n", f.New())
	if schemaName != "" {
		fmt.Fprintf(&b, "schema: %s\n", schemaName)
	}
	fmt.Fprintf(&b, `events:
  %s: {from: %s, to: %s}
floor: %s           # the first release from which on all define and materialize it
steps:
  - {weight: 1, pause: 1d}
  - {weight: 10, pause: 2d}
  - {weight: 50, pause: 2d}
  - {weight: 100, pause: manual}
# where the sync backend and the apps report to headgate serve: name it in the steps, analysis: [unknown-events]
# analysis:
#   unknown-events: {signal: unknown-event-rate, for: 10m, interval: 1m, failureCondition: "result > 2 * (baseline ?? 0)"}
approvals: {ramp: 0, full: 1}   # by others than who started it
onFailure: pause
onNoData: pause
`, family, old, next, floorOf(f.New(), ordered))
	return kebab(family) + "-" + next, b.String(), nil
}

// kebab is todo-created for TodoCreated.
func kebab(s string) string {
	var b strings.Builder
	for i, r := range s {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
