package rollout

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// flagdSchema is the JSON schema that the exported file names, and that the tests hold it against.
const flagdSchema = "https://flagd.dev/schema/v0/flags.json"

// A flagdFile is the file's form in JSON; encoding/json sorts the maps by key.
type flagdFile struct {
	Schema     string              `json:"$schema"`
	Flags      map[string]flagdDef `json:"flags"`
	Evaluators map[string]any      `json:"$evaluators,omitempty"`
}

type flagdDef struct {
	State     string            `json:"state"`
	Variants  map[string]any    `json:"variants"`
	Default   string            `json:"defaultVariant"`
	Targeting any               `json:"targeting,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
}

// logic is one operation of JsonLogic.
type logic map[string]any

// Flagd returns the flags as a flagd file: indented JSON, the same bytes for the same flags. Any flagd evaluator gives
// for it what [Flag.Evaluate] gives, for the context attributes storeId and appVersion.
func (f *File) Flagd() ([]byte, error) {
	out := flagdFile{Schema: flagdSchema, Flags: map[string]flagdDef{}, Evaluators: map[string]any{}}
	for i := range f.Flags {
		fl := &f.Flags[i]
		def := flagdDef{State: "ENABLED", Variants: map[string]any{}, Default: fl.Variants[fl.Default].Name, Metadata: fl.metadata()}
		if fl.Disabled {
			def.State = "DISABLED"
		}
		for _, v := range fl.Variants {
			def.Variants[v.Name] = v.Answer()
		}
		if rules := fl.rules(); len(rules) > 0 {
			var branches []any
			for _, r := range rules {
				branches = append(branches, f.condition(fl, r, out.Evaluators), r.targeting())
			}
			def.Targeting = logic{"if": append(branches, def.Default)}
		}
		out.Flags[fl.Key] = def
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(out)
	return b.Bytes(), err
}

// storeID is the context's attribute. It is guarded with !! wherever it is hashed: all callers without one would share
// a bucket, and the new version with it.
func storeID() logic { return logic{"var": "storeId"} }

// condition is when a rule is for the caller. Its floor becomes a shared evaluator.
func (f *File) condition(fl *Flag, r rule, evaluators map[string]any) any {
	known := logic{"!!": storeID()}
	if r.newest.Floor == "" {
		return known
	}
	name := f.evaluatorName(fl, r.newest)
	evaluators[name] = logic{"sem_ver": []any{logic{"var": "appVersion"}, ">=", r.newest.gate()}}
	return logic{"and": []any{logic{"$ref": name}, known}}
}

// evaluatorName is canEmitV2 where all flags have one floor for their v2, else canEmitV2.TodoCreated.
func (f *File) evaluatorName(fl *Flag, v *Variant) string {
	name := "canEmit" + strings.ToUpper(v.Name[:1]) + v.Name[1:]
	for _, other := range f.Flags {
		for _, w := range other.Variants {
			if strings.EqualFold(w.Name, v.Name) && w.Floor != "" && w.gate() != v.gate() {
				return name + "." + strings.TrimPrefix(fl.Key, KeyPrefix)
			}
		}
	}
	return name
}

// targeting is what a rule gives, as JsonLogic.
func (r rule) targeting() any {
	fractional := []any{logic{"cat": []any{logic{"var": "$flagd.flagKey"}, storeID()}}}
	for _, s := range r.shares {
		fractional = append(fractional, []any{s.variant.Name, s.weight})
	}
	var branches []any
	for _, l := range r.stores {
		if len(l.stores) > 0 {
			branches = append(branches, logic{"in": []any{storeID(), l.stores}}, l.variant.Name)
		}
	}
	if len(branches) == 0 {
		return logic{"fractional": fractional}
	}
	return logic{"if": append(branches, logic{"fractional": fractional})}
}

// metadata tells telemetry which definition answered. OpenFeature's telemetry turns version into an attribute.
func (f *Flag) metadata() map[string]string {
	m := map[string]string{}
	if f.Rollout != "" {
		m["headgate.rollout"] = f.Rollout
	}
	if f.Revision > 0 {
		m["version"] = strconv.Itoa(f.Revision)
	}
	return m
}
