package codegen

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"headgate/internal/errs"
)

// A CorrectionsTest is what the test of corrections is rendered from. The events in it are made up.
type CorrectionsTest struct {
	Entry  string     `yaml:"entry"` // the schema's module, relative to the directory of headgate.yaml
	Export string     `yaml:"export"`
	Cases  []TestCase `yaml:"cases"`
}

// A TestCase is a made-up event that a correction meets. Args, here and below, are JSON.
type TestCase struct {
	Name       string            `yaml:"name"` // the correction's
	Event      string            `yaml:"event"`
	Seq        int64             `yaml:"seq"`
	Client     string            `yaml:"client"`
	Session    string            `yaml:"session"`
	Args       string            `yaml:"args"`
	Unreadable bool              `yaml:"unreadable,omitempty"` // the release does not decode it
	Listed     bool              `yaml:"listed,omitempty"`     // the correction lists its events
	Assumed    bool              `yaml:"assumed,omitempty"`    // that it meets the correction's condition: in truth it does not
	Makes      []TestEvent       `yaml:"makes"`                // what counts in its place
	Answers    map[string]string `yaml:"answers,omitempty"`    // what the correction's SQL gives, JSON by expression
	Others     []TestOther       `yaml:"others,omitempty"`     // near ones that it does not meet
}

// A TestEvent is an event that counts in the place of another.
type TestEvent struct {
	Event string `yaml:"event"`
	Args  string `yaml:"args"`
}

// A TestOther differs from the case's event in one thing. What is empty is as there, and so are answers that it lacks.
type TestOther struct {
	Other   string            `yaml:"other"`
	Seq     int64             `yaml:"seq,omitempty"`
	Client  string            `yaml:"client,omitempty"`
	Session string            `yaml:"session,omitempty"`
	Args    string            `yaml:"args,omitempty"`
	Answers map[string]string `yaml:"answers,omitempty"`
}

// validate reports the first rule that the section breaks, for the corrections of list.
func (t *CorrectionsTest) validate(list []Correction) error {
	if t == nil {
		return nil
	}
	switch {
	case t.Entry == "" || !filepath.IsLocal(filepath.FromSlash(t.Entry)):
		return fmt.Errorf("entry %q is not a path inside the app", t.Entry)
	case path.Ext(t.Entry) == "":
		return fmt.Errorf("entry %q is not a module", t.Entry)
	case !isLine(t.Export):
		return fmt.Errorf("export %q is no name", t.Export)
	case len(t.Cases) == 0:
		return errors.New("there are no cases")
	}
	for i, c := range t.Cases {
		if slices.ContainsFunc(t.Cases[:i], func(o TestCase) bool { return o.Name == c.Name }) {
			return fmt.Errorf("case %s is there twice", c.Name)
		}
		at := slices.IndexFunc(list, func(o Correction) bool { return o.Name == c.Name })
		if at < 0 {
			return fmt.Errorf("case %q is about no correction of the list", c.Name)
		}
		if err := c.validate(list[at]); err != nil {
			return fmt.Errorf("case %s: %w", c.Name, err)
		}
	}
	return nil
}

func (c TestCase) validate(of Correction) error {
	switch {
	case c.Event != of.Event:
		return fmt.Errorf("event %q is not the correction's, %s", c.Event, of.Event)
	case c.Seq < 1:
		return fmt.Errorf("seq %d is no event's number", c.Seq)
	case !isLine(c.Client) || !isLine(c.Session):
		return errors.New("client or session is missing")
	case !json.Valid([]byte(c.Args)):
		return errors.New("args is no JSON")
	case of.Skip != (len(c.Makes) == 0):
		return fmt.Errorf("makes has %d events, which is not what the correction does", len(c.Makes))
	}
	for _, e := range c.Makes {
		if !isLine(e.Event) || !json.Valid([]byte(e.Args)) {
			return fmt.Errorf("makes: %q is no event, or its args are no JSON", e.Event)
		}
	}
	if err := checkAnswers(c.Answers); err != nil {
		return err
	}
	for _, o := range c.Others {
		if err := checkAnswers(o.Answers); err != nil {
			return fmt.Errorf("others: %w", err)
		}
		switch {
		case !isLine(o.Other):
			return errors.New("others: one does not say what it differs in")
		case o.Seq < 0 || o.Seq == 0 && o.Client == "" && o.Session == "" && o.Args == "" && len(o.Answers) == 0:
			return fmt.Errorf("others: that of another %s is not another", o.Other)
		case o.Args != "" && !json.Valid([]byte(o.Args)):
			return fmt.Errorf("others: the args of another %s are no JSON", o.Other)
		}
	}
	return nil
}

