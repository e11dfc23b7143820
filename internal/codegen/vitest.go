package codegen

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"headgate/internal/errs"
)

// TestFileName is the name of the generated test of corrections, beside the generated file.
const TestFileName = "headgate.corrections.test.ts"

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
	Makes      []TestEvent       `yaml:"makes"`                // what counts in its place
	Answers    map[string]string `yaml:"answers,omitempty"`    // what the correction's SQL gives, JSON by expression
	Others     []TestOther       `yaml:"others,omitempty"`     // near ones that it does not meet
}

// A TestEvent is an event that counts in the place of another.
type TestEvent struct {
	Event string `yaml:"event"`
	Args  string `yaml:"args"`
}

// A TestOther differs from the case's event in one thing. What is empty is as there.
type TestOther struct {
	Other   string `yaml:"other"`
	Seq     int64  `yaml:"seq,omitempty"`
	Client  string `yaml:"client,omitempty"`
	Session string `yaml:"session,omitempty"`
	Args    string `yaml:"args,omitempty"`
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
	file := path.Join(path.Dir(s.File), TestFileName)
	f, err = compare(File{Schema: name, Path: filepath.Join(w.Dir, filepath.FromSlash(file)), Want: want})
	return f, err == nil, err
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
			others = append(others, one)
		}
		answers := map[string]json.RawMessage{}
		for sql, value := range c.Answers {
			answers[sql] = json.RawMessage(value)
		}
		cases = append(cases, map[string]any{
			"name": c.Name, "event": c.Event, "seq": c.Seq, "client": c.Client, "session": c.Session, "args": json.RawMessage(c.Args),
			"unreadable": c.Unreadable, "listed": c.Listed, "makes": makes, "answers": answers, "others": others,
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

// importOf is how a module beside the generated file imports entry.
func importOf(s Schema, entry string) string {
	rel, err := filepath.Rel(filepath.FromSlash(path.Dir(s.File)), filepath.FromSlash(entry))
	if err != nil {
		rel = path.Base(entry)
	}
	rel = filepath.ToSlash(rel)
	return "./" + strings.TrimSuffix(rel, path.Ext(rel)) + s.Imports.Suffix()
}

// UsesVitest reports whether the app's package.json, that of dir or the one above, names vitest.
func UsesVitest(dir string) bool { return dependsOn(dir, "vitest") }
