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

// A resetJournal is what a reset notes beside its export before it does what can't be undone. The backend's id then tells
// whether that was done: whoever goes on does not need to have seen it.
type resetJournal struct {
	Version     int               `json:"version"`
	Store       livestore.StoreID `json:"store"`
	Environment string            `json:"environment"`
	Was         BackendState      `json:"was"`
	Loss        ResetLoss         `json:"loss"`

	// At the end:
	Done     time.Time     `json:"done,omitzero"`
	Now      string        `json:"backendId,omitempty"`
	Imported *ImportReport `json:"imported,omitempty"`
}

// tell puts into a report what is known.
func (j resetJournal) tell(r *ResetReport) {
	r.Was, r.Loss, r.Reset, r.BackendID, r.Imported = j.Was, j.Loss, j.Done, j.Now, j.Imported
}

func (s StoreReset) journalFile() string { return s.Export + ".reset.json" }

// journal reads what an earlier run noted; the zero journal where there was none.
func (s StoreReset) journal() (j resetJournal, err error) {
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

func (s StoreReset) keep(j resetJournal) error {
	text, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(s.journalFile(), append(text, '\n'), 0o600)
}
