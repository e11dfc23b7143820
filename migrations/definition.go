package migrations

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-version"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
)

// MaxFileBytes is how large a migration file may be.
const MaxFileBytes = 1 << 20

// A Definition is a migration as its file says it.
type Definition struct {
	Number int64  `json:"number"`
	Name   string `json:"name"` // of the file, without its extension: 00001_backfill_priority
	Path   string `json:"path"`
	// Checksum is "sha256-<hex>" of the file, and of what belongs to it: its inputs, or what it imports. Line ends are
	// made LF.
	Checksum string `json:"checksum"`

	Schema       string   `json:"schema"`   // of headgate.yaml; empty where the app has only one
	Requires     string   `json:"requires"` // a constraint on releases: ">= 1.1.0"
	RequiresLine int      `json:"-"`
	After        []string `json:"after,omitempty"` // names of the migrations that must be done before
	AfterLine    int      `json:"-"`
	Needed       string   `json:"neededBy,omitempty"` // a constraint on the releases that need it done: ">= 1.3.0"
	Repeat       bool     `json:"repeat,omitempty"`   // a key may be emitted again
	Marker       string   `json:"marker,omitempty"`   // the app's event that says that the migration ran; empty for none
	MarkerLine   int      `json:"-"`

	Inputs  []Input  `json:"inputs,omitempty"`
	Emits   []Emit   `json:"emits"`
	Asserts []Assert `json:"asserts"`

	constraint, needed version.Constraints
	module             *module // of a migration in TypeScript, which yields all that it emits
}

// An Emit is a query whose rows become events, or one of the events that a module yields.
type Emit struct {
	Event string   `json:"event"`
	Key   []string `json:"key"` // columns that tell the events apart; also fields of the event
	SQL   string   `json:"sql,omitempty"`
	Line  int      `json:"line"` // of the directive
	// SQLLine is where the query, or the module's generator, begins.
	SQLLine int `json:"-"`
}

// An Assert is a query that returns 1 when the migration did what it should.
type Assert struct {
	Label string `json:"label"`
	SQL   string `json:"sql"`
	Line  int    `json:"line"` // of the directive
	// SQLLine is where the query begins.
	SQLLine int `json:"-"`
}

// Admits reports whether the migration may run with the materializers of a release of this version.
func (d Definition) Admits(release string) bool {
	v, err := version.NewSemver(release)
	return err == nil && d.constraint.Check(v)
}

// NeededBy reports whether a release of this version must not ship before the migration is done in every store.
func (d Definition) NeededBy(release string) bool {
	v, err := version.NewSemver(release)
	return err == nil && d.Needed != "" && d.needed.Check(v)
}

// Newest returns the newest of the versions that the migration admits.
func Newest(d Definition, versions []string) (string, bool) {
	admitted := slices.DeleteFunc(slices.Clone(versions), func(v string) bool { return !d.Admits(v) })
	if len(admitted) == 0 {
		return "", false
	}
	return slices.MaxFunc(admitted, schema.CompareVersions), true
}

var fileName = regexp.MustCompile(`^(\d+)_([a-z0-9][a-z0-9_]*)\.(sql|ts)$`)

// named reads a migration's number and name from its file's.
func named(path string) (number int64, name string, err error) {
	base := filepath.Base(path)
	m := fileName.FindStringSubmatch(base)
	if m == nil {
		return 0, "", errs.Invalidf("a migration's file is called NUMBER_name.sql, as in 00001_backfill_priority.sql, or NUMBER_name.ts").At("%s", path).
			Hintf("the name has lower-case letters, digits and underscores")
	}
	if number, err = strconv.ParseInt(m[1], 10, 64); err != nil {
		return 0, "", errs.Invalidf("the migration's number is too large").At("%s", path)
	}
	return number, strings.TrimSuffix(base, "."+m[3]), nil
}

// Load reads every migration of a directory, in the order of their numbers. A directory that does not exist has none.
// Those in TypeScript are evaluated in sandboxes that l starts. Files that are not called NUMBER_name.sql or
// NUMBER_name.ts are left alone, unless they look like it: they end in .sql, or in .ts and begin with a digit.
func Load(ctx context.Context, l script.Launcher, dir string) ([]Definition, error) {
	return load(dir, func(path string) (Definition, error) { return loadModule(ctx, l, path) })
}

