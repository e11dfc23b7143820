package codegen

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"headgate/internal/livestore/schema"
)

// Corrections are what the generated file makes of bad events, resolved: the file depends on no log.
type Corrections struct {
	List []Correction `yaml:"list,omitempty"`
	// Tolerated are events that the schema reads though the arguments of some do not decode.
	Tolerated []string `yaml:"tolerated,omitempty"`
	// Adopted are events that the app does not define itself.
	Adopted []string `yaml:"adopted,omitempty"`
	// Test is what headgate.corrections.test.ts is rendered from, nil where the app has none.
	Test *CorrectionsTest `yaml:"test,omitempty" json:"-"`
}

// A Correction is a copy of one in headgate/corrections/. Either Pins, or the conditions after it, pick the events.
type Correction struct {
	Name   string `yaml:"name" json:"name"`
	Reason string `yaml:"reason" json:"-"`
	Event  string `yaml:"event" json:"event"`
	// Pins are "number.client:digest" of the events, with spaces between them; package probe makes the digests.
	Pins string `yaml:"pins,omitempty" json:"pins,omitempty"`
	// Fields are those that the event's arguments had each time that Pins were listed: later ones are in none of the digests.
	Fields  [][]string `yaml:"fields,omitempty,flow" json:"fields,omitempty"`
	Release string     `yaml:"release,omitempty" json:"release,omitempty"`
	From    int64      `yaml:"from,omitempty" json:"from,omitempty"`
	To      int64      `yaml:"to,omitempty" json:"to,omitempty"`
	Clients []string   `yaml:"clients,omitempty" json:"clients,omitempty"`
	Where   string     `yaml:"where,omitempty" json:"where,omitempty"`

	Skip    bool          `yaml:"skip,omitempty" json:"skip,omitempty"`
	Set     string        `yaml:"set,omitempty" json:"-"` // a JSON object
	Rewrite string        `yaml:"rewrite,omitempty" json:"rewrite,omitempty"`
	Replace []Replacement `yaml:"replace,omitempty" json:"replace,omitempty"`
}

// A Replacement is an event that counts in the place of another; Args is an SQL expression.
type Replacement struct {
	Event string `yaml:"event" json:"event"`
	Args  string `yaml:"args" json:"args"`
}

// MarshalJSON writes c as the generated file has it.
func (c Correction) MarshalJSON() ([]byte, error) {
	type plain Correction
	return json.Marshal(struct {
		plain
		Set json.RawMessage `json:"set,omitempty"`
	}{plain(c), json.RawMessage(c.Set)})
}

// FieldsOf adds the fields that an event's arguments have in a log to those of the times before.
func FieldsOf(e *schema.Event, before [][]string) [][]string {
	w := e.Args.Wire()
	if w == nil || w.Kind != schema.Struct || len(w.Index) > 0 {
		return before
	}
	names := []string{}
	for _, f := range w.Fields {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	if slices.ContainsFunc(before, func(b []string) bool { return slices.Equal(b, names) }) {
		return before
	}
	return append(slices.Clone(before), names)
}

var (
	correctionName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	pinsText       = regexp.MustCompile(`^\d+\.\d+:[0-9a-f]{16}( \d+\.\d+:[0-9a-f]{16})*$`)
)

// validate reports the first rule that the section breaks. What SQL says is not looked at: the reviewed file was.
func (c Corrections) validate() error {
	for i, one := range c.List {
		switch {
		case !correctionName.MatchString(one.Name):
			return fmt.Errorf("corrections: %q is no name", one.Name)
		case slices.ContainsFunc(c.List[:i], func(o Correction) bool { return o.Name == one.Name }):
			return fmt.Errorf("corrections: %s is there twice", one.Name)
		case !isLine(one.Event):
			return fmt.Errorf("corrections: %s is about no event", one.Name)
		case one.Pins != "" && !pinsText.MatchString(one.Pins):
			return fmt.Errorf("corrections: %s lists what are no events", one.Name)
		case one.Set != "" && !strings.HasPrefix(one.Set, "{") || one.Set != "" && !json.Valid([]byte(one.Set)):
			return fmt.Errorf("corrections: %s sets what is no object", one.Name)
		case !one.Skip && one.Set == "" && one.Rewrite == "" && len(one.Replace) == 0:
			return fmt.Errorf("corrections: %s makes nothing of its events", one.Name)
		}
	}
	for _, name := range slices.Concat(c.Tolerated, c.Adopted) {
		if !isLine(name) {
			return fmt.Errorf("corrections: %q is no event", name)
		}
	}
	if err := c.Test.validate(c.List); err != nil {
		return fmt.Errorf("corrections: test: %w; take the section test out, headgate rollback generate writes it again", err)
	}
	return nil
}

// NeedsEvents reports whether the app must give its events to withHeadgate.
func (c Corrections) NeedsEvents() bool {
	return slices.ContainsFunc(c.List, func(o Correction) bool { return len(o.Replace) > 0 })
}

// WrapsEvents reports whether the events that the app gives to makeSchema must be wrapped.
func (c Corrections) WrapsEvents() bool { return len(c.Tolerated)+len(c.Adopted) > 0 }

// places are what stands in the places of the template: its data, and what the rest of the file calls.
func (c Corrections) places() ([]string, error) {
	if len(c.List) == 0 {
		return []string{"__EVENTS_PARAMETER__", "", "__CORRECTED__", ""}, nil
	}
	out := []string{"__EVENTS_PARAMETER__", "\n  events?: SchemaEvents,", "__CORRECTED__", " materializers: withCorrections(state.materializers, events),"}
	for place, v := range map[string]any{"__CORRECTIONS__": c.List, "__TOLERATED__": append([]string{}, c.Tolerated...), "__ADOPTED__": append([]string{}, c.Adopted...)} {
		text, err := json.MarshalIndent(v, "", "  ") // TypeScript takes JSON
		if err != nil {
			return nil, fmt.Errorf("write the corrections: %w", err)
		}
		out = append(out, place, string(text))
	}
	return out, nil
}
