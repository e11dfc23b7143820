package codegen

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"headgate/internal/atomicfile"
	"headgate/internal/errs"
)

// A Workspace is the app's tree: where the manifest, the generated files and the recorded releases lie.
type Workspace struct {
	// Dir is the directory of headgate.yaml, absolute.
	Dir string
	// Releases is the directory of recorded releases, one directory per schema in it, absolute.
	Releases string
}

// ManifestFile is the manifest's absolute path.
func (w Workspace) ManifestFile() string {
	return filepath.Join(w.Dir, filepath.FromSlash(ManifestPath))
}

// Add gives the schema named name, whose entry module is entry (absolute), a section in m unless it has one, and
// reports whether it added it. The import style and the module of Effect are read off the app.
func (w Workspace) Add(m *Manifest, name, entry string) (bool, error) {
	if _, ok := m.Schemas[name]; ok {
		return false, nil
	}
	rel, err := filepath.Rel(w.Dir, entry)
	if err != nil || !filepath.IsLocal(rel) {
		return false, errs.Invalidf("schema %s: the entry lies outside the app, so the generated file has no place beside it", name).
			At("%s", entry)
	}
	source, err := os.ReadFile(entry)
	if err != nil {
		return false, errs.NotFoundf("can't read the entry of schema %s", name).At("%s", entry).Because(err)
	}
	effect, err := effectModule(filepath.Dir(entry))
	if err != nil {
		return false, err
	}
	s := NewSchema(filepath.ToSlash(rel), importStyle(source), effect)
	for _, other := range m.Schemas { // two schemas in one directory
		if other.File == s.File {
			s.File = path.Join(path.Dir(s.File), "headgate."+name+".generated.ts")
			break
		}
	}
	m.Schemas[name] = s
	return true, nil
}

var relativeImport = regexp.MustCompile(`(?m)\bfrom\s+['"]\.{1,2}/[^'"\n]*?(\.[cm]?[tj]sx?)?['"]`)

// importStyle is how source ends its first import of another module of the app.
func importStyle(source []byte) ImportStyle {
	m := relativeImport.FindSubmatch(source)
	switch {
	case m == nil || bytes.Contains(m[1], []byte("ts")):
		return ImportTS
	case len(m[1]) > 0:
		return ImportJS // .mjs, too: the generated file is a .ts, which a compiler calls .js
	}
	return ImportNone
}