// LoadDir is [Load] for the migrations in SQL alone, which takes no sandbox.
func LoadDir(dir string) ([]Definition, error) { return load(dir, nil) }

func load(dir string, typescript func(path string) (Definition, error)) ([]Definition, error) {
	files, err := list(dir)
	if err != nil {
		return nil, err
	}
	var all []Definition
	for _, path := range files {
		var d Definition
		switch {
		case filepath.Ext(path) == ".sql":
			d, err = loadSQL(path)
		case typescript == nil:
			continue
		default:
			d, err = typescript(path)
		}
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(all, func(o Definition) bool { return o.Number == d.Number }); i >= 0 {
			return nil, errs.Invalidf("two migrations have the number %d: %s and %s", d.Number, filepath.Base(all[i].Path), filepath.Base(d.Path)).At("%s", path).
				Hintf("give the newer one, which no store ran, a number of its own")
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Definition) int { return int(a.Number - b.Number) })
	return all, resolve(all)
}

// list returns the paths of a directory's migrations.
func list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.New(errs.Internal, "can't read the migrations").At("%s", dir).Because(err)
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		module := filepath.Ext(name) == ".ts" && !strings.HasSuffix(name, ".d.ts") && isDigit(name[0])
		if !e.IsDir() && !strings.HasPrefix(name, ".") && (filepath.Ext(name) == ".sql" || module) {
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out, nil
}

// NextNumber is the number after the highest one that a migration of the directory has. It opens none of them.
func NextNumber(dir string) (int64, error) {
	files, err := list(dir)
	if err != nil {
		return 0, err
	}
	next := int64(1)
	for _, path := range files {
		n, _, err := named(path)
		if err != nil {
			return 0, err
		}
		next = max(next, n+1)
	}
	return next, nil
}

func loadSQL(path string) (Definition, error) {
	data, err := readFile(path, MaxFileBytes)
	if err != nil {
		return Definition{}, err
	}
	d, err := Parse(path, data)
	if err == nil {
		err = d.readInputs()
	}
	return d, err
}

// resolve turns the numbers in After into names, and checks that what comes before exists and is earlier.
func resolve(all []Definition) error {
	for i := range all {
		d := &all[i]
		for k, want := range d.After {
			j := slices.IndexFunc(all, func(o Definition) bool {
				n, err := strconv.ParseInt(want, 10, 64)
				return o.Name == want || err == nil && o.Number == n
			})
			at := fmt.Sprintf("%s:%d", d.Path, d.AfterLine)
			if j < 0 {
				return errs.NotFoundf("no migration %q comes before this one: there is none", want).At("%s", at)
			}
			if j >= i {
				return errs.Invalidf("migration %s can't come before %s: its number is not lower", all[j].Name, d.Name).At("%s", at)
			}
			if all[j].Schema != d.Schema {
				return errs.Invalidf("migration %s is of another schema", all[j].Name).At("%s", at)
			}
			d.After[k] = all[j].Name
		}
	}
	return nil
}

// Find returns the migration that a user names: by its name, its number or the part of the name after the number.
func Find(all []Definition, name string) (Definition, error) {
	var names []string
	var found []Definition
	for _, d := range all {
		names = append(names, d.Name)
		n, err := strconv.ParseInt(name, 10, 64)
		_, rest, _ := strings.Cut(d.Name, "_")
		if d.Name == name || rest == name || err == nil && n == d.Number || filepath.Base(d.Path) == filepath.Base(name) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return Definition{}, errs.Invalidf("several migrations are called %q", name).Hintf("name one by its number: %s", strings.Join(names, ", "))
	case len(names) == 0:
		return Definition{}, errs.NotFoundf("there is no migration").Hintf("write one").Then("headgate migration new " + name)
	}
	return Definition{}, errs.NotFoundf("there is no migration %q", name).Hintf("there are: %s", strings.Join(names, ", ")).
		Then("headgate migration list")
}

func checksum(data []byte) string {
	sum := sha256.Sum256(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// A part is a file that belongs to a migration.
type part struct {
	name string // relative to the migration's directory
	data []byte
}

// joined is the checksum of a migration's file together with its parts, that of the file alone where there are none.
func joined(file string, parts []part) string {
	if len(parts) == 0 {
		return file
	}
	var b strings.Builder
	b.WriteString(file + "\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "%s %s\n", checksum(p.data), p.name)
	}
	return checksum([]byte(b.String()))
}
