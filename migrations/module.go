package migrations

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/go-version"

	"headgate/internal/errs"
	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
)

// A module is a migration in TypeScript: what SQL says in directives are its exports, and its default export is a
// generator of the events.
//
//	export const requires = '>= 1.2.0'
//	export const emits = { 'v1.TodoMoved': { key: ['id'] } }
//	export default function* (query, uuid5) {
//	  for (const { id } of query('SELECT id FROM todos')) yield { event: 'v1.TodoMoved', args: { id, … } }
//	}
type module struct {
	path   string
	source string // of the file itself
	script *bundle.Script
}

// loadModule bundles a migration and evaluates what it exports.
func loadModule(ctx context.Context, l script.Launcher, path string) (Definition, error) {
	number, name, err := named(path)
	if err != nil {
		return Definition{}, err
	}
	data, err := readFile(path, MaxFileBytes)
	if err != nil {
		return Definition{}, err
	}
	if !utf8.Valid(data) {
		return Definition{}, errs.Invalidf("the file is not UTF-8").At("%s", path)
	}
	m := &module{path: path, source: string(data)}
	if m.script, err = bundle.Module(path, replay.ModuleDriver); err != nil {
		return Definition{}, err
	}
	d := Definition{
		Number: number, Name: name, Path: path, Checksum: checksum(data), Emits: []Emit{}, Asserts: []Assert{}, module: m,
	}
	var parts []part
	for _, file := range m.script.Modules {
		if file == filepath.Base(path) {
			continue
		}
		data, err := readFile(filepath.Join(filepath.Dir(path), filepath.FromSlash(file)), MaxInputBytes)
		if err != nil {
			return Definition{}, err
		}
		parts = append(parts, part{file, data})
	}
	d.Checksum = joined(d.Checksum, parts)
	values, err := replay.Exports(ctx, l, m.script.Code)
	if err != nil {
		return Definition{}, m.explain(err)
	}
	return d, m.define(&d, values)
}

// exported are the names that a module may export, beside its generator.
func exported() []string {
	return []string{"requires", "schema", "after", "neededBy", "marker", "repeat", "emits", "asserts"}
}

// define fills in what the exports say.
func (m *module) define(d *Definition, values map[string]json.RawMessage) (err error) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if name != "default" && !slices.Contains(exported(), name) {
			return m.bad(name, "the export %q means nothing", name).Hintf("there are: %s, and the default export", strings.Join(exported(), ", "))
		}
	}
	if d.Schema, err = m.text(values, "schema"); err != nil {
		return err
	}
	if d.Requires, err = m.text(values, "requires"); err != nil {
		return err
	}
	d.RequiresLine = m.line("requires")
	if d.Requires == "" {
		return m.bad("requires", "it is not said which releases the migration is for").
			Hintf("export const requires = '>= 1.1.0', the first release that defines and materializes what it emits")
	}
	if d.constraint, err = version.NewConstraint(d.Requires); err != nil {
		return m.bad("requires", "%q is no condition on versions", d.Requires).Hintf("for instance: '>= 1.1.0', or '>= 1.1.0, < 3.0.0'")
	}
	if d.Needed, err = m.text(values, "neededBy"); err != nil {
		return err
	}
	if d.Needed != "" {
		if d.needed, err = version.NewConstraint(d.Needed); err != nil {
			return m.bad("neededBy", "%q is no condition on versions", d.Needed).Hintf("for instance: '>= 1.3.0'")
		}
	}
	if d.Marker, err = m.text(values, "marker"); err != nil {
		return err
	}
	d.MarkerLine, d.AfterLine = m.line("marker"), m.line("after")
	if v, ok := values["after"]; ok {
		var one string
		if json.Unmarshal(v, &one) == nil {
			d.After = []string{one}
		} else if json.Unmarshal(v, &d.After) != nil {
			return m.bad("after", "after is no text, and no list of texts").Hintf("the migrations that must be done before: export const after = ['00001']")
		}
	}
	if v, ok := values["repeat"]; ok && json.Unmarshal(v, &d.Repeat) != nil {
		return m.bad("repeat", "repeat is neither true nor false")
	}
	if err := m.generator(values["default"]); err != nil {
		return err
	}
	if d.Emits, err = m.emits(values["emits"]); err != nil {
		return err
	}
	d.Asserts, err = m.asserts(values["asserts"])
	return err
}

func (m *module) text(values map[string]json.RawMessage, name string) (s string, err error) {
	if v, ok := values[name]; ok && (json.Unmarshal(v, &s) != nil || s == "") {
		return "", m.bad(name, "%s is no text", name)
	}
	return s, nil
}

