package cli

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"headgate/cmd/headgate/internal/config"
	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay"
)

// keptFile is where an incident keeps what was assessed, a line for each store as soon as it is known: whoever is killed
// loses the stores that were under way, and nobody reads a log twice that did not grow. It goes when the incident is closed.
const keptFile = "assessed.jsonl"

// A keptStore is such a line: what was found in one store, without values.
type keptStore struct {
	Key    string              `json:"key"`  // of all that it depends on beside the log
	Head   eventlog.Head       `json:"head"` // of the log, before it was read
	Damage damageReport        `json:"damage"`
	Back   string              `json:"back,omitempty"` // the code of the release that one would go back to
	Met    *corrective.Reading `json:"met,omitempty"`  // what that does with all events of the log
}

// answers reports whether it says all that is asked for.
func (k keptStore) answers(l look) bool {
	d := k.Damage
	return k.Key != "" && l.diff.Rows == 0 && (d.Events.Total() == 0 || d.Effect != nil || l.countOnly)
}

// kept is what was assessed of an incident's stores. It is safe for several goroutines; nil keeps nothing.
type kept struct {
	mu   sync.Mutex
	file *os.File
	by   map[livestore.StoreID]keptStore
}

// kept opens what is kept of the incident, to add to it.
func (i *incident) kept() (*kept, error) {
	k := &kept{by: map[livestore.StoreID]keptStore{}}
	failed := func(err error) error {
		return errs.New(errs.Internal, "can't keep what is assessed").At("%s", i.shown(keptFile)).Because(err).Hintf("make the incident's folder writable")
	}
	if err := os.MkdirAll(filepath.Dir(i.path(keptFile)), 0o777); err != nil {
		return nil, failed(err)
	}
	var err error
	if k.file, err = os.OpenFile(i.path(keptFile), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666); err != nil {
		return nil, failed(err)
	}
	whole, err := readKept(k.file, func(line []byte) {
		var one keptStore
		if json.Unmarshal(line, &one) == nil { // what another headgate wrote, or a line that was cut off, is read anew
			k.by[one.Damage.Store] = one
		}
	})
	if err == nil && !whole {
		_, err = k.file.WriteString("\n")
	}
	if err != nil {
		k.Close()
		return nil, failed(err)
	}
	return k, nil
}

// readKept yields the lines of such a file. whole is false where the last one was cut off.
func readKept(r io.Reader, line func([]byte)) (whole bool, err error) {
	in := bufio.NewReader(r)
	for {
		b, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(b)) > 0 {
			line(b)
		}
		switch {
		case errors.Is(err, io.EOF):
			return len(b) == 0, nil
		case err != nil:
			return false, err
		}
	}
}

// keptStores is of how many stores the incident knows something; 0 where that can't be read.
func (i *incident) keptStores() int {
	f, err := os.Open(i.path(keptFile))
	if err != nil {
		return 0
	}
	defer f.Close() //nolint:errcheck // read only
	stores := map[livestore.StoreID]bool{}
	_, err = readKept(f, func(line []byte) {
		var one struct {
			Damage struct {
				Store livestore.StoreID `json:"store"`
			} `json:"damage"`
		}
		if json.Unmarshal(line, &one) == nil {
			stores[one.Damage.Store] = true
		}
	})
	if err != nil {
		i.app.log.Debug("can't read what was assessed", "path", i.shown(keptFile), "error", err)
	}
	return len(stores)
}

// find is what is known of a store, as long as its log and all else it depends on are as they were.
func (k *kept) find(id livestore.StoreID, key string, head eventlog.Head) keptStore {
	if k == nil {
		return keptStore{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if one := k.by[id]; one.Key == key && one.Head == head {
		return one
	}
	return keptStore{}
}

// add keeps what was found in a store. What a client has not sent yet may change its number, and its log looks the same.
func (k *kept) add(one keptStore) error {
	if k == nil || one.Head.Last.Client > 0 || one.Head.Last.Global > one.Head.Confirmed {
		return nil
	}
	one.Damage = one.Damage.withoutRows()
	data, err := json.Marshal(one)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.by[one.Damage.Store] = one
	if _, err := k.file.Write(append(data, '\n')); err != nil { // at once: others may write, too
		return errs.New(errs.Internal, "can't keep what is assessed").At("%s", k.file.Name()).Because(err)
	}
	return nil
}

// Close ends it.
func (k *kept) Close() {
	if k != nil {
		_ = k.file.Close() // each line was written whole
	}
}

// key is of all that an assessment of a store depends on, but for its log and the release that one would go back to: this build,
// the events that are meant, the releases, and who is known to run which.
func (s *assessor) key(st config.Store) string {
	parts := []any{programIdentity(s.launcher.Exe), s.selection.String(), codeOf(s.is), s.ran[st.ID]}
	if s.good != nil {
		parts = append(parts, "good", codeOf(*s.good))
	}
	for _, t := range s.readers {
		parts = append(parts, codeOf(t))
	}
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(parts) // neither can fail
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// codeOf tells a release's code from others'.
func codeOf(t replay.Target) string {
	return fmt.Sprintf("%s %s", t.Release.Version, t.Release.Bundle)
}
