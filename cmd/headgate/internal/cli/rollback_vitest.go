package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/corrective"
	"headgate/internal/codegen"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/payload"
	"headgate/internal/livestore/probe"
)

// A correctionsTestReport says what came of the test of the corrections.
type correctionsTestReport struct {
	File    string   `json:"file"`
	Written bool     `json:"written"`
	Tested  []string `json:"tested"`            // corrections
	Without []string `json:"without"`           // those that no made-up event could be found for
	Assumed []string `json:"assumed"`           // those whose condition none meets: the test says that it does
	Skipped string   `json:"skipped,omitempty"` // why there is no test
}

func (r *correctionsTestReport) takes(cases []codegen.TestCase) {
	for _, c := range cases {
		r.Tested = append(r.Tested, c.Name)
		if c.Assumed {
			r.Assumed = append(r.Assumed, c.Name)
		}
	}
}

// wantsTest reports whether the app gets a test of its corrections, and if not, why.
func wantsTest(c *cli.Context, s config.Schema, had bool) (string, error) {
	switch yes, no := c.Bool("test"), c.Bool("no-test"); {
	case yes && no:
		return "", errs.Invalidf("--test and --no-test exclude each other")
	case no:
		return "--no-test", nil
	case yes || had || codegen.UsesVitest(filepath.Dir(s.Entry)):
		return "", nil
	}
	return "no package.json of the app names vitest; --test writes it all the same", nil
}

// correctionsTest makes up an event for each correction, and says what is made of it. No value of a log is in it.
func (a *app) correctionsTest(ctx context.Context, cfg *config.Config, s config.Schema, b build, list corrective.Corrections, f *found) (*codegen.CorrectionsTest, []string, error) {
	entry, err := filepath.Rel(cfg.Dir, s.Entry)
	if err != nil {
		return nil, nil, fmt.Errorf("find the schema's module: %w", err)
	}
	launcher, err := a.launcher()
	if err != nil {
		return nil, nil, err
	}
	identifier, err := probe.NewIdentifier(ctx, launcher, programOf(b))
	if err != nil {
		return nil, nil, err
	}
	defer identifier.Close()
	corrector, err := list.Compile(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer corrector.Close()
	t := &codegen.CorrectionsTest{Entry: filepath.ToSlash(entry), Export: s.Export}
	without := []string{}
	for _, one := range list.List {
		m := fixtures{one: one, build: b, corrector: corrector, identifier: identifier, shape: f.by[one.Name].shape}
		c, ok, err := m.testCase(ctx)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			without = append(without, one.Name)
			continue
		}
		t.Cases = append(t.Cases, c)
	}
	return t, without, nil
}

// fixtures makes up events that one correction is about.
type fixtures struct {
	one        corrective.Correction
	build      build
	corrector  *corrective.Corrector
	identifier *probe.Identifier
	shape      string // of a real one, masked
}

// testCase makes up the correction's event: one that it meets and changes where there is one, else one that is as good as can be.
func (m fixtures) testCase(ctx context.Context) (best codegen.TestCase, ok bool, err error) {
	most := 0
	for _, args := range m.candidates() {
		e, worth := m.event(args), 2
		if m.one.Match.Where != "" && !m.one.Match.IsPinned() {
			var met bool
			if e, met = m.meeting(ctx, e); !met {
				worth = 1
			}
		}
		c, usable, err := m.caseOf(ctx, e)
		if err != nil {
			return c, false, err
		}
		if worth == 2 && m.changes(ctx, e) {
			worth = 3
		}
		if c.Assumed = worth == 1; usable && worth > most {
			best, most = c, worth
		}
		if most == 3 {
			break
		}
	}
	return best, most > 0, nil
}

// caseOf is the case of one made-up event; ok is false where the correction, or the release, can make nothing of it.
func (m fixtures) caseOf(ctx context.Context, e livestore.Event) (c codegen.TestCase, ok bool, err error) {
	made, err := m.corrector.Make(ctx, m.one.Name, e)
	if err != nil {
		return c, false, nil //nolint:nilerr // an expression that wants another value
	}
	ids, err := m.identifier.Identify(ctx, append([]livestore.Event{e}, made...))
	if err != nil {
		return c, false, err
	}
	if unusable(ids[1:]) {
		return c, false, nil
	}
	c = codegen.TestCase{
		Name: m.one.Name, Event: e.Name, Seq: int64(e.Seq.Global), Client: e.ClientID, Session: e.SessionID, Args: string(e.Args),
		Unreadable: ids[0].Unreadable, Listed: m.one.Match.IsPinned(), Makes: []codegen.TestEvent{}, Answers: map[string]string{},
	}
	for i, x := range made {
		c.Makes = append(c.Makes, codegen.TestEvent{Event: x.Name, Args: string(x.Args)})
		sql := m.one.Rewrite
		if m.one.Replace != nil {
			sql = m.one.Replace[i].Args
		}
		if sql != "" {
			text, err := json.Marshal(string(x.Args))
			if err != nil {
				return c, false, fmt.Errorf("write a made-up event: %w", err)
			}
			c.Answers[sql] = string(text)
		}
	}
	if where := m.one.Match.Where; where != "" && !c.Listed {
		c.Answers[where] = "1"
	}
	c.Others = m.others(ctx, e, c.Unreadable)
	return c, true, nil
}