func (m *module) generator(class json.RawMessage) error {
	hint := "export default function* (query, uuid5) { yield { event: 'v1.TodoMoved', args: { … } } }"
	switch string(class) {
	case `"GeneratorFunction"`:
		return nil
	case "":
		return m.bad("default", "there is no default export").Hintf("%s", hint)
	case `"AsyncGeneratorFunction"`, `"AsyncFunction"`:
		return m.bad("default", "the generator is asynchronous, but nothing is there to wait for: query answers at once").Hintf("%s", hint)
	}
	return m.bad("default", "the default export is no generator").Hintf("%s", hint)
}

// pairs are an object's entries, in their order.
func pairs(v json.RawMessage) ([][2]json.RawMessage, bool) {
	var object struct {
		Entries [][2]json.RawMessage `json:"entries"`
	}
	return object.Entries, json.Unmarshal(v, &object) == nil
}

func (m *module) emits(v json.RawMessage) ([]Emit, error) {
	hint := "export const emits = { 'v1.TodoMoved': { key: ['id'] } }: each event with the arguments that tell its like apart"
	entries, ok := pairs(v)
	if !ok || len(entries) == 0 {
		return nil, m.bad("emits", "it is not said what the migration emits").Hintf("%s", hint)
	}
	var out []Emit
	for _, e := range entries {
		emit := Emit{SQLLine: m.line("default")}
		if err := json.Unmarshal(e[0], &emit.Event); err != nil {
			return nil, err
		}
		emit.Line = m.mention("emits", emit.Event)
		var rule struct {
			Key []string `json:"key"`
		}
		dec := json.NewDecoder(bytes.NewReader(e[1]))
		dec.DisallowUnknownFields()
		if dec.Decode(&rule) != nil || len(rule.Key) == 0 {
			return nil, errs.Invalidf("%s has no key", emit.Event).At("%s:%d", m.path, emit.Line).Hintf("%s", hint)
		}
		for i, k := range rule.Key {
			if slices.Contains(rule.Key[:i], k) {
				return nil, errs.Invalidf("the key of %s names %q twice", emit.Event, k).At("%s:%d", m.path, emit.Line)
			}
		}
		emit.Key = rule.Key
		out = append(out, emit)
	}
	return out, nil
}

func (m *module) asserts(v json.RawMessage) ([]Assert, error) {
	out := []Assert{}
	if v == nil {
		return out, nil
	}
	hint := "export const asserts = { 'no todo without priority': 'SELECT count(*) = 0 FROM todos WHERE priority IS NULL' }"
	entries, ok := pairs(v)
	if !ok {
		return nil, m.bad("asserts", "asserts is no object of queries").Hintf("%s", hint)
	}
	for _, e := range entries {
		var a Assert
		if err := json.Unmarshal(e[0], &a.Label); err != nil {
			return nil, err
		}
		a.Line = m.mention("asserts", a.Label)
		a.SQLLine = a.Line
		if json.Unmarshal(e[1], &a.SQL) != nil {
			return nil, errs.Invalidf("the assert %q is no query", a.Label).At("%s:%d", m.path, a.Line).Hintf("%s", hint)
		}
		var err error
		if a.SQL, err = checkQuery(m.path, a.SQL, a.Line, false); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// checkQuery refuses what the parser refuses in a file of SQL, in a text that begins on a line of a file. It returns
// the text without its semicolon.
func checkQuery(path, sql string, line int, params bool) (string, error) {
	p := &parser{path: path, params: params}
	l := &lexer{src: sql + "\n;", line: line}
	first := l.next()
	for first.kind == tokenComment {
		first = l.next()
	}
	text, err := p.query(l, first)
	if err != nil {
		return "", err
	}
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		if t.kind != tokenComment && !t.is(";") {
			return "", p.bad(t.line, "something follows after the query's semicolon")
		}
	}
	return strings.TrimSuffix(text, "\n"), nil
}

// bad is an error at an export.
func (m *module) bad(export, format string, args ...any) *errs.Error {
	return errs.Invalidf(format, args...).At("%s:%d", m.path, m.line(export))
}

// line is where a name is exported, 1 where that is not written in the file itself.
func (m *module) line(export string) int {
	line, _ := m.export(export)
	return line
}

// export finds the line and the offset of an export. What the module exports was found out by evaluating it: the text
// only tells where.
func (m *module) export(name string) (line, offset int) {
	pattern := `(?m)^[ \t]*export\s+(const|let|var)\s+` + regexp.QuoteMeta(name) + `\b`
	if name == "default" {
		pattern = `(?m)^[ \t]*export\s+default\b`
	}
	at := regexp.MustCompile(pattern).FindStringIndex(m.source)
	if at == nil {
		return 1, 0
	}
	return 1 + strings.Count(m.source[:at[0]], "\n"), at[0]
}

// mention is the line on which an object that is exported has a property.
func (m *module) mention(export, property string) int {
	line, offset := m.export(export)
	at := regexp.MustCompile("[\\s{,'\"`](" + regexp.QuoteMeta(property) + ")['\"`]?\\s*:").FindStringSubmatchIndex(m.source[offset:])
	if at != nil {
		line += strings.Count(m.source[offset:offset+at[2]], "\n")
	}
	return line
}

// rules are what the module may yield, as the release has it.
func (m *module) rules(d Definition, r *schema.Release) (map[string]replay.ModuleRule, error) {
	out := map[string]replay.ModuleRule{}
	for _, e := range d.Emits {
		wire, err := wireStruct(r, e.Event)
		if err != nil {
			return nil, err.At("%s:%d", m.path, e.Line)
		}
		rule := replay.ModuleRule{Key: e.Key, Fields: []string{}, Needed: []string{}, Open: len(wire.Index) > 0}
		for _, f := range wire.Fields {
			rule.Fields = append(rule.Fields, f.Name)
			if !f.Optional {
				rule.Needed = append(rule.Needed, f.Name)
			}
		}
		for _, k := range e.Key {
			if !slices.Contains(rule.Fields, k) {
				return nil, errs.Invalidf("the key %q is no field of %s", k, e.Event).At("%s:%d", m.path, e.Line)
			}
		}
		out[e.Event] = rule
	}
	return out, nil
}

// place turns a stack into a place in the migration's files, "path:line:column"; empty where none leads there.
func (m *module) place(stack []script.Frame) string {
	at, _, _ := strings.Cut(m.script.Locate(stack), " ")
	if at == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(m.path), filepath.FromSlash(at))
}

