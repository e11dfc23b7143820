package rollout

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// ParseFlagd reads the flagd file that [File.Flagd] wrote, as headgate flags export does: rollouts are in it, too. What it
// makes of the file would be exported as the same file again. Any other flagd file is errs.Invalid: flagd's own provider
// reads it. A flag's schema is not in the file, nor does it decide anything.
func ParseFlagd(data []byte, path string) (*File, error) {
	var in flagdFile
	var given, again any
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, errs.Invalidf("the file is no flagd file").At("%s", path).Because(err).Hintf("write it with headgate flags export")
	}
	f := &File{Path: path}
	for _, key := range slices.Sorted(maps.Keys(in.Flags)) {
		f.Flags = append(f.Flags, in.flag(key, in.Flags[key]))
	}
	foreign := errs.Invalidf("the flagd file is none that headgate wrote").At("%s", path).
		Hintf("write it with headgate flags export; flagd's own provider reads every flagd file")
	if slices.ContainsFunc(f.Flags, func(fl Flag) bool { return len(fl.Variants) == 0 || fl.Default < 0 }) {
		return nil, foreign
	}
	text, err := f.Flagd()
	if err != nil {
		return nil, foreign.Because(err)
	}
	if json.Unmarshal(data, &given) != nil || json.Unmarshal(text, &again) != nil || !reflect.DeepEqual(given, again) {
		return nil, foreign
	}
	return f, nil
}

// flag makes what it can of a definition. Whether that is all of it shows when it is exported again.
func (in flagdFile) flag(key string, def flagdDef) Flag {
	f := Flag{Key: key, Disabled: def.State == "DISABLED", Rollout: def.Metadata["headgate.rollout"]}
	f.Revision, _ = strconv.Atoi(def.Metadata["version"])
	branches := arguments(def.Targeting, "if")
	var first targeting // it has all variants
	if len(branches) > 1 {
		first = readTargeting(branches[1])
	}
	order := first.variants // newest first
	if len(order) == 0 {
		order = slices.Sorted(maps.Keys(def.Variants))
	}
	for _, name := range order {
		v := Variant{Name: name, Percent: first.percents[name], Stores: first.stores[name]}
		if len(order) == 1 {
			v.Percent = hundred
		}
		switch answer := def.Variants[name].(type) {
		case string:
			v.Event = answer
			if f.Plain() {
				v.Event, v.Value = "", answer
			}
		case float64:
			v.Value = int64(answer)
		default:
			v.Value = answer
		}
		if !keyPattern.MatchString(name) {
			return f
		}
		f.Variants = append(f.Variants, v)
	}
	slices.Reverse(f.Variants)
	f.Default = f.index(def.Default)
	for i := 0; i+1 < len(branches); i += 2 { // the highest floor first; each is that of all below, until the next
		newest := readTargeting(branches[i+1]).variants
		if len(newest) == 0 {
			return f
		}
		for k := f.index(newest[0]); k > 0; k-- {
			f.Variants[k].Floor = in.floor(branches[i])
		}
	}
	return f
}

// floor is the floor of a rule's condition, "" where it has none.
func (in flagdFile) floor(condition any) string {
	for _, c := range arguments(condition, "and") {
		ref, _ := c.(map[string]any)
		name, _ := ref["$ref"].(string)
		if version := arguments(in.Evaluators[name], "sem_ver"); len(version) == 3 {
			floor, _ := version[2].(string)
			return strings.TrimSuffix(floor, "-0")
		}
	}
	return ""
}

// A targeting is what a rule of the file says.
type targeting struct {
	variants []string // newest first
	percents map[string]Percent
	stores   map[string][]livestore.StoreID
}

func readTargeting(rule any) targeting {
	t := targeting{percents: map[string]Percent{}, stores: map[string][]livestore.StoreID{}}
	listed := arguments(rule, "if")
	for i := 0; i+1 < len(listed); i += 2 {
		name, _ := listed[i+1].(string)
		if in := arguments(listed[i], "in"); len(in) == 2 {
			stores, _ := in[1].([]any)
			for _, s := range stores {
				id, _ := s.(string)
				t.stores[name] = append(t.stores[name], livestore.StoreID(id))
			}
		}
	}
	if len(listed) > 0 {
		rule = listed[len(listed)-1]
	}
	total := 0.0
	weights := map[string]float64{}
	for _, share := range arguments(rule, "fractional") {
		if pair, _ := share.([]any); len(pair) == 2 {
			name, _ := pair[0].(string)
			weight, _ := pair[1].(float64)
			t.variants = append(t.variants, name)
			weights[name] = weight
			total += weight
		}
	}
	for name, weight := range weights {
		if total > 0 {
			t.percents[name] = Percent(weight * float64(hundred) / total)
		}
	}
	return t
}

// arguments are those of an operation of JsonLogic; nil where it is another.
func arguments(v any, operation string) []any {
	of, _ := v.(map[string]any)
	out, _ := of[operation].([]any)
	return out
}
