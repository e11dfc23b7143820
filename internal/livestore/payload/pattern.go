package payload

import (
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"strings"
)

// A pattern is a JavaScript regular expression as far as Go's syntax covers it: no lookaround, no back reference.
type pattern struct {
	re   *regexp.Regexp
	tree *syntax.Regexp
}

var jsEscapes = regexp.MustCompile(`\\u([0-9a-fA-F]{4})|\\u\{([0-9a-fA-F]+)\}|\\cJ|\(\?<([A-Za-z_]\w*)>`)

// parsePattern reads a pattern; ok is false for one that Go can't express.
func parsePattern(source, flags string) (pattern, bool) {
	source = jsEscapes.ReplaceAllStringFunc(source, func(m string) string {
		switch {
		case strings.HasPrefix(m, `\u`):
			return `\x{` + strings.Trim(m[2:], "{}") + `}`
		case m == `\cJ`:
			return `\n`
		}
		return "(?P" + m[2:]
	})
	mode := ""
	for _, f := range flags {
		if strings.ContainsRune("ims", f) {
			mode += string(f)
		}
	}
	if mode != "" {
		source = "(?" + mode + ")" + source
	}
	re, err := regexp.Compile(source)
	if err != nil {
		return pattern{}, false
	}
	tree, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return pattern{}, false
	}
	return pattern{re: re, tree: tree.Simplify()}, true
}

// make returns a string that matches; what may repeat without limit repeats about size times.
func (p pattern) make(rng *rand.Rand, size int) string {
	var b strings.Builder
	var walk func(t *syntax.Regexp)
	repeat := func(t *syntax.Regexp, least int) {
		n := least
		if size > 0 {
			n += rng.IntN(size + 1)
		}
		for range n {
			walk(t)
		}
	}
	walk = func(t *syntax.Regexp) {
		switch t.Op {
		case syntax.OpLiteral:
			b.WriteString(string(t.Rune))
		case syntax.OpCharClass:
			b.WriteRune(pick(t.Rune, rng))
		case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
			b.WriteByte(letters[rng.IntN(len(letters))])
		case syntax.OpStar:
			repeat(t.Sub[0], 0)
		case syntax.OpPlus:
			repeat(t.Sub[0], 1)
		case syntax.OpQuest:
			if size > 0 && rng.IntN(2) == 0 {
				walk(t.Sub[0])
			}
		case syntax.OpRepeat:
			for range t.Min {
				walk(t.Sub[0])
			}
		case syntax.OpAlternate:
			walk(t.Sub[rng.IntN(len(t.Sub))])
		default:
			for _, s := range t.Sub {
				walk(s)
			}
		}
	}
	walk(p.tree)
	return b.String()
}

const letters = "abcdefghijklmnopqrstuvwxyz0123456789"

// pick chooses a rune of a class, given as ranges: a letter or digit where it can.
func pick(ranges []rune, rng *rand.Rand) rune {
	in := func(r rune) bool {
		for i := 0; i+1 < len(ranges); i += 2 {
			if r >= ranges[i] && r <= ranges[i+1] {
				return true
			}
		}
		return false
	}
	var readable []rune
	for r := rune(0x20); r < 0x7f; r++ {
		if in(r) && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			readable = append(readable, r)
		}
	}
	if len(readable) > 0 {
		return readable[rng.IntN(len(readable))]
	}
	if len(ranges) < 2 {
		return 'a'
	}
	return ranges[0] + rune(rng.IntN(int(min(ranges[1]-ranges[0], 255))+1))
}
