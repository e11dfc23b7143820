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
	Skipped string   `json:"skipped,omitempty"` // why there is no test
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
	defer corrector.Close() //nolint:errcheck // in memory
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

func (m fixtures) testCase(ctx context.Context) (codegen.TestCase, bool, error) {
	var second *codegen.TestCase
	for _, args := range m.candidates() {
		e := m.event(args)
		made, err := m.corrector.Make(ctx, m.one.Name, e)
		if err != nil {
			continue // an expression that wants another value
		}
		ids, err := m.identifier.Identify(ctx, append([]livestore.Event{e}, made...))
		if err != nil {
			return codegen.TestCase{}, false, err
		}
		if unusable(ids[1:]) {
			continue
		}
		c := codegen.TestCase{
			Name: m.one.Name, Event: e.Name, Seq: int64(e.Seq.Global), Client: e.ClientID, Session: e.SessionID, Args: string(e.Args),
			Unreadable: ids[0].Unreadable, Makes: []codegen.TestEvent{}, Answers: map[string]string{}, Others: m.others(),
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
		// What matches by its conditions is tested by them where an event that meets them could be made up.
		name, err := m.corrector.Match(ctx, e)
		if c.Listed = m.one.Match.IsPinned() || err != nil || name != m.one.Name; c.Listed {
			c.Others = append(c.Others, codegen.TestOther{Other: "number", Seq: c.Seq + 1})
		} else if m.one.Match.Where != "" {
			c.Answers[m.one.Match.Where] = "1"
		}
		if c.Listed {
			c.Others = append(c.Others, codegen.TestOther{Other: "writer", Client: "another-client"})
			if other, ok := m.otherArgs(ctx, e, ids[0].Unreadable); ok {
				c.Others = append(c.Others, codegen.TestOther{Other: "content", Args: other})
			}
		}
		if c.Listed == m.one.Match.IsPinned() {
			return c, true, nil
		}
		if second == nil {
			second = &c
		}
	}
	if second != nil {
		return *second, true, nil
	}
	return codegen.TestCase{}, false, nil
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

// others are events that differ in what a condition of the correction is about.
func (m fixtures) others() []codegen.TestOther {
	out := []codegen.TestOther{}
	if m.one.Match.IsPinned() {
		return out // by what tells one event from all others
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
