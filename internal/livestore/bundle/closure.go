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
	named    map[string][]expression // objects { name: 'x', schema: … } by that name: events and client documents
	handlers map[string][]expression // object properties by key, where the key is a string
	// computed is set when an object outside functions has keys that only evaluation tells ([events.a.name]: …): what
	// stands under an event's name elsewhere need not be its materializer then.
	computed bool
}

// An expression is a piece of the app's code, and the file that it stands in.
type expression struct {
	node js.INode
	file string
}

type declaration struct {
	text string
	file string
	deps []*js.Var
}

func parseClosures(s *Script) *closures {
	c := &closures{
		decls: map[*js.Var]*declaration{}, imports: map[string]string{}, named: map[string][]expression{}, handlers: map[string][]expression{},
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
		file := ""
		for _, v := range declared(stmt) {
			file = files[string(v.Data)]
			d := c.decls[v]
			if d == nil {
				d = &declaration{file: file}
				c.decls[v] = d
			}
			d.text += jsText(stmt) + "\n"
			d.deps = append(d.deps, uses(stmt)...)
		}
		js.Walk(indexer{c, file, false}, stmt)
	}
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
type indexer struct {
	c      *closures
	file   string
	inside bool // a function
}

func (x indexer) Enter(n js.INode) js.IVisitor {
	switch n.(type) {
	case *js.FuncDecl, *js.ArrowFunc, *js.MethodDecl:
		x.inside = true
	}
	o, ok := n.(*js.ObjectExpr)
	if !ok {
		return x
	}
	name, hasSchema := "", false
	for _, p := range o.List {
		propertyName := p.Name
		if m, ok := p.Value.(*js.MethodDecl); ok {
			propertyName = &m.Name.PropertyName
		}
		if propertyName == nil {
			continue
		}
		key := propertyKey(propertyName)
		switch {
		case key == "" && propertyName.Computed != nil && !x.inside:
			x.c.computed = true
		case key == "name":
			name = stringValue(p.Value)
		case key == "schema":
			hasSchema = true
		}
		if key != "" {
			x.c.handlers[key] = append(x.c.handlers[key], expression{p.Value, x.file})
		}
	}
	if name != "" && hasSchema {
		x.c.named[name] = append(x.c.named[name], expression{o, x.file})
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

// materializer is the source of an event's materializer; a derived one belongs to its client document.
func (c *closures) materializer(e schema.Event) schema.Source {
	if e.Derived {
		return c.event(e)
	}
	if c.computed {
		return c.all
	}
	return c.source(c.handlers[e.Name])
}

func (c *closures) event(e schema.Event) schema.Source {
	if e.Derived {
		return c.source(c.named[strings.TrimSuffix(e.Name, "Set")])
	}
	return c.source(c.named[e.Name])
}

func (c *closures) source(found []expression) schema.Source {
	if len(found) == 0 {
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
	for _, e := range found {
		own = append(own, jsText(e.node))
		if e.file != "" {
			files[e.file] = true
		}
		follow(uses(e.node))
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
