package planner

import (
	"fmt"

	"headgate/internal/livestore/schema"
)

// tuples compares arrays and tuples. A tuple without rest refuses further elements.
func (d *typeDiff) tuples(at place, a, b schema.Head) {
	o, n := a.Type, b.Type
	switch {
	case isArray(o) && isArray(n):
		items := at.suffix("[*]")
		items.item = true
		d.types(items, o.Rest[0], n.Rest[0])
		return
	case isArray(o):
		d.arrayToTuple(at, o, n)
		return
	case isArray(n):
		d.tupleToArray(at, o, n)
		return
	}
	for i := range min(len(o.Elements), len(n.Elements)) {
		d.element(at.suffix(fmt.Sprintf("[%d]", i)), o.Elements[i], n.Elements[i])
	}
	for i := len(o.Elements); i < len(n.Elements); i++ {
		e := n.Elements[i]
		c := Change{Kind: ElementAdded, New: e.Type, Required: !e.Optional, ReplayBreaks: !e.Optional, FleetBreaks: true, Note: describe(e.Type)}
		if len(o.Rest) > 0 {
			replay, fleet := d.breaks(o.Rest[0], e.Type)
			c.ReplayBreaks, c.FleetBreaks = c.ReplayBreaks || replay, fleet
		}
		d.add(at.suffix(fmt.Sprintf("[%d]", i)), c)
	}
	for i := len(n.Elements); i < len(o.Elements); i++ {
		e := o.Elements[i]
		c := Change{Kind: ElementRemoved, Old: e.Type, Required: !e.Optional, ReplayBreaks: true, FleetBreaks: !e.Optional, Note: describe(e.Type)}
		if len(n.Rest) > 0 {
			replay, fleet := d.breaks(e.Type, n.Rest[0])
			c.ReplayBreaks, c.FleetBreaks = replay, c.FleetBreaks || fleet
		}
		d.add(at.suffix(fmt.Sprintf("[%d]", i)), c)
	}
	for i := range max(len(o.Rest), len(n.Rest)) {
		rest := at.suffix(fmt.Sprintf("[%d…]", max(len(o.Elements), len(n.Elements))+i))
		switch {
		case i >= len(o.Rest):
			d.add(rest, Change{Kind: ElementAdded, New: n.Rest[i], FleetBreaks: true, ReplayBreaks: i > 0, Note: "any number of " + describe(n.Rest[i])})
		case i >= len(n.Rest):
			d.add(rest, Change{Kind: ElementRemoved, Old: o.Rest[i], ReplayBreaks: true, FleetBreaks: i > 0, Note: "any number of " + describe(o.Rest[i])})
		default:
			d.types(rest, o.Rest[i], n.Rest[i])
		}
	}
}

func (d *typeDiff) element(at place, e, f schema.Element) {
	switch {
	case e.Optional && !f.Optional:
		d.add(at, Change{Kind: FieldRequired, Old: e.Type, New: f.Type, Required: true})
	case !e.Optional && f.Optional:
		d.add(at, Change{Kind: FieldOptional, Old: e.Type, New: f.Type})
	}
	at.ignoreUndefined = e.Optional || f.Optional
	d.types(at, e.Type, f.Type)
}

// arrayToTuple: with a rest of the same type (a non-empty array) only the number of items is narrower.
func (d *typeDiff) arrayToTuple(at place, o, n *schema.Type) {
	item, fleet := o.Rest[0], false
	uniform := len(n.Rest) == 1
	for _, e := range n.Elements {
		_, f := d.breaks(item, e.Type)
		fleet = fleet || f
		uniform = uniform && len(d.try(item, e.Type)) == 0
	}
	for _, r := range n.Rest {
		_, f := d.breaks(item, r)
		fleet = fleet || f
		uniform = uniform && len(d.try(item, r)) == 0
	}
	if uniform {
		d.add(at, Change{Kind: ItemsTightened, Old: o, New: n, Note: fmt.Sprintf("at least 0 -> at least %d", required(n))})
		return
	}
	d.add(at, Change{Kind: ArrayToTuple, Old: o, New: n, ReplayBreaks: true, FleetBreaks: fleet, Note: describe(o) + " -> " + describe(n)})
}

func (d *typeDiff) tupleToArray(at place, o, n *schema.Type) {
	item, replay := n.Rest[0], false
	uniform := len(o.Rest) == 1
	for _, e := range o.Elements {
		r, _ := d.breaks(e.Type, item)
		replay = replay || r
		uniform = uniform && len(d.try(e.Type, item)) == 0
	}
	for _, t := range o.Rest {
		r, _ := d.breaks(t, item)
		replay = replay || r
		uniform = uniform && len(d.try(t, item)) == 0
	}
	if uniform {
		d.add(at, Change{Kind: ItemsLoosened, Old: o, New: n, Note: fmt.Sprintf("at least %d -> at least 0", required(o))})
		return
	}
	d.add(at, Change{Kind: TupleToArray, Old: o, New: n, ReplayBreaks: replay, FleetBreaks: true, Note: describe(o) + " -> " + describe(n)})
}

func required(t *schema.Type) int {
	n := 0
	for _, e := range t.Elements {
		if !e.Optional {
			n++
		}
	}
	return n
}
