package bundle

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"headgate/internal/livestore/payload"
	"headgate/internal/livestore/schema"
)

// Hints are the literals in the code that a release's materializers and events use, by event name: what generated
// payloads should come near to, because code branches there ("longer than 24"). They are read off the script, so that a
// recorded release has them too, and by file: other literals of the same files are among them.
func (s *Script) Hints(r *schema.Release) map[string]payload.Hints {
	text := s.appText()
	files := map[string][]string{}
	for _, e := range r.Events {
		files[e.Name] = append(files[e.Name], e.Source.Files...)
	}
	for _, m := range r.Materializers {
		files[m.Event] = append(files[m.Event], m.Source.Files...)
	}
	out := map[string]payload.Hints{}
	byFile := map[string]payload.Hints{}
	for event, list := range files {
		slices.Sort(list)
		var h payload.Hints
		for _, f := range slices.Compact(list) {
			if _, ok := byFile[f]; !ok {
				byFile[f] = literals(text[f])
			}
			h.Numbers = append(h.Numbers, byFile[f].Numbers...)
			h.Strings = append(h.Strings, byFile[f].Strings...)
		}
		out[event] = h
	}
	return out
}

// appText is the bundled code of each of the app's files.
func (s *Script) appText() map[string]string {
	lines := strings.Split(s.Code, "\n")
	out := map[string]*strings.Builder{}
	places := s.places()
	for i, p := range places {
		if p.file < 0 || p.file >= len(s.Modules) || p.line >= len(lines) {
			continue
		}
		line := lines[p.line]
		end := len(line)
		if i+1 < len(places) && places[i+1].line == p.line {
			end = byteOffset(line, places[i+1].col)
		}
		b := out[s.Modules[p.file]]
		if b == nil {
			b = &strings.Builder{}
			out[s.Modules[p.file]] = b
		}
		b.WriteString(line[min(byteOffset(line, p.col), end):end])
	}
	texts := map[string]string{}
	for f, b := range out {
		texts[f] = b.String()
	}
	return texts
}

// byteOffset finds a source map's column, which counts UTF-16 units.
func byteOffset(line string, col int) int {
	for i, r := range line {
		if col <= 0 {
			return i
		}
		col -= max(utf16.RuneLen(r), 1)
	}
	return len(line)
}

var (
	stringLiteral = regexp.MustCompile(`"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'|` + "`((?:[^`\\\\$]|\\\\.)*)`")
	numberLiteral = regexp.MustCompile(`(?:^|[^\w$.])(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)`)
)

func literals(text string) payload.Hints {
	var h payload.Hints
	for _, m := range stringLiteral.FindAllStringSubmatch(text, -1) {
		if s := m[1] + m[2] + m[3]; s != "" && !strings.Contains(s, `\`) && !slices.Contains(h.Strings, s) {
			h.Strings = append(h.Strings, s)
		}
	}
	for _, m := range numberLiteral.FindAllStringSubmatch(stringLiteral.ReplaceAllString(text, `""`), -1) {
		if f, err := strconv.ParseFloat(m[1], 64); err == nil && !slices.Contains(h.Numbers, f) {
			h.Numbers = append(h.Numbers, f)
		}
	}
	return h
}
