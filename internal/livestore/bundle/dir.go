package bundle

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"headgate/internal/atomicfile"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
)

// A Dir is the directory that releases are recorded in (headgate.yaml: releases):
//
//	<schema>/<version>.json     the release, made to be reviewed
//	<schema>/bundles/<digest>.json.gz   its script, named by the digest of what is in it
//	headgate.sum                one line "<schema>/<version>.json <digest>" per release, sorted
//
// headgate.sum tells a release that was edited by hand. Writing is atomic file by file: script, release, sum.
type Dir struct {
	Path string
}

const sumFile = "headgate.sum"

// bundlesDir holds the scripts of one schema.
const bundlesDir = "bundles"

// maxScript bounds what Load decompresses.
const maxScript = 256 << 20

// Outcome is what Add did.
type Outcome string

const (
	Added     Outcome = "added"
	Unchanged Outcome = "unchanged" // the same version with the same content was there
	Replaced  Outcome = "replaced"  // with force
)

// Add records a release and its script. r.Bundle is set. The same version with other content is refused without force.
func (d Dir) Add(r *schema.Release, s *Script, force bool) (Outcome, error) {
	if _, err := schema.ParseVersion(r.Version); err != nil {
		return "", err
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	r.Bundle = schema.DigestOf(raw)
	data, err := r.Encode()
	if err != nil {
		return "", err
	}
	sums, err := d.sums()
	if err != nil {
		return "", err
	}
	name := r.Schema + "/" + r.Version + ".json"
	path := filepath.Join(d.Path, filepath.FromSlash(name))
	outcome := Added
	old, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(old, data) && sums[name] == schema.DigestOf(data):
		outcome = Unchanged // the script may still be missing
	case err == nil && !force:
		return "", errs.Refusedf("release %s is recorded with other content", r.Version).At("%s", path).
			Hintf("a release that shipped never changes: give the new code a new version, or replace the record with --force if %s never shipped", r.Version).
			Then(fmt.Sprintf("headgate release diff %s --working-tree", r.Version))
	case err == nil:
		outcome = Replaced
	case !errors.Is(err, fs.ErrNotExist):
		return "", errs.New(errs.Internal, "read the recorded release").At("%s", path).Because(err)
	}
	bundles := filepath.Join(d.Path, r.Schema, bundlesDir)
	if err := os.MkdirAll(bundles, 0o777); err != nil {
		return "", errs.New(errs.Internal, "create the releases directory").At("%s", bundles).Because(err)
	}
	packed := filepath.Join(bundles, r.Bundle+".json.gz")
	if _, err := os.Stat(packed); errors.Is(err, fs.ErrNotExist) {
		if err := writeGzip(packed, raw); err != nil {
			return "", err
		}
	}
	if outcome == Unchanged {
		return outcome, nil
	}
	if err := atomicfile.Write(path, data, 0o666); err != nil {
		return "", err
	}
	sums[name] = schema.DigestOf(data)
	if err := d.writeSums(sums); err != nil {
		return "", err
	}
	return outcome, d.sweep(r.Schema)
}

// Versions lists the recorded versions of a schema, lowest precedence first. A schema without releases has none.
func (d Dir) Versions(schemaName string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(d.Path, schemaName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.New(errs.Internal, "read the releases directory").At("%s", filepath.Join(d.Path, schemaName)).Because(err).
			Hintf("make it readable")
	}
	var out []string
	for _, e := range entries {
		v, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || e.IsDir() {
			continue
		}
		if _, err := schema.ParseVersion(v); err == nil {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, schema.CompareVersions)
	return out, nil
}

// Load reads a recorded release and makes sure that nobody edited it.
func (d Dir) Load(schemaName, version string) (*schema.Release, error) {
	if _, err := schema.ParseVersion(version); err != nil {
		if e := errs.As(err); e != nil {
			e.Then("headgate release list")
		}
		return nil, err
	}
	name := schemaName + "/" + version + ".json"
	path := filepath.Join(d.Path, filepath.FromSlash(name))
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		known, lerr := d.Versions(schemaName)
		if lerr != nil {
			return nil, lerr
		}
		e := errs.NotFoundf("release %s of schema %s is not recorded", version, schemaName).At("%s", path)
		if len(known) == 0 {
			return nil, e.Hintf("no release is recorded yet; record one with the app's code at that version").Then("headgate release add " + version)
		}
		return nil, e.Hintf("recorded: %s", strings.Join(known, ", ")).Then("headgate release add " + version + " --git-ref v" + version)
	}
	if err != nil {
		return nil, errs.New(errs.Internal, "read the release").At("%s", path).Because(err).Hintf("make the file readable")
	}
	var probe struct {
		FormatVersion int `json:"formatVersion"`
	}
	if err := json.Unmarshal(data, &probe); err != nil {
		return nil, errs.New(errs.Mismatch, "the release file is damaged").At("%s", path).Because(err).
			Hintf("restore it from version control")
	}
	if probe.FormatVersion > schema.FormatVersion {
		return nil, errs.Invalidf("the release file has format %d; this headgate reads up to %d", probe.FormatVersion, schema.FormatVersion).
			At("%s", path).Hintf("use a newer headgate")
	}
	sums, err := d.sums()
	if err != nil {
		return nil, err
	}
	switch want := sums[name]; {
	case want == "":
		return nil, errs.New(errs.Mismatch, "the release is not in %s", sumFile).At("%s", path).
			Hintf("release files are written by headgate only; restore %s from version control or record the release again", sumFile).
			Then("headgate release add " + version + " --force")
	case want != schema.DigestOf(data):
		return nil, errs.New(errs.Mismatch, "the release file was edited after it was recorded").At("%s", path).
			Hintf("restore it from version control; a changed schema is a new release")
	}
	r, err := schema.Decode(data)
	if err != nil {
		return nil, errs.New(errs.Mismatch, "the release file is damaged").At("%s", path).Because(err).
			Hintf("restore it from version control")
	}
	return r, nil
}

