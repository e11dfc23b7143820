package corrective

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/eventlog/eventsql"
	"headgate/internal/livestore/schema"
)

// CorrectionsVersion is the version of the form of a corrections file. A reader refuses another one.
const CorrectionsVersion = 1

// Corrections is headgate/corrections/SCHEMA.yaml: what a release makes of bad events instead of what they say. The first
// correction that matches an event is the one that counts, and what it makes is not corrected again.
type Corrections struct {
	Version int          `yaml:"version"`
	Schema  string       `yaml:"schema"`
	List    []Correction `yaml:"corrections"`
}

// A Correction says which events are meant, and what is made of them: exactly one of Skip, Set, Rewrite and Replace.
type Correction struct {
	Name   string `yaml:"name"` // lower-case words with dashes, for good: it stays in the app's code
	Reason string `yaml:"reason"`
	Match  Match  `yaml:"match"`

	// Skip leaves no trace of the event in the state.
	Skip bool `yaml:"skip,omitempty"`
	// Set puts these fields, encoded, in the place of the event's own.
	Set map[string]any `yaml:"set,omitempty"`
	// Rewrite is an SQL expression over the event that gives its new arguments, a JSON object.
	Rewrite string `yaml:"rewrite,omitempty"`
	// Replace has the event make what these would have made.
	Replace []Replacement `yaml:"replace,omitempty"`

	line int
}

// A Replacement is an event that counts in the place of another.
type Replacement struct {
	Event string `yaml:"event"`
	Args  string `yaml:"args"` // an SQL expression over the event that is replaced, a JSON object
}

// A Match picks events; every condition that is given must hold.
type Match struct {
	Event   string   `yaml:"event"`
	Release string   `yaml:"release,omitempty"` // by the stamp in the session id
	From    Place    `yaml:"from,omitempty"`    // the first number, 0 for any
	To      Place    `yaml:"to,omitempty"`      // the last number, 0 for any
	Clients []string `yaml:"clients,omitempty"`
	Where   string   `yaml:"where,omitempty"` // an SQL expression over the event, see eventsql
	// Pinned has the generated code know the very events that the logs held when it was generated: by number, writer and a
	// digest of the arguments. Otherwise the conditions themselves go into the code, and also meet events that arrive later.
	// Nil is true, unless a release is named: a stamp says for good who wrote an event.
	Pinned *bool `yaml:"pinned,omitempty"`
}

// IsPinned reports whether the match is of events that are listed.
func (m Match) IsPinned() bool {
	if m.Pinned != nil {
		return *m.Pinned
	}
	return m.Release == ""
}

// A Place is an event's global number, written 120 or e120.
type Place livestore.SeqNum

// UnmarshalYAML reads a number with or without its e.
func (p *Place) UnmarshalYAML(n *yaml.Node) error {
	v, err := strconv.ParseInt(strings.TrimPrefix(n.Value, "e"), 10, 64)
	if err != nil || v < 1 {
		return fmt.Errorf("line %d: %q is no event's number: write 120 or e120", n.Line, n.Value)
	}
	*p = Place(v)
	return nil
}

// UnmarshalYAML keeps the line, for messages. The decoder's strictness does not reach here: the keys are checked again.
func (c *Correction) UnmarshalYAML(n *yaml.Node) error {
	type plain Correction
	var p plain
	asWritten(n)
	text, err := yaml.Marshal(n)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&p); err != nil {
		return fmt.Errorf("line %d: %s", n.Line, strings.Join(strings.Fields(yamlWithoutLine.ReplaceAllString(err.Error(), "")), " "))
	}
	*c = Correction(p)
	c.line = n.Line
	return nil
}

// asWritten has dates be texts, as JSON knows them: read as a date, 2024-01-01 would get a time.
func asWritten(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!timestamp" {
		n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		asWritten(c)
	}
}

