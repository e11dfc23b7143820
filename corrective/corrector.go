package corrective

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/eventsql"
)

// A Corrector applies corrections to the events of a log: it says what the log would have to be for the release without
// corrections to make of it what the corrected one makes. It is for one goroutine at a time.
type Corrector struct {
	rules []rule
}

// A rule is a correction with its expressions compiled.
type rule struct {
	Correction
	where   *eventsql.Expr
	rewrite *eventsql.Expr
	args    []*eventsql.Expr // of Replace
	set     map[string]json.RawMessage
}

// Compile makes corrections ready for a log. The caller closes the Corrector.
func (c Corrections) Compile(ctx context.Context) (out *Corrector, err error) {
	out = &Corrector{}
	defer func() {
		if err != nil {
			out.Close()
		}
	}()
	for _, one := range c.List {
		r := rule{Correction: one}
		compile := eventsql.CompileForClients
		if one.Match.Where != "" && one.Match.IsPinned() {
			compile = eventsql.Compile
		}
		if one.Match.Where != "" {
			if r.where, err = compile(ctx, one.Match.Where); err != nil {
				return out, err
			}
		}
		if one.Rewrite != "" {
			if r.rewrite, err = eventsql.CompileForClients(ctx, one.Rewrite); err != nil {
				return out, err
			}
		}
		for _, p := range one.Replace {
			x, err := eventsql.CompileForClients(ctx, p.Args)
			if err != nil {
				return out, err
			}
			r.args = append(r.args, x)
		}
		if one.Set != nil {
			r.set = map[string]json.RawMessage{}
			for field, value := range one.Set {
				if r.set[field], err = json.Marshal(value); err != nil {
					return out, errs.Invalidf("correction %s sets %s to what is no JSON", one.Name, field).Because(err)
				}
			}
		}
		out.rules = append(out.rules, r)
	}
	return out, nil
}

// Close releases the expressions.
func (c *Corrector) Close() {
	for _, r := range c.rules {
		for _, x := range append([]*eventsql.Expr{r.where, r.rewrite}, r.args...) {
			if x != nil {
				x.Close()
			}
		}
	}
}

// Match returns the name of the correction that counts for an event, empty for none. Two corrections that match the same
// event are errs.Invalid: which of them was meant is for a person to say.
func (c *Corrector) Match(ctx context.Context, e livestore.Event) (string, error) {
	r, err := c.match(ctx, e)
	if r == nil {
		return "", err
	}
	return r.Name, err
}

func (c *Corrector) match(ctx context.Context, e livestore.Event) (*rule, error) {
	return c.only(e, func(r *rule) (bool, error) { return r.matches(ctx, e) })
}

// matchSeen is match on a client, which sees e so: a correction that lists its events was matched before.
func (c *Corrector) matchSeen(ctx context.Context, e livestore.Event, listed string) (*rule, error) {
	return c.only(e, func(r *rule) (bool, error) {
		if r.Match.IsPinned() {
			return r.Name == listed, nil
		}
		return r.matches(ctx, e)
	})
}

// only is the one rule that matches e.
func (c *Corrector) only(e livestore.Event, matches func(*rule) (bool, error)) (*rule, error) {
	var found *rule
	for i := range c.rules {
		ok, err := matches(&c.rules[i])
		switch {
		case err != nil:
			return nil, err
		case !ok:
		case found != nil:
			return nil, errs.Invalidf("the corrections %s and %s both match event %s, %s", found.Name, c.rules[i].Name, e.Seq, e.Name).
				Hintf("narrow one of them down with where, from and to")
		default:
			found = &c.rules[i]
		}
	}
	return found, nil
}

func (r *rule) matches(ctx context.Context, e livestore.Event) (bool, error) {
	m := r.Match
	if e.Name != m.Event || livestore.SeqNum(m.From) > e.Seq.Global || m.To != 0 && e.Seq.Global > livestore.SeqNum(m.To) ||
		len(m.Clients) > 0 && !slices.Contains(m.Clients, e.ClientID) {
		return false, nil
	}
	if m.Release != "" {
		if wrote, ok := eventlog.ReleaseOf(e.SessionID); !ok || strings.HasPrefix(e.ClientID, ownClients) || !sameRelease(wrote, m.Release) {
			return false, nil
		}
	}
	if r.where == nil {
		return true, nil
	}
	return r.where.True(ctx, e)
}

