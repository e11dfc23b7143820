package payload

import (
	"math"
	"slices"
	"strconv"
	"time"

	"headgate/internal/livestore/schema"
)

const maxSafe = 1<<53 - 1

func numberText(v any) string {
	f, _ := v.(float64)
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func (c limits) admitsNumber(f float64) bool {
	if c.integer && (f != math.Trunc(f) || math.Abs(f) > maxSafe) {
		return false
	}
	if c.multipleOf != 0 && (math.Abs(f) > maxSafe || math.Mod(f, c.multipleOf) != 0) {
		return false
	}
	return f > c.min && f < c.max || f == c.min && !c.exMin || f == c.max && !c.exMax
}

// nearest are numbers that c may admit, beginning with those that come nearest to standing for i.
func (c limits) nearest(i float64) []float64 {
	out := []float64{i}
	step := 1.0
	if c.multipleOf != 0 {
		step = math.Abs(c.multipleOf)
		out = append(out, i*step, -i*step)
	}
	if !math.IsInf(c.min, 0) {
		low := math.Ceil(c.min/step) * step
		out = append(out, low+i*step, low+(i-1)*step, low+step, low, c.min)
	}
	if !math.IsInf(c.max, 0) {
		high := math.Floor(c.max/step) * step
		out = append(out, high-i*step, high-(i-1)*step, high-step, high, c.max)
	}
	if !math.IsInf(c.min, 0) && !math.IsInf(c.max, 0) {
		out = append(out, c.min+(c.max-c.min)/(i+1))
	}
	return out
}

func (g *Generator) numberBase(n node, p place) (any, bool) {
	if n.t.Kind == schema.Number && (n.codec == "DateFromNumber" || n.codec == "DateTimeUtcFromNumber") {
		return float64(time.Date(2024, 1, p.entity, 9, 30, 0, 0, time.UTC).UnixMilli()), true
	}
	for _, f := range n.c.nearest(float64(p.entity)) {
		if n.c.admitsNumber(f) {
			return f, true
		}
	}
	g.note(p, "several conditions at once")
	return nil, false
}

// numbers are the numbers to try in place of a base value.
func (g *Generator) numbers(c limits, level level) []any {
	try := []float64{0, 1, -1, 2.5}
	if level == edge {
		try = []float64{
			0, math.Copysign(0, -1), 1, -1, 0.5, 2.5, -2.5, 0.1, 1e-7, 100, math.MaxInt32, math.MaxInt32 + 1, math.MinInt32, math.MinInt32 - 1,
			maxSafe, -maxSafe, maxSafe + 1, 1e15 + 0.5, 1e21, math.MaxFloat64, 5e-324,
		}
		for _, b := range []float64{c.min, c.max} {
			if !math.IsInf(b, 0) {
				try = append(try, b-1, b-0.5, b, b+0.5, b+1)
				if c.multipleOf != 0 {
					try = append(try, math.Ceil(b/c.multipleOf)*c.multipleOf, math.Floor(b/c.multipleOf)*c.multipleOf)
				}
			}
		}
		if c.multipleOf != 0 {
			try = append(try, c.multipleOf, -c.multipleOf, c.multipleOf*1000)
		}
		for _, h := range g.hints.Numbers {
			try = append(try, h-1, h, h+1)
		}
	}
	var out []any
	for _, f := range try {
		if c.admitsNumber(f) && !slices.ContainsFunc(out, func(v any) bool { return sameNumber(v, f) }) {
			out = append(out, f)
		}
	}
	return out
}

// sameNumber tells 0 and -0 apart.
func sameNumber(v any, f float64) bool {
	g, ok := v.(float64)
	return ok && math.Float64bits(g) == math.Float64bits(f)
}

// dateNumbers are the milliseconds to try for a date. None is beyond what a date can hold: decoders admit that, but no
// encoder writes it.
func dateNumbers() []any {
	return []any{0.0, -1.0, -86400000.5, 951782400000.0, 2147483648000.0, 253402300799999.0, 8640000000000000.0, -8640000000000000.0}
}
