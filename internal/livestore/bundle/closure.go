package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"sort"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js"

	"headgate/internal/livestore/schema"
)

// closures answers which app code a materializer or an event definition uses. It works on the app's own modules,
// bundled without packages and with declarations at the top level (Script.Own): from the expression that is found
// under the event's name it follows every identifier to its top-level declaration, and so on. Where it finds no such
// expression, because names are computed or functions are made elsewhere, it falls back to whole modules, which is
// coarser but never misses a change.
type closures struct {
	decls    map[*js.Var]*declaration
	imports  map[string]string // what a package's export is called here -> which one it is
	all      schema.Source
	events   map[string][]js.INode // event definitions by event name
	handlers map[string][]js.INode // object properties by key, where the key is a string
}

type declaration struct {
	text string
	file string
	deps []*js.Var
}

func parseClosures(s *Script) *closures {
	c := &closures{
		decls: map[*js.Var]*declaration{}, imports: map[string]string{}, events: map[string][]js.INode{}, handlers: map[string][]js.INode{},
		all: schema.Source{Digest: digest(s.Own), Scope: "modules", Files: s.Modules},
	}
	ast, err := js.Parse(parse.NewInputString(s.Own), js.Options{})
	if err != nil {
		return c // everything falls back to whole modules
	}
	files := fileOfNames(s)
	for _, stmt := range ast.List {
		if imp, ok := stmt.(*js.ImportStmt); ok {
			c.addImport(imp)
			continue
		}
		for _, v := range declared(stmt) {
			d := c.decls[v]
			if d == nil {
				d = &declaration{file: files[string(v.Data)]}
				c.decls[v] = d
			}
			d.text += jsText(stmt) + "\n"
			d.deps = append(d.deps, uses(stmt)...)
		}
	}
	js.Walk(indexer{c}, ast)
	return c
}

// addImport notes what a package's names stand for. The parser keeps no variable for an import, so they are known by name.
func (c *closures) addImport(imp *js.ImportStmt) {
	if len(imp.Default) > 0 {
		c.imports[string(imp.Default)] = "default of " + string(imp.Module)
	}
	for _, a := range imp.List {
		name := a.Name
		if len(name) == 0 {
			name = a.Binding
		}
		c.imports[string(a.Binding)] = string(name) + " of " + string(imp.Module)
	}
}

// declared are the top-level variables that a statement declares.
func declared(stmt js.IStmt) []*js.Var {
	var out []*js.Var
	var binding func(b js.IBinding)
	binding = func(b js.IBinding) {
		switch b := b.(type) {
		case *js.Var:
			out = append(out, root(b))
		case *js.BindingArray:
			for _, e := range b.List {
				binding(e.Binding)
			}
			binding(b.Rest)
		case *js.BindingObject:
			for _, e := range b.List {
				binding(e.Value.Binding)
			}
			if b.Rest != nil {
				out = append(out, root(b.Rest))
			}
		}
	}
	switch s := stmt.(type) {
	case *js.VarDecl:
		for _, e := range s.List {
			binding(e.Binding)
		}
	case *js.FuncDecl:
		if s.Name != nil {
			out = append(out, root(s.Name))
		}
	case *js.ClassDecl:
		if s.Name != nil {
			out = append(out, root(s.Name))
		}
	}
	return out
}

func root(v *js.Var) *js.Var {
	for v.Link != nil {
		v = v.Link
	}
	return v
}

type varVisitor struct{ found map[*js.Var]bool }

func (v varVisitor) Enter(n js.INode) js.IVisitor {
	if x, ok := n.(*js.Var); ok {
		v.found[root(x)] = true
	}
	return v
}

func (v varVisitor) Exit(js.INode) {}

func uses(n js.INode) []*js.Var {
	v := varVisitor{map[*js.Var]bool{}}
	js.Walk(v, n)
	out := make([]*js.Var, 0, len(v.found))
	for x := range v.found {
		out = append(out, x)
	}
	sort.Slice(out, func(i, j int) bool { return string(out[i].Data) < string(out[j].Data) })
	return out
}

// indexer notes the expressions that belong to an event name: `'v1.X': fn` and `{ name: 'v1.X', schema: … }`.
type indexer struct{ c *closures }