// LoadAll reads all recorded releases of a schema, lowest precedence first. One that headgate.sum names and that is
// gone is an error: without it a comparison would miss what it had.
func (d Dir) LoadAll(schemaName string) ([]*schema.Release, error) {
	versions, err := d.Versions(schemaName)
	if err != nil {
		return nil, err
	}
	sums, err := d.sums()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		of, file, _ := strings.Cut(name, "/")
		if v := strings.TrimSuffix(file, ".json"); of == schemaName && !slices.Contains(versions, v) {
			return nil, errs.New(errs.Mismatch, "release %s is in %s, and its file is gone", v, sumFile).At("%s", filepath.Join(d.Path, filepath.FromSlash(name))).
				Hintf("restore it from version control; to forget a release that never shipped, remove its line too")
		}
	}
	out := make([]*schema.Release, len(versions))
	for i, v := range versions {
		if out[i], err = d.Load(schemaName, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Script reads the script of a recorded release.
func (d Dir) Script(r *schema.Release) (*Script, error) {
	path := filepath.Join(d.Path, r.Schema, bundlesDir, r.Bundle+".json.gz")
	f, err := os.Open(path)
	if err != nil {
		return nil, errs.NotFoundf("the script of release %s is missing", r.Version).At("%s", path).Because(err).
			Hintf("it is committed beside the release: restore it from version control")
	}
	defer f.Close() //nolint:errcheck // read only
	damaged := func(err error) error {
		return errs.New(errs.Mismatch, "the script of release %s is damaged", r.Version).At("%s", path).Because(err).
			Hintf("restore it from version control")
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, damaged(err)
	}
	raw, err := io.ReadAll(io.LimitReader(z, maxScript))
	if err != nil {
		return nil, damaged(err)
	}
	if schema.DigestOf(raw) != r.Bundle {
		return nil, damaged(errors.New("its content is not what its name says"))
	}
	s := &Script{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, damaged(err)
	}
	s.Effect = r.LiveStore.Effect
	return s, nil
}

// sweep removes scripts that no release of the schema names any more, left by a replaced release.
func (d Dir) sweep(schemaName string) error {
	versions, err := d.Versions(schemaName)
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, v := range versions {
		data, err := os.ReadFile(filepath.Join(d.Path, schemaName, v+".json"))
		if err != nil {
			return nil // what can't be read may name any of them
		}
		var r struct{ Bundle string }
		if json.Unmarshal(data, &r) != nil {
			return nil
		}
		used[r.Bundle+".json.gz"] = true
	}
	entries, err := os.ReadDir(filepath.Join(d.Path, schemaName, bundlesDir))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "sha256-") && !used[e.Name()] {
			if err := os.Remove(filepath.Join(d.Path, schemaName, bundlesDir, e.Name())); err != nil {
				return errs.New(errs.Internal, "remove an unused script").Because(err)
			}
		}
	}
	return nil
}

func (d Dir) sums() (map[string]string, error) {
	path := filepath.Join(d.Path, sumFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, errs.New(errs.Internal, "read the checksums").At("%s", path).Because(err)
	}
	out := map[string]string{}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		name, sum, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !strings.HasPrefix(sum, "sha256-") {
			return nil, errs.New(errs.Mismatch, "not a checksum line").At("%s:%d", path, n).
				Hintf("restore the file from version control; after a merge keep the lines of both sides")
		}
		if out[name] != "" && out[name] != sum {
			return nil, errs.New(errs.Mismatch, "two checksums for %s", name).At("%s:%d", path, n).
				Hintf("two branches recorded the same version with other content: one of them needs another version")
		}
		out[name] = sum
	}
	return out, nil
}

func (d Dir) writeSums(sums map[string]string) error {
	names := make([]string, 0, len(sums))
	for name := range sums {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s %s\n", name, sums[name])
	}
	return atomicfile.Write(filepath.Join(d.Path, sumFile), []byte(b.String()), 0o666)
}

func writeGzip(path string, raw []byte) error {
	f, err := atomicfile.Create(path, 0o666)
	if err != nil {
		return err
	}
	defer f.Abort()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(raw); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Commit()
}
