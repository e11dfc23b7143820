// Package discover finds LiveStore in an app's files: which packages depend on it, which modules make a schema,
// which adapters are imported, which client logs lie around. It reads text and runs nothing, so that it works
// before anything is installed; what it finds is a proposal that `headgate init` writes and a person checks.
package discover

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"headgate/internal/errs"
)

// Limits of one look: files beyond them are not worth reading for what is searched here.
const (
	maxSource = 2 << 20 // bytes of a source file; larger ones are generated
	maxFiles  = 50_000  // source files
)

// An App is what was found. Paths are relative to the directory that was searched, with forward slashes.
type App struct {
	Name     string // package.json's name without its scope, else the directory's
	Version  string // package.json's version, may be empty
	Packages []string
	Schemas  []Schema
	Unused   []Schema // schema modules that nothing imports, when others are imported: copies, old versions
	Hidden   []string // modules that call makeSchema but export no schema
	Adapters []string // web, node, expo, cloudflare: imported somewhere, else depended on
	Logs     []Log
}

// A Schema is a call of makeSchema whose result a module exports.
type Schema struct {
	Path    string
	Export  string
	Queries string // a module beside it that defines queries, or ""
}

// A Log is a client's event log database.
type Log struct {
	Path  string
	Store string // the directory's name, which is how the node adapter names the store
}

// Find searches dir and everything below it but dependencies and build output.
func Find(dir string) (*App, error) {
	s := search{dir: dir, modules: map[string]module{}, packages: map[string]manifest{}}
	if err := filepath.WalkDir(dir, s.visit); err != nil {
		return nil, errs.New(errs.Internal, "can't search the app's files").At("%s", dir).Because(err)
	}
	root, ok := s.packages["."]
	if !ok {
		return nil, errs.NotFoundf("there is no package.json here").At("%s", dir).
			Hintf("run headgate init in the app's directory").Then("headgate init --help")
	}
	if root.err != nil {
		return nil, errs.Invalidf("can't read package.json").At("%s", filepath.Join(dir, "package.json")).Because(root.err).
			Then("headgate init --help")
	}
	app := &App{Name: path.Base(root.Name), Version: root.Version, Logs: s.logs}
	if root.Name == "" {
		app.Name = filepath.Base(dir)
	}
	for _, p := range sortedKeys(s.packages) {
		if s.packages[p].usesLiveStore() {
			app.Packages = append(app.Packages, p)
		}
	}
	if len(app.Packages) == 0 {
		return nil, errs.NotFoundf("no package.json here depends on LiveStore").At("%s", filepath.Join(dir, "package.json")).
			Hintf("headgate manages the events of LiveStore apps; run headgate init in the app's directory, or add @livestore/livestore first").
			Then("headgate init --help")
	}
	s.schemas(app)
	app.Adapters = s.adapters()
	slices.SortFunc(app.Logs, func(a, b Log) int { return cmp.Compare(a.Path, b.Path) })
	return app, nil
}

// A search collects while it walks.
type search struct {
	dir      string
	modules  map[string]module   // by path
	packages map[string]manifest // by directory
	logs     []Log
}

// A manifest is the part of a package.json that matters here.
type manifest struct {
	Name             string            `json:"name"`
	Version          string            `json:"version"`
	Dependencies     map[string]string `json:"dependencies"`
	DevDependencies  map[string]string `json:"devDependencies"`
	PeerDependencies map[string]string `json:"peerDependencies"`
	err              error
}

func (m manifest) dependencies() []string {
	var out []string
	for _, deps := range []map[string]string{m.Dependencies, m.DevDependencies, m.PeerDependencies} {
		out = append(out, sortedKeys(deps)...)
	}
	return out
}

func (m manifest) usesLiveStore() bool {
	return slices.ContainsFunc(m.dependencies(), func(name string) bool { return strings.HasPrefix(name, "@livestore/") })
}

func (s *search) visit(file string, e fs.DirEntry, err error) error {
	if errors.Is(err, fs.ErrPermission) && file != s.dir {
		return fs.SkipDir // what can't be read is no part of the app for this user
	}
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(s.dir, file)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	name := e.Name()
	if e.IsDir() {
		switch name {
		case "node_modules", ".git", ".headgate", "dist", "build", "coverage":
			if rel != "." {
				return fs.SkipDir
			}
		}
		return nil
	}
	switch {
	case !e.Type().IsRegular():
	case strings.HasPrefix(name, "eventlog@") && strings.HasSuffix(name, ".db"):
		s.logs = append(s.logs, Log{Path: rel, Store: path.Base(path.Dir(rel))})
	case hidden(rel):
	case name == "package.json":
		s.packages[path.Dir(rel)] = readManifest(file)
	case isSource(name) && len(s.modules) < maxFiles:
		if info, err := e.Info(); err != nil || info.Size() > maxSource {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil // gone or unreadable: not part of the app for this user
		}
		s.modules[rel] = readModule(string(text))
	}
	return nil
}

func readManifest(file string) manifest {
	var m manifest
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	m.err = err
	return m
}