// effectModule is the module that an app in dir can import Effect from: the app's own dependency first, then what
// node_modules has.
func effectModule(dir string) (string, error) {
	modules := []struct{ pkg, module string }{{"effect", "effect"}, {"@livestore/utils", "@livestore/utils/effect"}}
	installed := ""
	for d := dir; ; d = filepath.Dir(d) {
		var pkg struct {
			Dependencies    map[string]string `json:"dependencies"`
			DevDependencies map[string]string `json:"devDependencies"`
		}
		// A package.json that can't be read or parsed is npm's to complain about.
		if data, err := os.ReadFile(filepath.Join(d, "package.json")); err == nil && json.Unmarshal(data, &pkg) == nil {
			for _, m := range modules {
				if pkg.Dependencies[m.pkg] != "" || pkg.DevDependencies[m.pkg] != "" {
					return m.module, nil
				}
			}
		}
		for _, m := range modules {
			if _, err := os.Stat(filepath.Join(d, "node_modules", filepath.FromSlash(m.pkg), "package.json")); err == nil && installed == "" {
				installed = m.module
			}
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	if installed == "" {
		return "", errs.Invalidf("the app can import neither effect nor @livestore/utils, which the generated file needs").
			At("%s", dir).
			Hintf("add the copy that LiveStore %s uses, or install the app's packages first", LiveStoreVersion).
			Then("npm install effect@3.21.2")
	}
	return installed, nil
}

// InstalledLiveStore is the version of LiveStore that modules in dir get, or "" when it is not installed.
func InstalledLiveStore(dir string) string {
	for d := dir; ; d = filepath.Dir(d) {
		var pkg struct {
			Version string `json:"version"`
		}
		data, err := os.ReadFile(filepath.Join(d, "node_modules", "@livestore", "livestore", "package.json"))
		if err == nil && json.Unmarshal(data, &pkg) == nil {
			return pkg.Version
		}
		if d == filepath.Dir(d) {
			return ""
		}
	}
}

// Status is how a generated file on disk compares with what the manifest renders.
type Status string

const (
	Current Status = "current" // the file is what the manifest renders
	Missing Status = "missing"
	Stale   Status = "stale"   // headgate wrote it, from another manifest or as another version, or git merged it
	Edited  Status = "edited"  // headgate wrote it, and somebody changed it since
	Foreign Status = "foreign" // headgate did not write it
)

// A File is a generated file: what it should hold, and what is there.
type File struct {
	Schema string // "" for the Worker's
	Path   string // absolute
	Want   []byte
	Status Status
	Found  Found
}

// File renders the generated file of a schema and compares it with the one on disk.
func (w Workspace) File(m *Manifest, name string) (File, error) {
	want, err := Render(m, name)
	if err != nil {
		return File{}, err
	}
	return compare(File{Schema: name, Path: filepath.Join(w.Dir, filepath.FromSlash(m.Schemas[name].File)), Want: want})
}

// Files are the generated file of a schema, and the test of its corrections where it has one.
func (w Workspace) Files(m *Manifest, name string) ([]File, error) {
	f, err := w.File(m, name)
	if err != nil {
		return nil, err
	}
	files := []File{f}
	if test, ok, err := w.TestFile(m, name); err != nil {
		return nil, err
	} else if ok {
		files = append(files, test)
	}
	return files, nil
}

// compare reads what stands in the place of f.
func compare(f File) (File, error) {
	have, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		f.Status = Missing
		return f, nil
	}
	if err != nil {
		return File{}, fmt.Errorf("reading the generated file: %w", err)
	}
	f.Found = Inspect(have)
	switch {
	case strings.ReplaceAll(string(have), "\r\n", "\n") == string(f.Want):
		f.Status = Current
	case f.Found.Conflict:
		f.Status = Stale
	case !f.Found.Generated:
		f.Status = Foreign
	case f.Found.Edited:
		f.Status = Edited
	default:
		f.Status = Stale
	}
	return f, nil
}

// CheckOverwrite refuses a file that holds work that is not headgate's.
func (f File) CheckOverwrite() error {
	switch f.Status {
	case Edited:
		return errs.Refusedf("the generated file was changed by hand, writing it would lose the change").At("%s", f.Path).
			Hintf("move the change into the app's own code, then write the file with --force")
	case Foreign:
		return errs.Refusedf("a file that headgate did not generate has this name").At("%s", f.Path).
			Hintf("move it, or write over it with --force")
	}
	return nil
}

// Save writes the manifest and then the files, each whole or not at all. When it is cut short between two of them,
// the manifest is the newer one and writing again finishes it.
func (w Workspace) Save(m *Manifest, files []File) error {
	data, err := m.Bytes()
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(w.ManifestFile()); err != nil || string(have) != string(data) {
		if err := m.Save(w.ManifestFile()); err != nil {
			return err
		}
	}
	for _, f := range files {
		if f.Status == Current {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
			return fmt.Errorf("making the generated file's directory: %w", err)
		}
		if err := atomicfile.Write(f.Path, f.Want, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// CheckStrategy refuses a schema whose newest recorded releases say that LiveStore never rebuilds its state.
func (w Workspace) CheckStrategy(name string) error {
	releases, err := w.releases(name)
	if err != nil {
		return err
	}
	for _, r := range releases {
		if r.newest && r.Migrations.Strategy == "manual" {
			return errs.Refusedf("schema %s has migrations.strategy 'manual': LiveStore never rebuilds its state, so no epoch and no hook can", name).
				At("%s", r.path).
				Hintf("use the strategy 'auto'; LiveStore then makes the state anew from the event log when the tables change")
		}
	}
	return nil
}

// dependsOn reports whether a package.json of dir or above names pkg.
func dependsOn(dir, pkg string) bool {
	for d := dir; ; d = filepath.Dir(d) {
		var file struct {
			Dependencies    map[string]string `json:"dependencies"`
			DevDependencies map[string]string `json:"devDependencies"`
		}
		if data, err := os.ReadFile(filepath.Join(d, "package.json")); err == nil && json.Unmarshal(data, &file) == nil &&
			(file.Dependencies[pkg] != "" || file.DevDependencies[pkg] != "") {
			return true
		}
		if d == filepath.Dir(d) {
			return false
		}
	}
}
