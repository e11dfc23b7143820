package rollout

import (
	"fmt"
	"slices"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
)

// DraftFlags writes a flags.yaml for the event families that have several versions in the newest release. Each flag is closed:
// every store keeps the oldest version. Each floor is the first release from which on all define and materialize the
// event. The schema's name goes into the flags when it is not empty.
func DraftFlags(name string, releases []*schema.Release) (string, error) {
	releases = slices.SortedFunc(slices.Values(releases), func(a, b *schema.Release) int { return schema.CompareVersions(a.Version, b.Version) })
	families := map[string][]schema.Event{}
	var order []string
	if len(releases) > 0 {
		newest := releases[len(releases)-1]
		for _, e := range newest.Events {
			if e.FamilyVersion == 0 || emits(newest, e.Name) != "" {
				continue
			}
			if families[e.Family] == nil {
				order = append(order, e.Family)
			}
			families[e.Family] = append(families[e.Family], e)
		}
	}
	slices.Sort(order)
	order = slices.DeleteFunc(order, func(f string) bool { return len(families[f]) < 2 || !keyPattern.MatchString(f) })
	if len(order) == 0 {
		return "", errs.NotFoundf("no recorded release has an event in two versions, such as v1.TodoCreated and v2.TodoCreated").
			Hintf("a flag chooses between versions: record the release that has the new one").Then("headgate release add VERSION")
	}
	var b strings.Builder
	b.WriteString("# Which version of an event the app emits, and in which stores. `headgate flags --help` explains it.\nflags:\n")
	for _, family := range order {
		fmt.Fprintf(&b, "  %s%s:\n", KeyPrefix, family)
		if name != "" {
			fmt.Fprintf(&b, "    schema: %s\n", name)
		}
		b.WriteString("    revision: 1            # raise it with each change\n    variants:              # oldest first; the first one gets the stores that the others leave\n")
		events := families[family]
		slices.SortFunc(events, func(a, b schema.Event) int { return a.FamilyVersion - b.FamilyVersion })
		floor := ""
		for i, e := range events {
			if i == 0 {
				fmt.Fprintf(&b, "      v%d: %s\n", e.FamilyVersion, e.Name)
				continue
			}
			if own := floorOf(e.Name, releases); floor == "" || schema.CompareVersions(own, floor) > 0 {
				floor = own // floors rise with the versions
			}
			fmt.Fprintf(&b, "      v%d: {event: %s, floor: %s, percent: 0}\n", e.FamilyVersion, e.Name, floor)
		}
	}
	return b.String(), nil
}

// floorOf is the first release from which on all can emit the event; the newest one can.
func floorOf(event string, releases []*schema.Release) string {
	floor := ""
	for _, r := range slices.Backward(releases) {
		if emits(r, event) != "" {
			break
		}
		floor = r.Version
	}
	return floor
}