// hidden says whether a part of the path begins with a dot.
func hidden(rel string) bool {
	return slices.ContainsFunc(strings.Split(rel, "/"), func(part string) bool { return len(part) > 1 && part[0] == '.' })
}

// isSource says whether a file is a module of the app: no types, no tests, no stories.
func isSource(name string) bool {
	base, ext := strings.TrimSuffix(name, path.Ext(name)), path.Ext(name)
	if !slices.Contains([]string{".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs"}, ext) {
		return false
	}
	for _, suffix := range []string{".d", ".test", ".spec", ".stories", ".config"} {
		if strings.HasSuffix(base, suffix) {
			return false
		}
	}
	return true
}

// schemas fills in the schema modules: those that other modules import, or all when none is imported.
func (s *search) schemas(app *App) {
	var used, unused []Schema
	for _, p := range sortedKeys(s.modules) {
		m := s.modules[p]
		if m.callsMakeSchema && len(m.schemaExports) == 0 {
			app.Hidden = append(app.Hidden, p)
		}
		for _, export := range m.schemaExports {
			schema := Schema{Path: p, Export: export, Queries: s.queriesBeside(p)}
			if s.imported(p) {
				used = append(used, schema)
			} else {
				unused = append(unused, schema)
			}
		}
	}
	if len(used) == 0 {
		used, unused = unused, nil
	}
	app.Schemas, app.Unused = used, unused
}

// imported says whether another module imports p.
func (s *search) imported(p string) bool {
	stem := trimExt(p)
	for from, m := range s.modules {
		for _, spec := range m.imports {
			if from != p && s.matches(from, spec, stem) {
				return true
			}
		}
	}
	return false
}

// matches says whether spec, imported in the module from, can mean the module with this path without extension.
func (s *search) matches(from, spec, stem string) bool {
	index := strings.TrimSuffix(stem, "/index")
	if strings.HasPrefix(spec, ".") {
		target := path.Join(path.Dir(from), trimExt(spec))
		return target == stem || target == index
	}
	for dir, pkg := range s.packages { // a workspace's package, by name
		if pkg.Name != "" && (spec == pkg.Name || strings.HasPrefix(spec, pkg.Name+"/")) && dir != "." {
			return strings.HasPrefix(stem, dir+"/")
		}
	}
	// A path alias of tsconfig: "@/livestore/schema", "~/schema.js", "#livestore/schema". It stays in its package.
	tail := strings.TrimLeft(trimExt(spec), "@~#/")
	if tail == "" || tail == trimExt(spec) {
		return false
	}
	tails := []string{tail} // "@stores/thread/schema" may be src/stores/thread/schema,
	if _, after, ok := strings.Cut(tail, "/"); ok && strings.HasPrefix(spec, "@") && !strings.HasPrefix(spec, "@/") {
		tails = append(tails, after) // and "@app/livestore/schema" src/livestore/schema
	}
	home := s.packageOf(from)
	for _, base := range []string{home, path.Join(home, "src"), path.Join(home, "app")} {
		for _, tail := range tails {
			if target := path.Join(base, tail); target == stem || target == index {
				return true
			}
		}
	}
	return false
}

// packageOf returns the directory of the package that a module belongs to.
func (s *search) packageOf(p string) string {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if _, ok := s.packages[dir]; ok {
			return dir
		}
	}
	return "."
}

// queriesBeside returns the one module in p's directory that defines queries; where p is its directory's index, and
// there is none in it, the one beside the directory.
func (s *search) queriesBeside(p string) string {
	dir := path.Dir(p)
	for {
		var found []string
		for other, m := range s.modules {
			if m.definesQueries && path.Dir(other) == dir && other != p {
				found = append(found, other)
			}
		}
		switch {
		case len(found) == 1:
			return found[0]
		case len(found) > 1 || dir != path.Dir(p) || path.Base(trimExt(p)) != "index" || dir == ".":
			return ""
		}
		dir = path.Dir(dir)
	}
}

// adapters returns the adapters that modules import, or where none does, those that packages depend on.
func (s *search) adapters() []string {
	imported, depended := map[string]bool{}, map[string]bool{}
	for _, m := range s.modules {
		for _, spec := range m.imports {
			addAdapter(imported, spec)
		}
	}
	for _, p := range s.packages {
		for _, name := range p.dependencies() {
			addAdapter(depended, name)
		}
	}
	if len(imported) == 0 {
		imported = depended
	}
	var out []string
	for _, name := range []string{"web", "node", "expo", "cloudflare"} {
		if imported[name] {
			out = append(out, name)
		}
	}
	return out
}

func addAdapter(set map[string]bool, spec string) {
	if name, ok := strings.CutPrefix(spec, "@livestore/adapter-"); ok {
		name, _, _ = strings.Cut(name, "/")
		set[name] = true
	}
}

func trimExt(p string) string {
	for _, ext := range []string{".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs"} {
		if s, ok := strings.CutSuffix(p, ext); ok {
			return s
		}
	}
	return p
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