func (x indexer) Enter(n js.INode) js.IVisitor {
	o, ok := n.(*js.ObjectExpr)
	if !ok {
		return x
	}
	name, hasSchema := "", false
	for _, p := range o.List {
		if p.Name == nil {
			continue
		}
		key := propertyKey(p.Name)
		switch {
		case key == "name":
			name = stringValue(p.Value)
		case key == "schema":
			hasSchema = true
		}
		if key != "" {
			x.c.handlers[key] = append(x.c.handlers[key], p.Value)
		}
	}
	if name != "" && hasSchema {
		x.c.events[name] = append(x.c.events[name], o)
	}
	return x
}

func (x indexer) Exit(js.INode) {}

func propertyKey(p *js.PropertyName) string {
	if p.Computed != nil {
		return stringValue(p.Computed)
	}
	s := string(p.Literal.Data)
	if p.Literal.TokenType == js.StringToken {
		return unquote(s)
	}
	return s
}

func stringValue(e js.IExpr) string {
	if l, ok := e.(*js.LiteralExpr); ok && l.TokenType == js.StringToken {
		return unquote(string(l.Data))
	}
	return ""
}

func unquote(s string) string {
	if len(s) >= 2 {
		s = s[1 : len(s)-1]
	}
	return strings.NewReplacer(`\'`, `'`, `\"`, `"`, `\\`, `\`).Replace(s)
}

func (c *closures) materializer(event string) schema.Source { return c.source(c.handlers[event]) }
func (c *closures) event(name string) schema.Source         { return c.source(c.events[name]) }

func (c *closures) source(nodes []js.INode) schema.Source {
	if len(nodes) == 0 {
		return c.all
	}
	var texts []string
	files := map[string]bool{}
	seen := map[*js.Var]bool{}
	var follow func(vars []*js.Var)
	follow = func(vars []*js.Var) {
		for _, v := range vars {
			if seen[v] {
				continue
			}
			seen[v] = true
			d := c.decls[v]
			if d == nil {
				if from, ok := c.imports[string(v.Data)]; ok {
					texts = append(texts, string(v.Data)+" is "+from+"\n")
				}
				continue
			}
			texts = append(texts, d.text)
			if d.file != "" {
				files[d.file] = true
			}
			follow(d.deps)
		}
	}
	var own []string
	for _, n := range nodes {
		own = append(own, jsText(n))
		follow(uses(n))
	}
	sort.Strings(own)
	sort.Strings(texts)
	out := schema.Source{Digest: digest(strings.Join(own, "\n") + "\n" + strings.Join(texts, "\n")), Scope: "closure", Files: []string{}}
	for f := range files {
		out.Files = append(out.Files, f)
	}
	sort.Strings(out.Files)
	return out
}

func jsText(n js.INode) string {
	var b strings.Builder
	n.JS(&b)
	return b.String()
}

// fileOfNames finds which of the app's files declares each top-level name: in Own every top-level statement begins
// at the start of a line, below a comment that names its file.
func fileOfNames(s *Script) map[string]string {
	out := map[string]string{}
	file := ""
	for line := range strings.Lines(s.Own) {
		line = strings.TrimRight(line, "\n")
		if rest, ok := strings.CutPrefix(line, "// "); ok {
			if i := sort.SearchStrings(s.Modules, filepath.ToSlash(rest)); i < len(s.Modules) && s.Modules[i] == filepath.ToSlash(rest) {
				file = s.Modules[i]
			}
			continue
		}
		for _, kw := range []string{"var ", "let ", "const ", "function ", "function* ", "async function ", "async function* ", "class "} {
			if rest, ok := strings.CutPrefix(line, kw); ok {
				for _, name := range topNames(rest) {
					out[name] = file
				}
			}
		}
	}
	return out
}

// topNames are the names at the head of a declaration: one identifier, or those of a pattern.
func topNames(rest string) []string {
	isName := func(r rune) bool {
		return r == '_' || r == '$' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 127
	}
	if strings.HasPrefix(rest, "{") || strings.HasPrefix(rest, "[") {
		end := strings.IndexAny(rest, "}]")
		if end < 0 {
			return nil
		}
		return strings.FieldsFunc(rest[:end], func(r rune) bool { return !isName(r) })
	}
	n := strings.IndexFunc(rest, func(r rune) bool { return !isName(r) })
	if n < 0 {
		n = len(rest)
	}
	return []string{rest[:n]}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + hex.EncodeToString(sum[:])
}
