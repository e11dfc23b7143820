package codegen

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-version"
	"go.yaml.in/yaml/v3"

	"headgate/internal/errs"
)

// A Looked is one place where epochs were looked for. Epoch is the highest there, -1 when the place has none.
type Looked struct {
	Place string `json:"place"`
	Epoch int    `json:"epoch"`
	// Note says what could not be seen there, empty when nothing is missing.
	Note string `json:"note,omitempty"`
}

// Known is every epoch that was found for a schema.
type Known struct {
	// Highest is the highest epoch in any place, 0 when there is none.
	Highest int      `json:"highest"`
	Looked  []Looked `json:"looked"`
}

// KnownEpochs looks for the epochs of a schema: in the manifest, in the generated file, in the recorded releases,
// and, when history is true, in every commit that git knows, of any branch, that touched the manifest. An epoch must
// never come back: a client that has a state file of it would take that file for a current one.
func (w Workspace) KnownEpochs(ctx context.Context, m *Manifest, name string, history bool) (Known, error) {
	var k Known
	look := func(l Looked) {
		k.Highest = max(k.Highest, l.Epoch)
		k.Looked = append(k.Looked, l)
	}
	s, ok := m.Schemas[name]
	if !ok {
		return k, errs.NotFoundf("the manifest has no schema %q", name).Then("headgate generate")
	}
	look(Looked{Place: ManifestPath, Epoch: s.Epoch})

	data, err := os.ReadFile(filepath.Join(w.Dir, filepath.FromSlash(s.File)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return k, fmt.Errorf("reading the generated file: %w", err)
	}
	look(Looked{Place: s.File, Epoch: highestEpoch(headEpoch, data)})

	releases, err := w.releases(name)
	if err != nil {
		return k, err
	}
	for _, r := range releases {
		for _, t := range r.Tables {
			if e := highestEpoch(epochTable, []byte(t.Name)); e >= 0 {
				look(Looked{Place: "release " + r.version.Original(), Epoch: e})
			}
		}
	}
	if len(releases) == 0 {
		look(Looked{Place: "releases", Epoch: -1, Note: "no release is recorded"})
	}
	if history {
		look(w.epochInGit(ctx, name))
	}
	return k, nil
}

var (
	// headEpoch also finds both sides of a merge conflict.
	headEpoch  = regexp.MustCompile(`(?m)^// headgate-epoch: (\d{1,7})\r?$|^export const headgateEpoch: number = (\d{1,7})\r?$`)
	epochTable = regexp.MustCompile(`^headgate_epoch_(\d{1,7})$`)
)

func highestEpoch(pattern *regexp.Regexp, text []byte) int {
	highest := -1
	for _, m := range pattern.FindAllSubmatch(text, -1) {
		for _, digits := range m[1:] {
			if n, err := strconv.Atoi(string(digits)); err == nil {
				highest = max(highest, n)
			}
		}
	}
	return highest
}

// A release is what codegen reads of a recorded release.
type release struct {
	Tables []struct {
		Name string `json:"name"`
	} `json:"tables"`
	Migrations struct {
		Strategy string `json:"strategy"`
	} `json:"migrations"`

	path    string
	version *version.Version
	newest  bool
}

// releases reads the recorded releases of a schema, oldest first.
func (w Workspace) releases(name string) ([]release, error) {
	dir := filepath.Join(w.Releases, name)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the recorded releases: %w", err)
	}
	var out []release
	for _, e := range entries {
		base, isJSON := strings.CutSuffix(e.Name(), ".json")
		v, err := version.NewSemver(base)
		if !isJSON || err != nil || e.IsDir() {
			continue
		}
		r := release{path: filepath.Join(dir, e.Name()), version: v}
		data, err := os.ReadFile(r.path)
		if err != nil {
			return nil, fmt.Errorf("reading a recorded release: %w", err)
		}
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, errs.Invalidf("the recorded release is damaged, so its epoch can't be read").At("%s", r.path).Because(err).
				Hintf("restore the file from version control")
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b release) int { return cmp.Or(a.version.Compare(b.version), cmp.Compare(a.path, b.path)) })
	if len(out) > 0 {
		out[len(out)-1].newest = true
	}
	return out, nil
}

// epochInGit looks through every version of the manifest that git can reach from any ref, stashes included.
func (w Workspace) epochInGit(ctx context.Context, name string) Looked {
	l := Looked{Place: "git history", Epoch: -1}
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", w.Dir, "--no-optional-locks"}, args...)...)
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	if _, err := git("rev-parse", "--is-inside-work-tree"); err != nil {
		l.Note = "not in a git repository, or git is missing: other branches were not looked at"
		return l
	}
	revisions, err := git("rev-list", "--all", "--", "./"+ManifestPath)
	if err != nil {
		l.Note = "git could not list the history: other branches were not looked at"
		return l
	}
	seen := 0
	for rev := range strings.FieldsSeq(revisions) {
		text, err := git("show", rev+":./"+ManifestPath)
		if err != nil {
			continue // the commit that deleted it
		}
		seen++
		l.Epoch = max(l.Epoch, looseEpoch([]byte(text), name))
	}
	l.Place = fmt.Sprintf("git history (%d versions on all branches)", seen)
	if shallow, err := git("rev-parse", "--is-shallow-repository"); err == nil && shallow == "true" {
		l.Note = "the clone is shallow: older history was not looked at (git fetch --unshallow)"
	}
	return l
}

// looseEpoch reads a schema's epoch out of a manifest of any version; -1 when it can't.
func looseEpoch(manifest []byte, name string) int {
	var m struct {
		Schemas map[string]struct {
			Epoch int `yaml:"epoch"`
		} `yaml:"schemas"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(manifest)).Decode(&m); err != nil {
		return -1
	}
	s, ok := m.Schemas[name]
	if !ok || s.Epoch > MaxEpoch {
		return -1
	}
	return s.Epoch
}

// CheckNotLower refuses a manifest whose epoch is below one that the app already had.
func (k Known) CheckNotLower(m *Manifest, name string) error {
	if have := m.Schemas[name].Epoch; have < k.Highest {
		places := ""
		for _, l := range k.Looked {
			if l.Epoch == k.Highest {
				places = l.Place
			}
		}
		return errs.Refusedf("schema %s: the manifest has epoch %d, but epoch %d was already used (%s)", name, have, k.Highest, places).
			At("%s", ManifestPath).
			Hintf("going back would make clients reopen an old state file; take a new, higher epoch").
			Then("headgate epoch bump --schema " + name)
	}
	return nil
}

// Bump raises the schema's epoch to one above the highest known, and returns it.
func (m *Manifest) Bump(name string, k Known, reason string) (int, error) {
	s, ok := m.Schemas[name]
	if !ok {
		return 0, errs.NotFoundf("the manifest has no schema %q", name).Then("headgate generate")
	}
	next := max(k.Highest, s.Epoch) + 1
	if next > MaxEpoch {
		return 0, errs.Refusedf("the epoch would be %d, the highest is %d", next, MaxEpoch)
	}
	s.Epoch = next
	s.Bumps = append(slices.Clone(s.Bumps), Bump{Epoch: next, Reason: reason})
	m.Schemas[name] = s
	return next, nil
}