func unusable(made []probe.Identity) bool {
	for _, id := range made {
		if id.Unreadable || id.Undefined {
			return true
		}
	}
	return false
}

// event is the event with these arguments that meets the correction's conditions on number and writer.
func (m fixtures) event(args json.RawMessage) livestore.Event {
	e := livestore.Event{Name: m.one.Match.Event, Args: args, ClientID: "client", SessionID: "session"}
	e.Seq.Global = max(livestore.SeqNum(m.one.Match.From), 1)
	if len(m.one.Match.Clients) > 0 {
		e.ClientID = m.one.Match.Clients[0]
	}
	if m.one.Match.Release != "" {
		e.SessionID += "." + eventlog.Dashed(m.one.Match.Release)
	}
	return e
}

// others are events that the correction leaves alone: they differ from e in what it goes by.
func (m fixtures) others(ctx context.Context, e livestore.Event, unreadable bool) []codegen.TestOther {
	out := []codegen.TestOther{}
	if m.one.Match.IsPinned() {
		out = append(out, codegen.TestOther{Other: "number", Seq: int64(e.Seq.Global) + 1}, codegen.TestOther{Other: "writer", Client: "another-client"})
		if args, ok := m.otherArgs(ctx, e, unreadable); ok {
			out = append(out, codegen.TestOther{Other: "content", Args: args})
		}
		return out
	}
	if to := int64(m.one.Match.To); to != 0 {
		out = append(out, codegen.TestOther{Other: "number: after the last", Seq: to + 1})
	}
	if m.one.Match.Release != "" {
		out = append(out, codegen.TestOther{Other: "release", Session: "session.0-0-1"})
	}
	if len(m.one.Match.Clients) > 0 {
		out = append(out, codegen.TestOther{Other: "writer by its conditions", Client: "no-client-of-these"})
	}
	if m.one.Match.Where != "" {
		// The same event, so that nothing but the answer keeps it: of another one the correction may make what it says already.
		out = append(out, codegen.TestOther{Other: "answer to its condition", Answers: map[string]string{m.one.Match.Where: "0"}})
	}
	return out
}

// otherArgs are arguments of another content, which the release decodes as little or as well.
func (m fixtures) otherArgs(ctx context.Context, e livestore.Event, unreadable bool) (string, bool) {
	for _, args := range m.candidates() {
		if string(args) == string(e.Args) {
			continue
		}
		other := m.event(args)
		ids, err := m.identifier.Identify(ctx, []livestore.Event{e, other})
		if err == nil && ids[1].Unreadable == unreadable && ids[0].Digest != ids[1].Digest {
			return string(args), true
		}
	}
	return "", false
}

// candidates are made-up arguments, those first that are most like a real event's.
func (m fixtures) candidates() []json.RawMessage {
	var shape any
	known := m.shape != "" && json.Unmarshal([]byte(m.shape), &shape) == nil
	var bases []any
	if def, ok := m.build.Release.Event(m.one.Match.Event); ok {
		g := payload.New(def.Args, payload.Hints{})
		for n := 1; n <= 3; n++ {
			if v, ok := g.Base(n); ok {
				bases = append(bases, v)
			}
		}
		bases = append(bases, g.Examples()...)
	}
	var out []json.RawMessage
	if known {
		for _, b := range bases {
			out = append(out, payload.Encode(dressed(shape, b)))
		}
		if len(bases) == 0 { // the app does not know the event
			out = append(out, payload.Encode(shape))
		}
	}
	for _, b := range bases {
		out = append(out, payload.Encode(b))
	}
	return out
}

// dressed has those keys of base that shape has, too, and base's values where they are of the same kind. A key that base does not
// have may be data, as a record's is.
func dressed(shape, base any) any {
	switch shape := shape.(type) {
	case map[string]any:
		b, ok := base.(map[string]any)
		if !ok {
			return map[string]any{}
		}
		out := map[string]any{}
		for key, v := range shape {
			if bv, there := b[key]; there {
				out[key] = dressed(v, bv)
			}
		}
		if len(out) == 0 && len(shape) > 0 {
			return b
		}
		return out
	case string:
		if s, ok := base.(string); ok {
			return s
		}
	case float64:
		if n, ok := base.(float64); ok {
			return n
		}
	case bool:
		if b, ok := base.(bool); ok {
			return b
		}
	case []any:
		if l, ok := base.([]any); ok {
			return l
		}
		return []any{} // what is in it may have keys that are data
	}
	return shape
}

// masked is args with no value left of it: texts become x of their length, numbers 1, and truths false.
func masked(args json.RawMessage) string {
	var v any
	if json.Unmarshal(args, &v) != nil {
		return ""
	}
	return string(payload.Encode(mask(v)))
}

// maskedText bounds how long a masked text is.
const maskedText = 40

func mask(v any) any {
	switch v := v.(type) {
	case string:
		return strings.Repeat("x", min(len([]rune(v)), maskedText))
	case float64:
		if v != float64(int64(v)) {
			return 1.5
		}
		return 1.0
	case bool:
		return false
	case []any:
		out := make([]any, 0, min(len(v), 3))
		for _, one := range v[:min(len(v), 3)] {
			out = append(out, mask(one))
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, one := range v {
			out[key] = mask(one)
		}
		return out
	}
	return v
}
