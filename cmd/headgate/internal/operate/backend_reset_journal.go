package operate

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"

	"headgate/internal/atomicfile"
	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// A backendJournal is what a reset notes beside its export before it does what can't be undone. The backend's id then tells
// whether that was done: whoever goes on does not need to have seen it.
type backendJournal struct {
	Version     int               `json:"version"`
	Store       livestore.StoreID `json:"store"`
	Environment string            `json:"environment"`
	Was         BackendState      `json:"was"`
	Loss        BackendLoss       `json:"loss"`
	Import      string            `json:"import,omitempty"` // the digest of what is imported; empty for nothing

	// At the end:
	Done     time.Time     `json:"done,omitzero"`
	Now      string        `json:"backendId,omitempty"`
	Imported *ImportReport `json:"imported,omitempty"`
}

// tell puts into a report what is known.
func (j backendJournal) tell(r *BackendResetReport) {
	r.Was, r.Loss, r.Reset, r.BackendID, r.Imported = j.Was, j.Loss, j.Done, j.Now, j.Imported
}

func (s BackendReset) journalFile() string { return s.Export + ".reset.json" }

// journal reads what an earlier run noted; the zero journal where there was none.
func (s BackendReset) journal() (j backendJournal, err error) {
	path := s.journalFile()
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return j, errs.New(errs.Internal, "can't read what an earlier run noted").At("%s", path).Because(err)
	}
	if err := json.Unmarshal(text, &j); err != nil || j.Version != 1 || j.Was.BackendID == "" {
		return j, errs.Invalidf("it is no note of a reset").At("%s", path).Hintf("name another file with --export")
	}
	if j.Store != s.Store || j.Environment != s.Name {
		return j, errs.Refusedf("the file is of a reset of store %s in %s", j.Store, j.Environment).At("%s", path).
			Hintf("name another file with --export")
	}
	return j, nil
}

// same refuses to go on with a reset that was begun with another import: what was said to be lost would not be what is.
func (s BackendReset) same(j backendJournal) error {
	if j.Import == s.importing() {
		return nil
	}
	what := "the dump with the digest " + j.Import
	if j.Import == "" {
		what = "nothing"
	}
	return errs.Refusedf("the reset that was begun with this --export imports %s", what).At("%s", s.journalFile()).
		Hintf("go on with that --import; or, for another reset, name another file with --export")
}

func (s BackendReset) keep(j backendJournal) error {
	text, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(s.journalFile(), append(text, '\n'), 0o600)
}