// explain turns what the module failed with into an error at its place. Other errors stay as they are.
func (m *module) explain(err error) error {
	var f *script.Failure
	if !errors.As(err, &f) {
		return err
	}
	e := errs.Invalidf("%s", m.withoutValues(f)).At("%s:%d", m.path, m.line("default"))
	if at := m.place(f.Stack); at != "" {
		e.At("%s", at)
	}
	switch f.Kind {
	case script.TooLong:
		e.Hintf("yield events as they come: the time from one to the next is limited")
	case script.TooLarge:
		e.Hintf("query and yield in parts (WHERE id > ? ORDER BY id LIMIT 1000), and keep no more than the last one")
	case script.Threw:
		if f.Name == "SqliteError" {
			e.Msg = "SQLite refuses the query: " + f.Message
		}
	}
	return e
}

var (
	anyWord   = regexp.MustCompile(`[\pL\pN_]+`)
	quotation = regexp.MustCompile(`'[^']*'|"[^"]*"`)
)

// withoutValues is the failure's message without what may be a value of the state: a word that is not in the migration's
// own text, in what it says itself, and in what the engine quotes.
func (m *module) withoutValues(f *script.Failure) string {
	if f.Kind != script.Threw {
		return f.Error()
	}
	known := map[string]bool{}
	for _, text := range []string{m.source, m.script.Code} {
		for _, w := range anyWord.FindAllString(text, -1) {
			known[w] = true
		}
	}
	hide := func(text string) string {
		return anyWord.ReplaceAllStringFunc(text, func(w string) string {
			if known[w] {
				return w
			}
			return "…"
		})
	}
	msg, _, _ := strings.Cut(f.Message, "\n")
	switch f.Name {
	case "SqliteError": // it quotes names
	case "TypeError", "ReferenceError", "RangeError", "SyntaxError", "InternalError":
		msg = quotation.ReplaceAllStringFunc(msg, hide)
	default:
		msg = hide(msg)
	}
	if own, ok := strings.CutPrefix(msg, "headgate: "); ok {
		return own
	}
	return fmt.Sprintf("the migration throws %s: %s", f.Name, msg)
}

// ClientRun reports, as an errs.Invalid error, why the app can't run the migration itself at its start.
func (d Definition) ClientRun() error {
	switch {
	case d.module != nil:
		return errs.Invalidf("a client can't run %s: it is in TypeScript", d.Name).At("%s", d.Path).
			Hintf("leave it to headgate migration up, or write it in SQL")
	case len(d.Inputs) > 0:
		return errs.Invalidf("a client can't run %s: it has no %s", d.Name, d.Inputs[0].File).At("%s:%d", d.Path, d.Inputs[0].Line).
			Hintf("leave it to headgate migration up, or write the values into the query (VALUES)")
	}
	return nil
}
