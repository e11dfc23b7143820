package codegen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"headgate/internal/atomicfile"
	"headgate/internal/errs"
)

// ManifestVersion is the version of the manifest's form. A reader refuses another one.
const ManifestVersion = 1

// MaxEpoch bounds the epoch, so that a typing error can't use up the numbers.
const MaxEpoch = 1_000_000

// A Manifest is headgate/generated.yaml: everything that the generated files depend on.
type Manifest struct {
	Version int `yaml:"version"`
	// Schemas is by the schema's name in headgate.yaml.
	Schemas map[string]Schema `yaml:"schemas"`
	// Worker is the wrapper of the app's sync backend, nil where the app has none.
	Worker *Worker `yaml:"worker,omitempty"`
}

// A Schema is what one generated file is rendered from.
type Schema struct {
	// File is the generated file, relative to the directory of headgate.yaml, with slashes.
	File string `yaml:"file"`
	// Epoch is 0 until the first bump.
	Epoch int `yaml:"epoch"`
	// Imports is how the app ends the paths of its own modules. It shapes what headgate prints.
	Imports ImportStyle `yaml:"imports"`
	// Effect is the module that the generated file imports Effect from: it must be the copy that LiveStore uses.
	Effect string `yaml:"effect"`
	// LiveStore is the version that the file was rendered for.
	LiveStore string `yaml:"livestore"`
	// Bumps says why each epoch came to be, oldest first. It may have gaps: an epoch can come from another branch.
	Bumps []Bump `yaml:"bumps,omitempty"`
	// Release is the version that the app says it is, towards the sync backend and the flags: that of its schema. "" leaves
	// the part of the generated file out that says it.
	Release string `yaml:"release,omitempty"`
	// Marker is the event that says that a migration ran, nil where the app has none.
	Marker     *Marker    `yaml:"marker,omitempty"`
	Migrations Migrations `yaml:"migrations,omitempty"`
	// Corrections are what the app makes of bad events; it may be empty.
	Corrections Corrections `yaml:"corrections,omitempty"`
	// StoreReset puts the part into the generated file that acts on the flag store.reset.
	StoreReset bool `yaml:"store_reset,omitempty"`
}

// A Bump is one raise of the epoch.
type Bump struct {
	Epoch  int    `yaml:"epoch"`
	Reason string `yaml:"reason"`
}

// An ImportStyle is how an app's imports of its own modules end.
type ImportStyle string

const (
	ImportTS   ImportStyle = "ts"   // './headgate.generated.ts'
	ImportJS   ImportStyle = "js"   // './headgate.generated.js'
	ImportNone ImportStyle = "none" // './headgate.generated'
)

// Module is how a module of the app beside the generated file imports it.
func (s Schema) Module() string {
	module := "./" + strings.TrimSuffix(path.Base(s.File), ".ts")
	if s.Imports != ImportNone {
		module += "." + string(s.Imports)
	}
	return module
}

// FileName is the generated file's name, but of a second schema in one directory.
const FileName = "headgate.generated.ts"

// NewSchema returns the section of a schema whose entry module is entry, relative to the directory of headgate.yaml.
func NewSchema(entry string, imports ImportStyle, effect string) Schema {
	file := filepath.ToSlash(filepath.Join(filepath.Dir(filepath.FromSlash(entry)), FileName))
	return Schema{File: file, Imports: imports, Effect: effect, LiveStore: LiveStoreVersion}
}

// reserved are the sections that later versions of headgate will know.
func reserved() []string { return []string{"flags"} }

// Load reads the manifest at path. A file that does not exist is an empty manifest.
func Load(path string) (*Manifest, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Manifest{Version: ManifestVersion, Schemas: map[string]Schema{}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of generated files: %w", err)
	}
	m, err := Parse(data)
	if e := errs.As(err); e != nil {
		return nil, e.At("%s", strings.TrimSuffix(path+":"+e.Where, ":"))
	}
	return m, err
}

// Parse reads a manifest. The error's Where is a line number, or empty.
func Parse(data []byte) (*Manifest, error) {
	var m Manifest
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&m); err != nil && !errors.Is(err, io.EOF) {
		return nil, yamlError(err)
	}
	if m.Version != ManifestVersion {
		return nil, errs.Invalidf("the manifest has version %d, this headgate reads version %d", m.Version, ManifestVersion).
			Hintf("a newer headgate wrote it: update headgate")
	}
	if m.Schemas == nil {
		m.Schemas = map[string]Schema{}
	}
	for name, s := range m.Schemas { // an empty list is written as none
		if len(s.Bumps) == 0 {
			s.Bumps = nil
		}
		if len(s.Migrations.Client) == 0 {
			s.Migrations.Client = nil
		}
		for i := range s.Migrations.Client {
			if c := &s.Migrations.Client[i]; len(c.Asserts) == 0 {
				c.Asserts = nil
			}
		}
		m.Schemas[name] = s
	}
	return &m, m.Validate()
}

