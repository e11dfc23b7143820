package cli

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/payload"
)

// maxNear bounds how many events are tried against one condition.
const maxNear = 10_000

// meeting returns an event like e that the correction matches, one that it changes where there is one. ok is false where none could
// be made up.
func (m fixtures) meeting(ctx context.Context, e livestore.Event) (found livestore.Event, ok bool) {
	found, tried := e, 0
	for near := range m.near(e) {
		if name, err := m.corrector.Match(ctx, near); err == nil && name == m.one.Name {
			if m.changes(ctx, near) {
				return near, true
			}
			if !ok {
				found, ok = near, true
			}
		}
		if tried++; tried == maxNear || ctx.Err() != nil {
			break
		}
	}
	return found, ok
}

// changes reports whether the correction makes of e what e does not say already: only then can a test see that it is missing.
func (m fixtures) changes(ctx context.Context, e livestore.Event) bool {
	made, err := m.corrector.Make(ctx, m.one.Name, e)
	return err == nil && (len(made) != 1 || made[0].Name != e.Name || canonical(made[0].Args) != canonical(e.Args))
}

func canonical(args json.RawMessage) string {
	var v any
	if json.Unmarshal(args, &v) != nil {
		return string(args)
	}
	return string(payload.Encode(v))
}

// An aspect is something about an event that a condition asks for, and the values to try.
type aspect struct {
	set    func(e *livestore.Event, args map[string]any, value any)
	values []any
}

// near are the events that differ from e in what the condition asks for: e itself, then those that differ in one thing, in two,
// and in three.
func (m fixtures) near(e livestore.Event) iter.Seq[livestore.Event] {
	aspects := m.aspects(e)
	var try func(e livestore.Event, from, changes int, yield func(livestore.Event) bool) bool
	try = func(e livestore.Event, from, changes int, yield func(livestore.Event) bool) bool {
		if changes == 0 {
			return yield(e)
		}
		for i := from; i < len(aspects); i++ {
			for _, v := range aspects[i].values {
				near, args := e, map[string]any{}
				if json.Unmarshal(e.Args, &args) != nil {
					return true
				}
				aspects[i].set(&near, args, v)
				near.Args = payload.Encode(args)
				if !try(near, i+1, changes-1, yield) {
					return false
				}
			}
		}
		return true
	}
	return func(yield func(livestore.Event) bool) {
		for changes := 0; changes <= 3 && try(e, 0, changes, yield); changes++ {
		}
	}
}

var (
	sqlText   = regexp.MustCompile(`'((?:[^']|'')*)'`)
	sqlNumber = regexp.MustCompile(`\b\d+(?:\.\d+)?\b`)
)

// aspects are what the correction's condition names: columns of an event, and fields of its arguments.
func (m fixtures) aspects(e livestore.Event) []aspect {
	where := m.one.Match.Where
	bare := sqlText.ReplaceAllString(where, "''")
	texts, numbers := guesses(where, bare)
	names := func(column string) bool { return regexp.MustCompile(`(?i)\b` + column + `\b`).MatchString(bare) }
	var out []aspect
	if names("seq") {
		var in []any
		for _, n := range numbers {
			seq, _ := n.(float64)
			if to := m.one.Match.To; seq >= max(1, float64(m.one.Match.From)) && (to == 0 || seq <= float64(to)) && seq == float64(int64(seq)) {
				in = append(in, seq)
			}
		}
		out = append(out, aspect{func(e *livestore.Event, _ map[string]any, v any) { e.Seq.Global = livestore.SeqNum(v.(float64)) }, in})
	}
	if names("client") && len(m.one.Match.Clients) == 0 {
		out = append(out, aspect{func(e *livestore.Event, _ map[string]any, v any) { e.ClientID = v.(string) }, nonEmpty(texts)})
	}
	if names("session") && m.one.Match.Release == "" {
		out = append(out, aspect{func(e *livestore.Event, _ map[string]any, v any) { e.SessionID = v.(string) }, nonEmpty(texts)})
	}
	if names("release") && m.one.Match.Release == "" {
		out = append(out, aspect{func(e *livestore.Event, _ map[string]any, v any) {
			e.SessionID = "session." + eventlog.Dashed(v.(string))
		}, nonEmpty(texts)})
	}
	var args map[string]any
	if json.Unmarshal(e.Args, &args) == nil {
		out = append(out, fields(args, nil, where, texts, numbers)...)
	}
	return out
}

// fields are the aspects of those arguments whose names the condition has.
func fields(args map[string]any, path []string, where string, texts, numbers []any) []aspect {
	var out []aspect
	for _, key := range slices.Sorted(maps.Keys(args)) {
		at := append(slices.Clone(path), key)
		if inner, ok := args[key].(map[string]any); ok {
			out = append(out, fields(inner, at, where, texts, numbers)...)
		}
		if !strings.Contains(where, key) {
			continue
		}
		var values []any
		switch args[key].(type) {
		case string:
			values = texts
		case float64:
			values = numbers
		case bool:
			values = []any{true, false}
		case []any:
			values = []any{[]any{}}
			for _, v := range slices.Concat(texts, numbers) {
				values = append(values, []any{v})
			}
		default:
			values = slices.Concat(texts, numbers)
		}
		out = append(out, aspect{func(_ *livestore.Event, args map[string]any, v any) {
			for _, key := range at[:len(at)-1] {
				args, _ = args[key].(map[string]any)
			}
			if args != nil { // an outer one may have been replaced
				args[key] = v
			}
		}, append(slices.Clone(values), nil)})
	}
	return out
}

// guesses are the texts and numbers that a condition may ask for: those in it, and others at their edges.
func guesses(where, bare string) (texts, numbers []any) {
	for _, found := range sqlText.FindAllStringSubmatch(where, -1) {
		text := strings.ReplaceAll(found[1], "''", "'")
		texts = append(texts, text)
		if strings.ContainsAny(text, "%_*?") { // LIKE, GLOB
			one := strings.NewReplacer("_", "x", "?", "x")
			texts = append(texts, one.Replace(strings.NewReplacer("%", "", "*", "").Replace(text)), one.Replace(strings.NewReplacer("%", "x", "*", "x").Replace(text)))
		}
	}
	for _, found := range sqlNumber.FindAllString(bare, -1) {
		n, err := strconv.ParseFloat(found, 64)
		if err != nil {
			continue
		}
		numbers = append(numbers, n, n+1, n-1, n+0.5, -n)
		for _, length := range []float64{n, n + 1, n - 1} {
			if length >= 0 && length <= 1000 {
				texts = append(texts, strings.Repeat("x", int(length)))
			}
		}
		texts = append(texts, found)
	}
	texts = append(texts, "", "x", "1970-01-01T00:00:00.000Z", "2999-12-31T00:00:00.000Z")
	numbers = append(numbers, 0.0, 1.0, 2.0)
	return texts, numbers
}

func nonEmpty(texts []any) []any {
	return slices.DeleteFunc(slices.Clone(texts), func(v any) bool { return v == "" })
}