// Apply returns the events that count in the place of e, without numbers of their own, and the name of the correction that
// says so. An event that none matches is returned as it is, with an empty name. Arguments that an expression does not make
// an object of are errs.Invalid.
func (c *Corrector) Apply(ctx context.Context, e livestore.Event) ([]livestore.Event, string, error) {
	r, err := c.match(ctx, e)
	if err != nil || r == nil {
		return []livestore.Event{e}, "", err
	}
	instead, err := r.make(ctx, e)
	if err != nil {
		return nil, r.Name, fmt.Errorf("correction %s: %w", r.Name, err)
	}
	return instead, r.Name, nil
}

// Make returns the events that the correction of that name makes of e, whether or not it matches e.
func (c *Corrector) Make(ctx context.Context, name string, e livestore.Event) ([]livestore.Event, error) {
	for i := range c.rules {
		if c.rules[i].Name == name {
			return c.rules[i].make(ctx, e)
		}
	}
	return nil, errs.NotFoundf("there is no correction named %s", name)
}

// Log is a log with the corrections applied to it. Events that replace one all carry its
// number.
func (c *Corrector) Log(r eventlog.Reader) eventlog.Reader { return corrected{r, c} }

type corrected struct {
	eventlog.Reader
	by *Corrector
}

func (c corrected) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for e, err := range c.Reader.Events(ctx, after) {
			made := []livestore.Event{e}
			if err == nil {
				made, _, err = c.by.Apply(ctx, e)
			}
			if err != nil {
				if !yield(e, err) {
					return
				}
				continue
			}
			for _, m := range made {
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}

func (r *rule) make(ctx context.Context, e livestore.Event) ([]livestore.Event, error) {
	if r.Skip {
		return nil, nil
	}
	if r.set != nil {
		args, ok := withFields(e.Args, r.set)
		if !ok {
			return nil, errs.Invalidf("the arguments of event %s are no object: no field of theirs can be set", e.Seq).Hintf("use rewrite")
		}
		e.Args = args
	}
	if err := lasts(e); err != nil {
		return nil, err
	}
	var err error
	switch {
	case r.set != nil:
		return []livestore.Event{e}, nil
	case r.rewrite != nil:
		if e.Args, err = r.rewrite.Object(ctx, e); err != nil {
			return nil, err
		}
		return []livestore.Event{e}, lasts(e)
	}
	var out []livestore.Event
	for i, p := range r.Replace {
		other := e
		other.Name = p.Event
		if other.Args, err = r.args[i].Object(ctx, e); err != nil {
			return nil, err
		}
		if err := lasts(other); err != nil {
			return nil, err
		}
		out = append(out, other)
	}
	return out, nil
}

// withFields puts fields in the place of those of a JSON object, or behind them: as {...args, ...set} does, whose order an app may
// keep, too. It reports whether args are an object.
func withFields(args json.RawMessage, set map[string]json.RawMessage) (json.RawMessage, bool) {
	d := json.NewDecoder(bytes.NewReader(args))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, false
	}
	var names []string
	values := map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			return nil, false
		}
		key, _ := name.(string)
		if _, twice := values[key]; !twice {
			names = append(names, key)
		}
		values[key] = value
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if _, there := values[name]; !there {
			names = append(names, name)
		}
		values[name] = set[name]
	}
	out := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			out = append(out, ',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, false
		}
		out = append(append(append(out, key...), ':'), values[name]...)
	}
	return append(out, '}'), true
}

// lasts refuses arguments with a number past JavaScript's doubles: a client keeps null in its place, and sees the number itself
// only until it has read its log again.
func lasts(e livestore.Event) error {
	n := pastDoubles(e.Args)
	if n == "" {
		return nil
	}
	return errs.Invalidf("JavaScript takes %s for Infinity, and keeps null in its place: what is made of event %s is not the same on every client", n, e.Seq).
		Hintf("skip the event, or have the correction give the field another number")
}

// pastDoubles is the first number of a JSON text that no double holds; empty for none.
func pastDoubles(text json.RawMessage) string {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return "" // the end; whether it is JSON is asked elsewhere
		}
		n, ok := token.(json.Number)
		if !ok {
			continue
		}
		if _, err := n.Float64(); errors.Is(err, strconv.ErrRange) {
			return n.String()
		}
	}
}