var (
	yamlWithoutLine = regexp.MustCompile(`yaml: (unmarshal errors:)?|line \d+: |in type \S+`)
	yamlLine        = regexp.MustCompile(`(?s)^.*?line (\d+): (.*)$`)
	correctionName  = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// ParseCorrections reads and validates a corrections file. The error's Where is file and line.
func ParseCorrections(ctx context.Context, file string, data []byte) (Corrections, error) {
	var c Corrections
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		line, msg := "1", strings.TrimPrefix(err.Error(), "yaml: ")
		if m := yamlLine.FindStringSubmatch(msg); m != nil {
			line, msg = m[1], strings.TrimSpace(m[2])
		}
		return c, errs.Invalidf("the corrections can't be read: %s", yamlWithoutLine.ReplaceAllString(msg, "")).At("%s:%s", file, line).
			Then("headgate help corrections-file")
	}
	if c.Version != CorrectionsVersion {
		return c, errs.Invalidf("the corrections have version %d, this headgate reads version %d", c.Version, CorrectionsVersion).At("%s:1", file).
			Then("headgate help corrections-file")
	}
	if c.Schema == "" {
		return c, errs.Invalidf("the corrections don't say of which schema they are").At("%s:1", file).Hintf("schema: main")
	}
	seen := map[string]bool{}
	for _, one := range c.List {
		if seen[one.Name] {
			return c, errs.Invalidf("there are two corrections named %s", one.Name).At("%s:%d", file, one.line)
		}
		seen[one.Name] = true
		if err := one.validate(ctx); err != nil {
			e := errs.As(err)
			if e == nil {
				return c, err
			}
			return c, e.At("%s:%d", file, one.line).Then("headgate help corrections-file")
		}
	}
	return c, nil
}

func (c Correction) validate(ctx context.Context) error {
	if !correctionName.MatchString(c.Name) {
		return errs.Invalidf("%q is no name of a correction", c.Name).Hintf("it stays in the app's code for good: lower-case words with dashes")
	}
	if strings.TrimSpace(c.Reason) == "" {
		return errs.Invalidf("correction %s has no reason", c.Name).Hintf("who reads the app's code in a year wants to know")
	}
	if c.Match.Event == "" {
		return errs.Invalidf("correction %s does not say which event it is about", c.Name).Hintf("match: {event: v1.TodoCreated}")
	}
	if c.Match.To != 0 && c.Match.From > c.Match.To {
		return errs.Invalidf("correction %s matches from e%d to e%d, which is nothing", c.Name, c.Match.From, c.Match.To)
	}
	actions := 0
	for _, has := range []bool{c.Skip, c.Set != nil, c.Rewrite != "", c.Replace != nil} {
		if has {
			actions++
		}
	}
	if actions != 1 {
		return errs.Invalidf("correction %s has %d of skip, set, rewrite and replace", c.Name, actions).Hintf("exactly one says what is made of the events")
	}
	if _, err := json.Marshal(c.Set); err != nil {
		return errs.Invalidf("correction %s sets what is no JSON", c.Name).Because(err)
	}
	return c.expressions(ctx)
}

// expressions checks the SQL. What runs on clients sees less, and must give the same everywhere and always.
func (c Correction) expressions(ctx context.Context) error {
	if c.Match.Where != "" && c.Match.IsPinned() {
		x, err := eventsql.Compile(ctx, c.Match.Where)
		if err != nil {
			return err
		}
		x.Close()
	}
	for _, text := range c.onClients() {
		x, err := eventsql.CompileForClients(ctx, text)
		if err != nil {
			return err
		}
		x.Close()
		if words := engine.Volatile(text); len(words) > 0 {
			return errs.Invalidf("correction %s: %s does not give the same everywhere and always", c.Name, strings.Join(words, ", ")).
				Hintf("every client runs it again at every rebuild: use what the event says")
		}
	}
	return nil
}

