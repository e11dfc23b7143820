package corrective

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog"
)

// A Draft is the corrections that a person goes on with: they match the bad events, and skip them.
type Draft struct {
	Schema    string
	Selection Selection
	Reason    string
	Events    []string // the names that were found, in the order of the file
	Stamped   bool     // the writers' release is proven for each of them
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// draftHead is how a file of drafts begins.
const draftHead = `# What the next release makes of the bad events. Read it before headgate rollback generate: skip is the answer that
# headgate can give by itself. headgate help corrections-file explains all of it.
version: %d
schema: %s
corrections:
`

// draftOthers says what else may stand in the place of skip.
const draftOthers = `    # or one of these in its place:
    # set: { field: value }                            these fields, as they are encoded
    # rewrite: json_set(args, '$.field', 'value')      new arguments, by SQL over the event
    # replace:                                         what these events would have made; none is committed
    #   - { event: v1.Other, args: "json_object('id', args ->> 'id')" }
`

// AddTo returns a corrections file with the draft's corrections behind those that it has; data is empty where there is no file
// yet. added is false where all of them are there already. A file that they can't be put at the end of is errs.Refused.
func (d Draft) AddTo(ctx context.Context, file string, data []byte) (text string, added bool, err error) {
	if len(d.Events) == 0 {
		return "", false, errs.New(errs.Internal, "there are no events to correct")
	}
	text = string(data)
	var had Corrections
	if len(data) == 0 {
		text = fmt.Sprintf(draftHead, CorrectionsVersion, d.Schema)
	} else if had, err = ParseCorrections(ctx, file, data); err != nil {
		return "", false, err
	} else if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	n := len(had.List)
	for _, event := range d.Events {
		match := d.match(event)
		if n > 0 && had.matchesBy(ctx, match) {
			continue
		}
		n++
		text += fmt.Sprintf("  - name: %s\n    reason: %s\n    match:\n", strconv.Quote(had.free(d.name(event))), strconv.Quote(oneLine(d.Reason)))
		for _, line := range match {
			text += "      " + line + "\n"
		}
		text += "    skip: true\n" + draftOthers
	}
	made, err := ParseCorrections(ctx, file, []byte(text))
	if err != nil || len(made.List) != n {
		return "", false, errs.Refusedf("corrections can't be added to the end of the file").At("%s", file).Because(err).
			Hintf("write the list `corrections:` last, an entry by line").Then("headgate help corrections-file")
	}
	return text, n > len(had.List), nil
}

// matchesBy reports whether some correction has just these conditions.
func (c Corrections) matchesBy(ctx context.Context, match []string) bool {
	text := fmt.Sprintf(draftHead, CorrectionsVersion, "x") + "  - name: x\n    reason: x\n    skip: true\n    match:\n      " + strings.Join(match, "\n      ") + "\n"
	drafted, err := ParseCorrections(ctx, "", []byte(text))
	return err == nil && slices.ContainsFunc(c.List, func(one Correction) bool { return reflect.DeepEqual(one.Match, drafted.List[0].Match) })
}

// free is the name, or the first of name-2, name-3 and so on that no correction has.
func (c Corrections) free(name string) string {
	for n, try := 2, name; ; n++ {
		if !slices.ContainsFunc(c.List, func(one Correction) bool { return one.Name == try }) {
			return try
		}
		try = fmt.Sprintf("%s-%d", name, n)
	}
}

// name is what the correction is called in the app's code, for good.
func (d Draft) name(event string) string {
	name := event
	if d.Selection.Release != "" {
		name = d.Selection.Release + " " + event
	}
	return strings.Trim(notInNames.ReplaceAllString(strings.ToLower("skip "+name), "-"), "-")
}

// match are the conditions of the selection. Whoever wrote an event, it is as bad as Assess takes it: one whose release is not
// known counts, one that another release stamped does not, and headgate's own never where a release is asked for.
func (d Draft) match(event string) []string {
	s := d.Selection
	out := []string{"event: " + strconv.Quote(event)}
	var where []string
	if s.Where != "" {
		where = append(where, "("+s.Where+")")
	}
	pinned := len(where) > 0 // it may use what a client does not know of an event
	if s.Release != "" && d.Stamped {
		out = append(out, "release: "+strconv.Quote(s.Release))
	} else if s.Release != "" {
		where = append(where, fmt.Sprintf("(release IS NULL OR replace(release, '.', '-') = '%s')", eventlog.Dashed(s.Release)), "client NOT LIKE 'hg:%'")
		pinned = true
	}
	if !s.After.IsZero() {
		where = append(where, fmt.Sprintf("(pending OR at >= '%s')", s.After.UTC().Format("2006-01-02T15:04:05.000Z")))
		pinned = true
	}
	if s.Since > 0 {
		out = append(out, fmt.Sprintf("from: e%d", s.Since))
	}
	if len(s.Clients) > 0 {
		var ids []string
		for _, c := range s.Clients {
			ids = append(ids, strconv.Quote(c))
		}
		out = append(out, "clients: ["+strings.Join(ids, ", ")+"]")
	}
	if len(where) > 0 {
		out = append(out, "where: "+strconv.Quote(strings.Join(where, " AND ")))
	}
	if pinned && d.Stamped && s.Release != "" {
		out = append(out, "pinned: true")
	}
	return out
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
