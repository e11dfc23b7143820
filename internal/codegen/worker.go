package codegen

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"github.com/hashicorp/go-version"

	"headgate/internal/errs"
)

// WorkerFileName is the name of the wrapper of the app's sync backend.
const WorkerFileName = "headgate.worker.ts"

// A Worker is the wrapper of the sync backend: one for all schemas.
type Worker struct {
	// File is the generated file, Entry the backend's module that imports it, both relative to the directory of
	// headgate.yaml, with slashes.
	File  string `yaml:"file"`
	Entry string `yaml:"entry"`
	// LiveStore is the version of @livestore/sync-cf that the file was rendered for.
	LiveStore string `yaml:"livestore"`
}

func (w Worker) validate() error {
	if err := checkFile(w.File); err != nil {
		return err
	}
	switch {
	case w.Entry == "" || !filepath.IsLocal(filepath.FromSlash(w.Entry)):
		return fmt.Errorf("entry %q is not a path inside the app", w.Entry)
	case w.LiveStore != LiveStoreVersion:
		return fmt.Errorf("livestore %q is not a version that headgate was proven with; it is %s", w.LiveStore, LiveStoreVersion)
	}
	return nil
}

// AddWorker gives m the wrapper of the backend whose module is entry, an absolute path. It stands beside it.
func (w Workspace) AddWorker(m *Manifest, entry string) error {
	rel, err := filepath.Rel(w.Dir, entry)
	if err != nil || !filepath.IsLocal(rel) {
		return errs.Invalidf("the backend's module lies outside the app").At("%s", entry)
	}
	if info, err := os.Stat(entry); err != nil || info.IsDir() {
		return errs.NotFoundf("the backend's module is not there").At("%s", entry).Because(err).
			Hintf("name the file that imports @livestore/sync-cf/cf-worker")
	}
	rel = filepath.ToSlash(rel)
	m.Worker = &Worker{File: path.Join(path.Dir(rel), WorkerFileName), Entry: rel, LiveStore: LiveStoreVersion}
	return nil
}

// RenderWorker returns the wrapper of the sync backend: the same bytes for the same version of headgate.
func RenderWorker(m *Manifest) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	if m.Worker == nil {
		return nil, errs.NotFoundf("the manifest has no worker").Then("headgate generate --worker FILE")
	}
	text, err := sources.ReadFile("ts/worker.ts")
	if err != nil {
		return nil, fmt.Errorf("reading a built-in template: %w", err)
	}
	return withHead("(backend)", 0, string(text)), nil
}

// WorkerFile renders the wrapper and compares it with the file on disk.
func (w Workspace) WorkerFile(m *Manifest) (File, error) {
	want, err := RenderWorker(m)
	if err != nil {
		return File{}, err
	}
	return compare(File{Path: filepath.Join(w.Dir, filepath.FromSlash(m.Worker.File)), Want: want})
}

var (
	syncImport    = regexp.MustCompile(`(?m)^[^/*\n]*\bfrom\s+['"]@livestore/sync-cf/cf-worker['"]`)
	wrapperImport = regexp.MustCompile(`(?m)^[^/*\n]*\bfrom\s+['"]\./headgate\.worker(\.ts|\.js)?['"]`)
)

// Wraps says how far the backend's module uses the wrapper: whether it imports it, and whether it still imports
// LiveStore's own functions beside or instead of it.
func Wraps(module []byte) (wrapped, bare bool) {
	for _, line := range syncImport.FindAll(module, -1) {
		bare = bare || !bytes.HasPrefix(bytes.TrimSpace(line), []byte("import type ")) // types run nothing
	}
	return wrapperImport.Match(module), bare
}

func checkRelease(release string) error {
	if release == "" {
		return nil
	}
	if _, err := version.NewSemver(release); err != nil || len(release) > 64 {
		return fmt.Errorf("release %q is no version like 1.2.0", release)
	}
	return nil
}

// RaiseRelease sets the version that the app of a schema says it is: the one given, or the newest that was recorded.
// It never says an older one than that: what was recorded last is the least that this tree is.
func (w Workspace) RaiseRelease(name string, s *Schema, given string) error {
	releases, err := w.releases(name)
	if err != nil {
		return err
	}
	newest := ""
	if len(releases) > 0 {
		newest = releases[len(releases)-1].version.Original()
	}
	switch {
	case given == "" && s.Release == "": // the app does not say it
		return nil
	case given == "":
		given = s.Release
	case given == NewestRelease && newest == "":
		return errs.NotFoundf("no release of schema %s is recorded, so there is no newest one", name).
			Hintf("say which release the app will be").Then("headgate generate --release 1.0.0")
	case given == NewestRelease:
		given = newest
	default:
		if err := checkRelease(given); err != nil {
			return errs.Invalidf("%s", err)
		}
		if newest != "" && older(given, newest) {
			return errs.Refusedf("schema %s: %s is older than the recorded release %s, so clients would be taken for older ones", name, given, newest).
				Then("headgate generate --release " + newest)
		}
	}
	if newest != "" && older(given, newest) {
		given = newest
	}
	s.Release = given
	return nil
}

// NewestRelease stands for the newest recorded release.
const NewestRelease = "newest"

func older(a, b string) bool {
	va, errA := version.NewSemver(a)
	vb, errB := version.NewSemver(b)
	return errA == nil && errB == nil && va.LessThan(vb)
}
