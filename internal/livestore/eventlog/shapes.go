package eventlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"headgate/internal/livestore"
)

// Limits of what a [Shaper] keeps.
const (
	MaxShapes   = 40 // per event name; what is beyond is counted
	maxShapeKey = 60 // an object with more keys is taken for a map
	maxShapeAt  = 8  // levels
)

// A Shape is a form that the arguments of an event name had: keys and JSON types, no values. Lengths don't matter here.
type Shape struct {
	Form        string // {"id":string,"list":string,"tags":[string]}
	Events      int64
	First, Last livestore.ClientSeq
}

// EventShapes are the shapes of one event name, the most frequent first.
type EventShapes struct {
	Name   string
	Events int64
	Shapes []Shape
	// Other counts events whose shape came after MaxShapes others.
	Other int64
}

// A Shaper infers what shapes the events of a log have, with memory that does not depend on the log's length.
type Shaper struct {
	names map[string]*EventShapes
	index map[string]map[string]int
}

// NewShaper returns an empty Shaper.
func NewShaper() *Shaper {
	return &Shaper{names: map[string]*EventShapes{}, index: map[string]map[string]int{}}
}

// Add counts an event.
func (s *Shaper) Add(e livestore.Event) {
	n := s.names[e.Name]
	if n == nil {
		if len(s.names) >= MaxNames {
			return
		}
		n = &EventShapes{Name: e.Name}
		s.names[e.Name], s.index[e.Name] = n, map[string]int{}
	}
	n.Events++
	form := shapeOf(e.Args)
	i, ok := s.index[e.Name][form]
	if !ok {
		if len(n.Shapes) >= MaxShapes {
			n.Other++
			return
		}
		i = len(n.Shapes)
		n.Shapes = append(n.Shapes, Shape{Form: form, First: e.Seq})
		s.index[e.Name][form] = i
	}
	n.Shapes[i].Events++
	n.Shapes[i].Last = e.Seq
}

// Events returns the shapes by event name.
func (s *Shaper) Events() []EventShapes {
	out := make([]EventShapes, 0, len(s.names))
	for _, n := range s.names {
		e := *n
		e.Shapes = slices.Clone(n.Shapes)
		slices.SortStableFunc(e.Shapes, func(a, b Shape) int { return int(b.Events - a.Events) })
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b EventShapes) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func shapeOf(args json.RawMessage) string {
	d := json.NewDecoder(bytes.NewReader(args))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return "malformed"
	}
	var b strings.Builder
	writeShape(&b, v, 0)
	return b.String()
}

func writeShape(b *strings.Builder, v any, level int) {
	if level > maxShapeAt {
		b.WriteString("…")
		return
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString("boolean")
	case string:
		b.WriteString("string")
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			b.WriteString("number")
		} else {
			b.WriteString("integer")
		}
	case []any:
		var kinds []string
		for _, x := range v {
			var one strings.Builder
			writeShape(&one, x, level+1)
			if !slices.Contains(kinds, one.String()) && len(kinds) < 8 {
				kinds = append(kinds, one.String())
			}
		}
		slices.Sort(kinds)
		b.WriteString("[" + strings.Join(kinds, "|") + "]")
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		if len(keys) > maxShapeKey {
			fmt.Fprintf(b, "{more than %d keys}", maxShapeKey)
			return
		}
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			name, err := json.Marshal(k)
			if err != nil {
				name = []byte(`"?"`)
			}
			b.Write(name)
			b.WriteByte(':')
			writeShape(b, v[k], level+1)
		}
		b.WriteByte('}')
	}
}
