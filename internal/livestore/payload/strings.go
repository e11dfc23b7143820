package payload

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// awkward are strings that have broken programs.
var awkward = []string{
	"", " ", "a", "é", "日本語 Ünïcödé 😀", "e\u0301\u200d\u202e", "O'Brien said \"no\"; -- \\", "line\nbreak\r\n\ttab", "  two  blanks  ",
	"%_*?[a]", `{"a":1}`, "[]", "null", "undefined", "0", "-1", "1e3", "NaN", "true", "__proto__", "2024-01-01T00:00:00.000Z",
	"https://example.org/a?b=c#d", "a@example.org", "123e4567-e89b-42d3-a456-426614174000",
}

// longText is a text of n UTF-16 units: words, so that what cuts at blanks is met too.
func longText(n int) string {
	const words = "lorem ipsum dolor sit amet consectetur adipiscing elit "
	return strings.Repeat(words, n/len(words)+1)[:n]
}

const (
	long    = 300
	maximal = 10_000
)

// utf16Len is a string's length as JavaScript counts it.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// cut returns the head of s with at most n UTF-16 units.
func cut(s string, n int) string {
	for i, r := range s {
		n -= max(utf16.RuneLen(r), 1)
		if n < 0 {
			return s[:i]
		}
	}
	return s
}

// fit returns a string near s that c admits, the same one for the same s.
func (c limits) fit(s string) (string, bool) {
	if c.impossible {
		return "", false
	}
	if c.admits(s) {
		return s, true
	}
	if len(c.patterns) > 0 {
		h := fnv.New64a()
		h.Write([]byte(s))
		rng := rand.New(rand.NewPCG(h.Sum64(), 1))
		for _, size := range []int{1, 0, 3, 8} {
			for range 12 {
				if t := c.patterns[0].make(rng, size); c.admits(t) {
					return t, true
				}
			}
		}
		return "", false
	}
	body := s
	if c.trimmed {
		body = strings.TrimFunc(body, unicode.IsSpace)
	}
	for _, shape := range []func(string) string{same, strings.ToLower, strings.ToUpper, upperFirst, lowerFirst} {
		t := shape(body)
		room := c.maxLen - utf16Len(c.prefix) - utf16Len(c.suffix) - utf16Len(c.includes)
		if room < 0 {
			return "", false
		}
		t = c.prefix + cut(t, room) + c.includes
		if short := c.minLen - utf16Len(t) - utf16Len(c.suffix); short > 0 {
			t += strings.Repeat(shape("x"), short)
		}
		if t += c.suffix; c.admits(t) {
			return t, true
		}
	}
	return "", false
}

func same(s string) string { return s }

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}

func (c limits) admits(s string) bool {
	n := utf16Len(s)
	if c.trims {
		n = utf16Len(strings.TrimFunc(s, unicode.IsSpace))
	}
	return n >= c.minLen && n <= c.maxLen && strings.HasPrefix(s, c.prefix) && strings.HasSuffix(s, c.suffix) &&
		strings.Contains(s, c.includes) && (!c.trimmed || strings.TrimFunc(s, unicode.IsSpace) == s) &&
		!slices.ContainsFunc(c.patterns, func(p pattern) bool { return !p.re.MatchString(s) }) &&
		!slices.ContainsFunc(c.cased, func(kind string) bool { return !hasCase(s, kind) })
}

func hasCase(s, kind string) bool {
	switch kind {
	case "Lowercased":
		return strings.ToLower(s) == s
	case "Uppercased":
		return strings.ToUpper(s) == s
	case "Capitalized":
		return upperFirst(s) == s
	}
	return lowerFirst(s) == s
}

// texts are the strings to try in place of a base value.
func (g *Generator) texts(c limits, level level) []string {
	var try []string
	if level == plain {
		try = []string{"", "a b"}
	} else {
		try = slices.Concat(awkward, []string{longText(long)})
		lengths := []int{c.minLen, c.minLen + 1}
		if c.maxLen < unbounded {
			lengths = append(lengths, c.maxLen-1, c.maxLen)
		} else {
			lengths = append(lengths, maximal)
		}
		for _, f := range g.hints.Numbers {
			if n := int(f); float64(n) == f && n > 0 && n <= maximal {
				lengths = append(lengths, n-1, n, n+1)
			}
		}
		for _, n := range lengths {
			if n = min(n, 2*maximal); n > 0 {
				try = append(try, longText(n), strings.Repeat("x", n))
			}
		}
		try = append(try, g.hints.Strings...)
	}
	var out []string
	for _, s := range try {
		if t, ok := c.fit(s); ok && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// trim keeps what is worth trying, in a fixed order.
func (h Hints) trim() Hints {
	const most = 24
	var out Hints
	for _, f := range h.Numbers {
		if f == f && len(out.Numbers) < most && !slices.Contains(out.Numbers, f) {
			out.Numbers = append(out.Numbers, f)
		}
	}
	for _, s := range h.Strings {
		if len(s) <= 80 && len(out.Strings) < most && !slices.Contains(out.Strings, s) {
			out.Strings = append(out.Strings, s)
		}
	}
	return out
}
