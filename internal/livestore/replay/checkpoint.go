package replay

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"headgate/internal/atomicfile"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

const (
	// CheckpointMaxAge is how long a checkpoint that nobody uses is kept.
	CheckpointMaxAge = 30 * 24 * time.Hour
	// CheckpointMaxBytes is how large all checkpoints of a directory may be together.
	CheckpointMaxBytes = 4 << 30
	// checkpointMinEvents is how many new events make a new checkpoint worth its bytes.
	checkpointMinEvents = 500
	// checkpointFormat changes when a replay of another headgate may give another state.
	checkpointFormat = 1
)

// Checkpoints is a directory of states to go on from; see the package comment. The zero MinEvents, MaxAge and
// MaxBytes mean the defaults.
type Checkpoints struct {
	Dir       string
	MinEvents int64
	MaxAge    time.Duration
	MaxBytes  int64
}

// A Checkpoint describes a kept state.
type Checkpoint struct {
	Format    int                 `json:"format"`
	Head      livestore.ClientSeq `json:"head"`
	Events    int64               `json:"events"`
	Chain     chain               `json:"chain"` // over every event up to Head
	BackendID string              `json:"backendId,omitempty"`
	Skipped   []Skipped           `json:"skipped"`
	File      string              `json:"file"` // SHA-256 of the database, in hex

	path string // of a copy that waits to be kept; empty when it is the result itself
}

// A chain is a hash over events in order: equal chains mean equal logs up to there.
type chain [sha256.Size]byte

// MarshalText writes it in hex.
func (c chain) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, c[:]), nil }

// UnmarshalText reads it.
func (c *chain) UnmarshalText(b []byte) error {
	if len(b) != 2*len(c) {
		return errors.New("a chain has 64 hex digits")
	}
	_, err := hex.Decode(c[:], b)
	return err
}

// add takes in the next event: all that a materializer can see of it.
func (p *position) add(ev livestore.Event) {
	h := sha256.New()
	h.Write(p.Chain[:])
	var b []byte
	for _, n := range []int64{int64(ev.Seq.Global), ev.Seq.Client, ev.Seq.Rebase, int64(ev.Parent.Global), ev.Parent.Client, ev.Parent.Rebase} {
		b = binary.AppendVarint(b, n)
	}
	for _, s := range []string{ev.Name, ev.ClientID, ev.SessionID} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	h.Write(b)
	h.Write(ev.Args)
	h.Sum(p.Chain[:0])
	p.Seq = ev.Seq
	p.Events++
}

func (c *Checkpoint) position() position {
	return position{Seq: c.Head, Events: c.Events, Chain: c.Chain}
}

func (c *Checkpoint) tally() tally {
	return tally{head: c.Head, events: c.Events, skipped: slices.Clone(c.Skipped)}
}

// of is the directory of a store's checkpoints.
func (c *Checkpoints) of(schema, store string) string {
	return filepath.Join(c.Dir, pathName(schema), pathName(store))
}

// Forget removes the checkpoints of a store.
func (c *Checkpoints) Forget(schema, store string) error {
	if err := os.RemoveAll(c.of(schema, store)); err != nil {
		return errs.New(errs.Internal, "can't remove the checkpoints").At("%s", c.of(schema, store)).Because(err)
	}
	return nil
}

// A checkpointKey names the files of one store and release, without their extension.
type checkpointKey string

func (c *Checkpoints) key(t Target, store string, clientOnly bool) checkpointKey {
	h := sha256.New()
	fmt.Fprintf(h, "%d %v %s %s\n", checkpointFormat, clientOnly, t.Program.Export, t.Release.StateHash)
	io.WriteString(h, t.Program.Code) //nolint:errcheck // a hash takes everything
	return checkpointKey(filepath.Join(c.of(t.Release.Schema, store), hex.EncodeToString(h.Sum(nil)[:12])))
}

// pathName makes a file name of any text, the same for the same text.
func pathName(s string) string {
	name := url.PathEscape(s)
	if name == s && len(s) > 0 && len(s) <= 60 && !strings.HasPrefix(s, ".") {
		return name
	}
	sum := sha256.Sum256([]byte(s))
	return "x-" + hex.EncodeToString(sum[:12])
}

func (k checkpointKey) db() string   { return string(k) + ".db" }
func (k checkpointKey) meta() string { return string(k) + ".json" }

