package payload

import (
	"maps"
	"math"
	"slices"
	"sort"
)

// Shrink returns the simplest value near v for which fails still holds, asking at most budget times. fails must
// hold for v, and must itself see to it that a value is admitted.
func Shrink(v any, budget int, fails func(any) bool) any {
	s := &shrinker{budget: budget, fails: fails}
	for again := true; again; {
		v, again = s.pass(v, fails)
	}
	return v
}

type shrinker struct {
	budget int
	fails  func(any) bool
}

// try asks whether w still fails.
func (s *shrinker) try(w any, fails func(any) bool) bool {
	if s.budget <= 0 {
		return false
	}
	s.budget--
	return fails(w)
}

// pass makes one round over v. fails judges v in its place in the whole.
func (s *shrinker) pass(v any, fails func(any) bool) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return s.object(v, fails)
	case []any:
		return s.list(v, fails)
	case string:
		return s.text(v, fails)
	case float64:
		for _, f := range []float64{0, 1, 0.5, 2.5, math.MaxInt32 + 1, math.Trunc(v)} {
			if f == v {
				return v, false // the candidates come simplest first
			}
			if s.try(f, fails) {
				return f, true
			}
		}
	case bool:
		if v && s.try(false, fails) {
			return false, true
		}
	}
	return v, false
}

func (s *shrinker) object(v map[string]any, fails func(any) bool) (any, bool) {
	changed := false
	keys := slices.Collect(maps.Keys(v))
	sort.Strings(keys)
	for _, k := range keys {
		w := maps.Clone(v)
		delete(w, k)
		if s.try(w, fails) {
			v, changed = w, true
		}
	}
	for _, k := range keys {
		child, ok := v[k]
		if !ok {
			continue
		}
		with := func(c any) map[string]any {
			w := maps.Clone(v)
			w[k] = c
			return w
		}
		if c, smaller := s.pass(child, func(c any) bool { return fails(with(c)) }); smaller {
			v, changed = with(c), true
		}
	}
	return v, changed
}

func (s *shrinker) list(v []any, fails func(any) bool) (any, bool) {
	changed := false
	for size := len(v) / 2; size >= 1; size /= 2 {
		for i := 0; i+size <= len(v); {
			if w := slices.Delete(slices.Clone(v), i, i+size); s.try(w, fails) {
				v, changed = w, true
			} else {
				i += size
			}
		}
	}
	for i := range v {
		with := func(c any) []any {
			w := slices.Clone(v)
			w[i] = c
			return w
		}
		if c, smaller := s.pass(v[i], func(c any) bool { return fails(with(c)) }); smaller {
			v, changed = with(c), true
		}
	}
	return v, changed
}

// text shortens a string and then makes its characters plain.
func (s *shrinker) text(v string, fails func(any) bool) (any, bool) {
	r := []rune(v)
	changed := false
	for size := (len(r) + 1) / 2; size >= 1; size /= 2 {
		for i := len(r) - size; i >= 0; {
			if w := slices.Delete(slices.Clone(r), i, i+size); s.try(string(w), fails) {
				r, changed = w, true
				i = min(i, len(r)) - size
			} else {
				i -= size
			}
		}
	}
	plain := make([]rune, len(r))
	for i := range plain {
		plain[i] = 'a'
	}
	if !slices.Equal(plain, r) && s.try(string(plain), fails) {
		return string(plain), true
	}
	if len(r) <= 40 {
		for i := range r {
			w := slices.Clone(r)
			if w[i] = 'a'; r[i] != 'a' && s.try(string(w), fails) {
				r, changed = w, true
			}
		}
	}
	return string(r), changed
}