func checkAnswers(answers map[string]string) error {
	for sql, value := range answers {
		if sql == "" || !json.Valid([]byte(value)) {
			return fmt.Errorf("answers: that to %q is no JSON", sql)
		}
	}
	return nil
}

// TestFile renders the test of a schema's corrections and compares it with the one on disk. ok is false where there is none.
func (w Workspace) TestFile(m *Manifest, name string) (f File, ok bool, err error) {
	s, ok := m.Schemas[name]
	if !ok || s.Corrections.Test == nil {
		return File{}, false, nil
	}
	want, err := RenderTest(m, name)
	if err != nil {
		return File{}, false, err
	}
	file := s.TestFile()
	f, err = compare(File{Schema: name, Path: filepath.Join(w.Dir, filepath.FromSlash(file)), Want: want})
	return f, err == nil, err
}

// TestFile is where the test of the corrections lies: headgate.corrections.test.ts beside headgate.generated.ts.
func (s Schema) TestFile() string {
	return strings.TrimSuffix(strings.TrimSuffix(s.File, ".ts"), ".generated") + ".corrections.test.ts"
}

// RenderTest returns the test of a schema's corrections: the same bytes for the same manifest, always.
func RenderTest(m *Manifest, name string) ([]byte, error) {
	s := m.Schemas[name]
	t := s.Corrections.Test
	if t == nil {
		return nil, errs.NotFoundf("schema %s has no test of corrections", name)
	}
	cases := []any{}
	for _, c := range t.Cases {
		makes, others := []any{}, []any{}
		for _, e := range c.Makes {
			makes = append(makes, map[string]any{"event": e.Event, "args": json.RawMessage(e.Args)})
		}
		for _, o := range c.Others {
			others = append(others, o.shown())
		}
		cases = append(cases, map[string]any{
			"name": c.Name, "event": c.Event, "seq": c.Seq, "client": c.Client, "session": c.Session, "args": json.RawMessage(c.Args),
			"unreadable": c.Unreadable, "listed": c.Listed, "makes": makes, "answers": rawValues(c.Answers), "others": others,
		})
	}
	text, err := json.MarshalIndent(cases, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the test of corrections: %w", err)
	}
	source, err := sources.ReadFile("ts/vitest.ts")
	if err != nil {
		return nil, fmt.Errorf("reading a built-in template: %w", err)
	}
	body := strings.NewReplacer("__ENTRY__", importOf(s, t.Entry), "__EXPORT__", quote(t.Export), "__CASES__", string(text)).Replace(string(source))
	return withHead(name, s.Epoch, body), nil
}

// shown is o as the test has it.
func (o TestOther) shown() map[string]any {
	one := map[string]any{"other": o.Other}
	if o.Seq != 0 {
		one["seq"] = o.Seq
	}
	if o.Client != "" {
		one["client"] = o.Client
	}
	if o.Session != "" {
		one["session"] = o.Session
	}
	if o.Args != "" {
		one["args"] = json.RawMessage(o.Args)
	}
	if len(o.Answers) > 0 {
		one["answers"] = rawValues(o.Answers)
	}
	return one
}

func rawValues(texts map[string]string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for key, value := range texts {
		out[key] = json.RawMessage(value)
	}
	return out
}

// importOf is how a test beside the generated file imports entry: by its whole name, which vitest finds however the app writes
// its imports.
func importOf(s Schema, entry string) string {
	rel, err := filepath.Rel(filepath.FromSlash(path.Dir(s.File)), filepath.FromSlash(entry))
	if err != nil {
		rel = path.Base(entry)
	}
	return "./" + filepath.ToSlash(rel)
}

// UsesVitest reports whether the app's package.json, that of dir or the one above, names vitest.
func UsesVitest(dir string) bool { return dependsOn(dir, "vitest") }