// restore copies the checkpoint to path if there is one that the log still agrees with. A checkpoint that is damaged
// or out of date is no error: the replay starts at the beginning.
func (c *Checkpoints) restore(ctx context.Context, key checkpointKey, r eventlog.Reader, head eventlog.Head, path string, now time.Time) (*Checkpoint, error) {
	data, err := os.ReadFile(key.meta())
	if err != nil {
		return nil, nil //nolint:nilerr // none, or one that can't be read
	}
	cp := &Checkpoint{}
	if json.Unmarshal(data, cp) != nil || cp.Format != checkpointFormat || cp.BackendID != head.BackendID || cp.Head.Global > head.Confirmed {
		return nil, nil
	}
	same, err := c.verify(ctx, cp, r)
	if err != nil || !same {
		return nil, err
	}
	sum, err := copyHashed(key.db(), path)
	if err != nil || sum != cp.File {
		return nil, truncate(path)
	}
	// Best effort: the time only decides which checkpoint goes first.
	_ = os.Chtimes(key.db(), now, now)
	return cp, nil
}

// verify reads the log up to the checkpoint's head and compares the chain. It costs little next to replaying.
func (c *Checkpoints) verify(ctx context.Context, cp *Checkpoint, r eventlog.Reader) (bool, error) {
	var p position
	for ev, err := range r.Events(ctx, livestore.ClientSeq{}) {
		var bad *eventlog.Malformed
		if errors.As(err, &bad) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if ev.Pending || ev.Seq.Compare(cp.Head) > 0 {
			break
		}
		p.add(ev)
	}
	return p == cp.position(), nil
}

// checkpointAt describes the state at p; nil when it is not worth keeping.
func (s *session) checkpointAt(p position, path string) *Checkpoint {
	least := s.opts.Checkpoints.MinEvents
	if least == 0 {
		least = checkpointMinEvents
	}
	var before int64
	if s.from != nil {
		before = s.from.Events
	}
	if p.Events-before < least {
		return nil
	}
	return &Checkpoint{Format: checkpointFormat, Head: p.Seq, Events: p.Events, Chain: p.Chain, BackendID: s.run.head.BackendID, path: path}
}

// save keeps a checkpoint and removes those that are too old or too many.
func (c *Checkpoints) save(key checkpointKey, cp Checkpoint, result string, now time.Time) error {
	from := result
	if cp.path != "" {
		from = cp.path
		defer os.Remove(cp.path) //nolint:errcheck // a copy in the way of nobody
	}
	err := c.write(key, cp, from)
	if err != nil {
		// The state itself is right; but a directory that can't be written is something that the user must know.
		return errs.New(errs.Internal, "can't keep a checkpoint").At("%s", key.db()).Because(err).
			Hintf("make the directory writable or free some space, or go without: --no-checkpoint")
	}
	return c.prune(key, now)
}

func (c *Checkpoints) write(key checkpointKey, cp Checkpoint, from string) error {
	if err := os.MkdirAll(filepath.Dir(string(key)), 0o700); err != nil {
		return err
	}
	f, err := atomicfile.Create(key.db(), 0o600)
	if err != nil {
		return err
	}
	defer f.Abort()
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), src); err != nil {
		return err
	}
	if err := f.Commit(); err != nil {
		return err
	}
	cp.File = hex.EncodeToString(h.Sum(nil))
	data, err := json.MarshalIndent(cp, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(key.meta(), append(data, '\n'), 0o600)
}

// prune removes what was not used for MaxAge, and the oldest while everything is larger than MaxBytes. The one that
// was just written stays.
func (c *Checkpoints) prune(keep checkpointKey, now time.Time) error {
	maxAge, maxBytes := c.MaxAge, c.MaxBytes
	if maxAge == 0 {
		maxAge = CheckpointMaxAge
	}
	if maxBytes == 0 {
		maxBytes = CheckpointMaxBytes
	}
	type file struct {
		key  checkpointKey
		size int64
		used time.Time
	}
	var files []file
	var total int64
	err := filepath.WalkDir(c.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".db" {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // another headgate removed it
		}
		total += info.Size()
		files = append(files, file{checkpointKey(strings.TrimSuffix(path, ".db")), info.Size(), info.ModTime()})
		return nil
	})
	if err != nil {
		return fmt.Errorf("look through the checkpoints: %w", err)
	}
	slices.SortFunc(files, func(a, b file) int { return a.used.Compare(b.used) })
	for _, f := range files {
		if f.key == keep || now.Sub(f.used) <= maxAge && total <= maxBytes {
			continue
		}
		if err := errors.Join(os.Remove(f.key.meta()), os.Remove(f.key.db())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an old checkpoint: %w", err)
		}
		total -= f.size
	}
	return nil
}

func copyHashed(from, to string) (string, error) {
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(dst, h), src)
	if e := dst.Close(); err == nil {
		err = e
	}
	return hex.EncodeToString(h.Sum(nil)), err
}
