package discover

import (
	"regexp"
	"slices"
	"strings"
)

// A module is what the search needs to know of one source file.
type module struct {
	imports         []string // specifiers, of import, export from, import() and require()
	callsMakeSchema bool     // LiveStore's makeSchema
	schemaExports   []string // names under which a schema is exported
	definesQueries  bool     // calls LiveStore's queryDb
}

// readModule looks for imports and calls in code, not in comments and strings.
func readModule(source string) module {
	code, bare := strip(source)
	m := module{}
	for _, match := range regexp.MustCompile(`(?:\bfrom|\bimport|\bimport\s*\(|\brequire\s*\()\s*(?:"([^"\n]*)"|'([^'\n]*)')`).FindAllStringSubmatch(code, -1) {
		m.imports = append(m.imports, match[1]+match[2])
	}
	if !slices.ContainsFunc(m.imports, func(spec string) bool { return strings.HasPrefix(spec, "@livestore/") }) {
		return m
	}
	if local := localName(code, "queryDb"); local != "" {
		m.definesQueries = regexp.MustCompile(local + `\s*\(`).MatchString(bare)
	}
	local := localName(code, "makeSchema")
	if local == "" {
		return m
	}
	call := local + `\s*(?:<[^(]*>)?\s*\(`
	first := regexp.MustCompile(call).FindStringIndex(bare)
	m.callsMakeSchema = first != nil
	if first != nil && regexp.MustCompile(`(\breturn|=>)\s*$`).MatchString(bare[:first[0]]) {
		// A function makes the schema: const schema = createSchema(…) is meant then.
		names := regexp.MustCompile(`(?m)^(?:export\s+)?(?:default\s+)?(?:function\s+([\w$]+)|const\s+([\w$]+)\s*=\s*(?:function\b|\([^=]*=>|[\w$]+\s*=>))`).FindAllStringSubmatch(bare[:first[0]], -1)
		if n := len(names); n > 0 {
			call = `(?:` + call + `|\b` + regexp.QuoteMeta(names[n-1][1]+names[n-1][2]) + `\s*\()`
		}
	}
	if regexp.MustCompile(`\bexport\s+default\s+` + call).MatchString(bare) {
		m.schemaExports = append(m.schemaExports, "default")
	}
	assigned := regexp.MustCompile(`(\bexport\s+)?\b(?:const|let|var)\s+([\w$]+)\s*(?::[^=;]*)?=\s*(?:await\s+)?` + call)
	for _, match := range assigned.FindAllStringSubmatch(bare, -1) {
		if name := match[2]; match[1] != "" {
			m.schemaExports = append(m.schemaExports, name)
		} else if exported := exportedAs(bare, name); exported != "" {
			m.schemaExports = append(m.schemaExports, exported)
		}
	}
	return m
}

// localName returns an expression for what a function of LiveStore is called in this module, or "" when it is not
// imported: makeSchema, an alias of it, or a member of a namespace import.
func localName(code, function string) string {
	named := regexp.MustCompile(`\bimport\s*(?:[\w$]+\s*,\s*)?\{([^}]*)\}\s*from\s*["']@livestore/`)
	for _, match := range named.FindAllStringSubmatch(code, -1) {
		if m := regexp.MustCompile(`(?:^|[,\s])` + function + `(?:\s+as\s+([\w$]+))?\s*(?:,|$)`).FindStringSubmatch(match[1]); m != nil {
			if m[1] != "" {
				return `\b` + regexp.QuoteMeta(m[1])
			}
			return `\b` + function
		}
	}
	if m := regexp.MustCompile(`\bimport\s*\*\s*as\s+([\w$]+)\s+from\s*["']@livestore/`).FindStringSubmatch(code); m != nil {
		return `\b` + regexp.QuoteMeta(m[1]) + `\s*\.\s*` + function
	}
	return ""
}

// exportedAs returns the name under which a separate export statement exports a variable.
func exportedAs(bare, name string) string {
	quoted := regexp.QuoteMeta(name)
	if m := regexp.MustCompile(`\bexport\s*\{[^}]*?(?:^|[{,\s])` + quoted + `(?:\s+as\s+([\w$]+))?\s*[,}]`).FindStringSubmatch(bare); m != nil {
		if m[1] != "" {
			return m[1]
		}
		return name
	}
	if regexp.MustCompile(`\bexport\s+default\s+` + quoted + `\b`).MatchString(bare) {
		return "default"
	}
	return ""
}

// strip returns source without comments, and the same with what is inside strings blanked as well. It is a scanner
// for finding things, not a parser: a regular expression that it takes for a division costs the rest of its line.
func strip(source string) (code, bare string) {
	c, b := []byte(source), []byte(source)
	blank := func(buf []byte, from, to int) {
		for i := from; i < to && i < len(buf); i++ {
			if buf[i] != '\n' {
				buf[i] = ' '
			}
		}
	}
	var templates []int // depth of braces at which each open ${ ends
	depth, last := 0, byte(0)
	for i := 0; i < len(source); {
		ch := source[i]
		switch {
		case strings.HasPrefix(source[i:], "//"):
			end := i + len(firstLine(source[i:]))
			blank(c, i, end)
			blank(b, i, end)
			i = end
			continue
		case strings.HasPrefix(source[i:], "/*"):
			end := len(source)
			if j := strings.Index(source[i+2:], "*/"); j >= 0 {
				end = i + 2 + j + 2
			}
			blank(c, i, end)
			blank(b, i, end)
			i = end
			continue
		case ch == '/' && strings.IndexByte("(,=:[!&|?{};\n", last) >= 0 && last != 0:
			end := closing(source, i, '/')
			blank(c, i, end)
			blank(b, i, end)
			i, last = end, 'x'
			continue
		case ch == '"' || ch == '\'':
			end := closing(source, i, ch)
			blank(b, i+1, end-1)
			i, last = end, ch
			continue
		case ch == '`' || ch == '}' && len(templates) > 0 && templates[len(templates)-1] == depth:
			if ch == '}' {
				templates = templates[:len(templates)-1]
			}
			end, open := template(source, i+1)
			blank(b, i+1, end)
			if open {
				templates = append(templates, depth)
			}
			i, last = end, '`'
			continue
		case ch == '{':
			depth++
		case ch == '}':
			depth--
		}
		if ch != ' ' && ch != '\t' && ch != '\r' {
			last = ch
		}
		i++
	}
	return string(c), string(b)
}

// closing returns the index after the quote that ends what begins at i, or the end of the line.
func closing(source string, i int, quote byte) int {
	for j := i + 1; j < len(source); j++ {
		switch source[j] {
		case '\\':
			j++
		case '\n':
			return j
		case quote:
			return j + 1
		}
	}
	return len(source)
}

// template returns the index after the part of a template literal that begins at i, and whether it ended at a ${.
func template(source string, i int) (end int, open bool) {
	for ; i < len(source); i++ {
		switch {
		case source[i] == '\\':
			i++
		case source[i] == '`':
			return i + 1, false
		case strings.HasPrefix(source[i:], "${"):
			return i + 2, true
		}
	}
	return len(source), false
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