// CheckAgainst refuses what a release can't do with its code, before any is written: corrections of what LiveStore materializes itself,
// and events in another's place that the release does not know or materialize. The error's Where is file and line.
func (c Corrections) CheckAgainst(r *schema.Release, file string) error {
	for _, one := range c.List {
		names := []string{one.Match.Event}
		for n, p := range one.Replace {
			names = append(names, p.Event)
			def, defined := r.Event(p.Event)
			m, materialized := r.Materializer(p.Event)
			if n > 0 && m.UsesQuery { // LiveStore runs what an event makes when all of it is made
				return errs.Invalidf("correction %s replaces events by several, and %s, which is not the first, asks the state: it would not see what those before it write", one.Name, p.Event).
					At("%s:%d", file, one.line).Hintf("name it first, or alone")
			}
			if n > 0 && materialized && !m.Complete {
				return errs.Invalidf("correction %s replaces events by several, and whether %s, which is not the first, asks the state is not known: %s", one.Name, p.Event, cmp.Or(m.Error, "it makes too many different statements")).
					At("%s:%d", file, one.line).Hintf("it would not see what those before it write: name it first, or alone")
			}
			if !defined || !materialized && !def.Derived {
				return errs.Invalidf("correction %s replaces events by %s, which the app does not define and materialize", one.Name, p.Event).At("%s:%d", file, one.line).
					Hintf("name an event that it does, or skip the events")
			}
		}
		for _, name := range names {
			if def, ok := r.Event(name); ok && def.Derived {
				return errs.Invalidf("correction %s is about %s, which sets a client document: LiveStore materializes it itself", one.Name, name).At("%s:%d", file, one.line).
					Hintf("no code of the app's comes between. The document is its client's alone: have the app read it as it should be, or set it anew")
			}
		}
	}
	return nil
}

// onClients are the expressions that the generated code runs.
func (c Correction) onClients() []string {
	var out []string
	if c.Match.Where != "" && !c.Match.IsPinned() {
		out = append(out, c.Match.Where)
	}
	if c.Rewrite != "" {
		out = append(out, c.Rewrite)
	}
	for _, r := range c.Replace {
		out = append(out, r.Args)
	}
	return out
}

// Digest is of what the corrections say: a comment or another layout of the file is none of it.
func (c Corrections) Digest() (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("digest of the corrections: %w", err)
	}
	return fmt.Sprintf("sha256-%x", sha256.Sum256(text)), nil
}

// Events are the names of the events that corrections are about, sorted.
func (c Corrections) Events() []string {
	var out []string
	for _, one := range c.List {
		out = append(out, one.Match.Event)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// CorrectionsHelp explains the file, for headgate help corrections-file.
const CorrectionsHelp = `headgate/corrections/SCHEMA.yaml says what the app's next release makes of bad events. A committed event stays in the log
for good, and so does its correction in the code: until no log holds the event any more.

    version: 1
    schema: main
    corrections:
      - name: archive-lists            # stays in the app's code: lower-case words with dashes
        reason: 1.3.0 wrote the list's title for its id
        match:                         # every condition that is given must hold
          event: v1.TodoCreated        # always
          release: 1.3.0               # by the stamp in the session id (headgate generate --release)
          from: e120                   # the first and the last number
          to: e480
          clients: [anna]
          where: args ->> 'list' LIKE 'List %'
          pinned: true                 # the very events that the logs hold; not what arrives later
        set: { list: inbox }           # or one of the three below

What is made of the events is exactly one of

    skip: true                         # nothing
    set: { list: inbox }               # the event with these fields, as they are encoded
    rewrite: json_set(args, '$.list', lower(args ->> 'list'))
    replace:                           # what these events would make; none is committed
      - event: v1.TodoMoved
        args: json_object('id', args ->> 'id', 'list', 'inbox', 'position', 0)

SQL is SQLite's, over one event: name, args (JSON text), seq, client, session and release; a pinned match's where also sees
pending and at. A text stands in 'single' quotes. Expressions that run on clients must give the same everywhere: no clock, no chance,
and only functions that every client's SQLite has. args ->> 'position' takes a number out of its JSON, and SQLite writes it back with 15
digits or with 17: a longer one is refused, and args -> 'position' takes it as it is. A correction that leaves or makes a number
past JavaScript's doubles (1e999, its Infinity) is refused: clients keep null there.

Without a release, a match is pinned: the generated code lists the events that the logs hold when it is generated, by number,
writer and a digest of the arguments, so that nothing else is ever taken for one of them. A match that names a release goes by
the stamp, and also meets what its clients send later; pinned: true or false says it.

Clients see args as the app's schema writes them again once it has read them: without the fields that it does not know, with its
defaults. A correction that decides or makes something else of an event by what only the log has is refused, and so is one that
makes what the schema does not read: clients leave such an event as it is.

The first correction that matches an event counts; two that match the same events are refused. headgate rollback generate also
refuses what no code of the app's can do: corrections of a client document's events, events in another's place that the app
does not materialize, and one that asks the state after another in the same place, which it would not see the writes of.
headgate log transform makes an event of each, and takes that.`
