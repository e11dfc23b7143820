package migrations

import (
	"bytes"
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
)

// MaxFileBytes is how large a migration file may be.
const MaxFileBytes = 1 << 20

// A Definition is a migration as its file says it.
type Definition struct {
	Number   int64  `json:"number"`
	Name     string `json:"name"` // of the file, without its extension: 00001_backfill_priority
	Path     string `json:"path"`
	Checksum string `json:"checksum"` // "sha256-<hex>" of the file, its line ends made LF

	Schema       string   `json:"schema"`   // of headgate.yaml; empty where the app has only one
	Requires     string   `json:"requires"` // a constraint on releases: ">= 1.1.0"
	RequiresLine int      `json:"-"`
	After        []string `json:"after,omitempty"` // names of the migrations that must be done before
	AfterLine    int      `json:"-"`
	Needed       string   `json:"neededBy,omitempty"` // a constraint on the releases that need it done: ">= 1.3.0"
	Repeat       bool     `json:"repeat,omitempty"`   // a key may be emitted again
	Marker       string   `json:"marker,omitempty"`   // the app's event that says that the migration ran; empty for none
	MarkerLine   int      `json:"-"`

	Emits   []Emit   `json:"emits"`
	Asserts []Assert `json:"asserts"`

	constraint, needed version.Constraints
}

// An Emit is a query whose rows become events.
type Emit struct {
	Event string   `json:"event"`
	Key   []string `json:"key"` // columns that tell the events apart; also fields of the event
	SQL   string   `json:"sql"`
	Line  int      `json:"line"` // of the directive
	// SQLLine is where the query begins.
	SQLLine int `json:"-"`
}

// An Assert is a query that returns 1 when the migration did what it should.
type Assert struct {
	Label string `json:"label"`
	SQL   string `json:"sql"`
	Line  int    `json:"line"`
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

var fileName = regexp.MustCompile(`^(\d+)_([a-z0-9][a-z0-9_]*)\.sql$`)

// LoadDir reads every migration of a directory, in the order of their numbers. A directory that does not exist has
// none. Files that are not called NUMBER_name.sql are left alone, unless they end in .sql.
func LoadDir(dir string) ([]Definition, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.New(errs.Internal, "can't read the migrations").At("%s", dir).Because(err)
	}
	var all []Definition
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".sql" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		data, err := readFile(path)
		if err != nil {
			return nil, err
		}
		d, err := Parse(path, data)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(all, func(o Definition) bool { return o.Number == d.Number }); i >= 0 {
			return nil, errs.Invalidf("two migrations have the number %d: %s and %s", d.Number, all[i].Name, d.Name).At("%s", path).
				Hintf("give the newer one, which no store ran, a number of its own")
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Definition) int { return int(a.Number - b.Number) })
	return all, resolve(all)
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > MaxFileBytes {
		return nil, errs.Invalidf("a migration has at most 1 MB, this file has %d bytes", info.Size()).At("%s", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, errs.New(errs.Internal, "can't read the migration").At("%s", path).Because(err)
	}
	return data, nil
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