var (
	yamlLine    = regexp.MustCompile(`line (\d+): (.*)`)
	yamlUnknown = regexp.MustCompile(`field (\S+) not found in type`)
)

func yamlError(err error) error {
	msg, line := strings.TrimPrefix(err.Error(), "yaml: "), ""
	var te *yaml.TypeError
	if errors.As(err, &te) && len(te.Errors) > 0 {
		msg = te.Errors[0]
	}
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		line, msg = m[1], m[2]
	}
	e := errs.Invalidf("%s", msg)
	if m := yamlUnknown.FindStringSubmatch(msg); m != nil {
		e = errs.Invalidf("unknown key %q", m[1])
		if slices.Contains(reserved(), m[1]) {
			e = errs.Invalidf("this version of headgate can't render %q yet", m[1]).Hintf("a newer headgate wrote it: update headgate")
		}
	}
	return e.At("%s", line)
}

// Validate reports the first rule that m breaks, as an [errs.Invalid] error.
func (m *Manifest) Validate() error {
	files := map[string]string{}
	if m.Worker != nil {
		if err := m.Worker.validate(); err != nil {
			return errs.Invalidf("worker: %s", err)
		}
		files[m.Worker.File] = "worker"
	}
	for _, name := range m.Names() {
		s := m.Schemas[name]
		if err := s.validate(); err != nil {
			return errs.Invalidf("schema %s: %s", name, err)
		}
		if other, taken := files[s.File]; taken {
			return errs.Invalidf("schemas %s and %s have the same file %s", other, name, s.File)
		}
		files[s.File] = name
		if s.Corrections.Test == nil {
			continue
		}
		if other, taken := files[s.TestFile()]; taken {
			return errs.Invalidf("schemas %s and %s have their tests of corrections in the same file %s", other, name, s.TestFile())
		}
		files[s.TestFile()] = name
	}
	return nil
}

var moduleName = regexp.MustCompile(`^[@\w][\w./-]*$`)

func (s Schema) validate() error {
	if err := checkFile(s.File); err != nil {
		return err
	}
	switch {
	case s.Epoch < 0 || s.Epoch > MaxEpoch:
		return fmt.Errorf("epoch %d is outside 0 to %d", s.Epoch, MaxEpoch)
	case !slices.Contains([]ImportStyle{ImportTS, ImportJS, ImportNone}, s.Imports):
		return fmt.Errorf("imports %q is not one of ts, js, none", s.Imports)
	case !moduleName.MatchString(s.Effect):
		return fmt.Errorf("effect %q is not a module name", s.Effect)
	case storageFormat(s.LiveStore) == 0:
		return fmt.Errorf("livestore %q is not a version that headgate was proven with; it is %s", s.LiveStore, LiveStoreVersion)
	}
	if err := checkRelease(s.Release); err != nil {
		return err
	}
	for i, b := range s.Bumps {
		if b.Epoch < 1 || b.Epoch > s.Epoch || i > 0 && b.Epoch <= s.Bumps[i-1].Epoch {
			return fmt.Errorf("bumps: epoch %d is out of order, or above the schema's epoch %d", b.Epoch, s.Epoch)
		}
	}
	if err := s.Marker.validate(); err != nil {
		return err
	}
	if err := s.Corrections.validate(); err != nil {
		return err
	}
	return s.Migrations.validate(s.Marker)
}

// checkFile holds the path of a generated file against what it may be.
func checkFile(file string) error {
	switch {
	case file == "" || !filepath.IsLocal(filepath.FromSlash(file)):
		return fmt.Errorf("file %q is not a path inside the app", file)
	case !strings.HasSuffix(file, ".ts"):
		return fmt.Errorf("file %q is not a TypeScript file", file)
	}
	return nil
}

// Names returns the names of the schemas, sorted.
func (m *Manifest) Names() []string {
	names := make([]string, 0, len(m.Schemas))
	for name := range m.Schemas {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

const manifestHead = `# What headgate generates into the app, written by headgate: commit it with the generated files.
# To have every client rebuild its state: headgate epoch bump. After a merge keep the higher epoch, then: headgate generate.
`

// Bytes returns m as the file that Load reads.
func (m *Manifest) Bytes() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	buf.WriteString(manifestHead)
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("writing the manifest of generated files: %w", err)
	}
	return buf.Bytes(), enc.Close()
}

// Save writes m to path, whole or not at all, and makes its directory.
func (m *Manifest) Save(path string) error {
	data, err := m.Bytes()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the manifest's directory: %w", err)
	}
	return atomicfile.Write(path, data, 0o644)
}

func join(list []string) string { return strings.Join(list, ", ") }
