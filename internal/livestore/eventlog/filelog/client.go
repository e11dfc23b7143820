package filelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"headgate/internal/errs"
)

// A Client is what a client keeps of one store, its log and its state files, as they were at one moment. It need not be
// stopped: no file of it is opened in SQLite, see [Reader].
type Client struct {
	*Reader
	States []State // by name
}

// A State is one state file of a client.
type State struct {
	// Path is the file, state<HASH>@6.db, livestore-<HASH>@6.db on Expo; Hash is in its name, "fixed" where the app migrates
	// its state by hand.
	Path string
	Hash string
	// Copy is a private copy, with a transaction that was killed rolled back, as LiveStore would find it. It is empty where
	// the file is: a rebuild in one transaction was killed, and the next start makes it anew. It is gone with the Client.
	Copy     string
	Modified time.Time // of the original
}

// ManualHash stands in the name of a state that the app migrates by hand.
const ManualHash = "fixed"

// OpenClient opens the log at path, which is the file or its folder, and copies the state files beside it. Log and states
// are of one moment; where the client writes all the time for opt.Wait, it is errs.Locked.
func OpenClient(ctx context.Context, path string, opt Options) (*Client, error) {
	path, err := locate(path)
	if err != nil {
		return nil, err
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil { // the state files lie beside the file itself
		path = resolved
	}
	if opt.Wait == 0 {
		opt.Wait = defaultWait
	}
	giveUp := time.NewTimer(opt.Wait)
	defer giveUp.Stop()
	for {
		before, err := lookAtAll(path)
		if err != nil {
			return nil, err
		}
		c, err := copyClient(ctx, path, opt)
		if err != nil {
			return nil, err
		}
		after, err := lookAtAll(path)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		if slices.Equal(before, after) {
			return c, nil
		}
		if err := c.Close(); err != nil {
			return nil, err
		}
		select {
		case <-giveUp.C:
			return nil, errs.New(errs.Locked, "the client writes all the time, no moment of rest in %s", opt.Wait).
				At("%s", filepath.Dir(path)).Hintf("try again when the app is calmer, or stop it")
		default:
			if err := pause(ctx, retryEvery); err != nil {
				return nil, err
			}
		}
	}
}

// lookAtAll stamps the log and the state files.
func lookAtAll(log string) ([]stamp, error) {
	files, _, err := stateFiles(log)
	if err != nil {
		return nil, err
	}
	var all []stamp
	for _, file := range append([]string{log}, files...) {
		s, err := look(file)
		if err != nil {
			return nil, cantRead(file, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func copyClient(ctx context.Context, path string, opt Options) (_ *Client, err error) {
	r, err := Open(ctx, path, opt)
	if err != nil {
		return nil, err
	}
	c := &Client{Reader: r}
	defer func() {
		if err != nil {
			_ = c.Close() // the error at hand says more
		}
	}()
	files, _, err := stateFiles(path)
	if err != nil {
		return nil, err
	}
	for i, file := range files {
		s, err := copyState(ctx, file, filepath.Join(r.dir, fmt.Sprintf("state-%d", i)), opt.Wait)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile, which the stamps tell
		}
		if err != nil {
			return nil, err
		}
		s.Hash = stateHash(path, filepath.Base(file))
		c.States = append(c.States, s)
	}
	return c, nil
}

func copyState(ctx context.Context, file, dir string, wait time.Duration) (State, error) {
	info, err := os.Stat(file)
	if err != nil {
		return State{}, cantRead(file, err)
	}
	s := State{Path: file, Modified: info.ModTime()}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return s, cantCopy(dir, err)
	}
	if err := snapshot(ctx, file, dir, wait, copySet); err != nil {
		return s, err
	}
	copied := filepath.Join(dir, copyName)
	// What can't be rolled back is damaged, and whoever reads the copy says so.
	_ = settle(ctx, copied)
	if info, err = os.Stat(copied); err != nil {
		return s, cantCopy(copied, err)
	}
	if info.Size() > 0 {
		s.Copy = copied
	}
	return s, nil
}

// stateFiles lists the state files beside a log, for every version of the schema, and the files that belong to them.
func stateFiles(log string) (files, sides []string, err error) {
	dir, own := filepath.Split(log)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil, nil, cantRead(dir, err)
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, statePrefix(own)) || strings.HasPrefix(name, own) || !e.Type().IsRegular() {
			continue
		}
		if stateHash(own, name) != "" {
			files = append(files, filepath.Join(dir, name))
			continue
		}
		for _, suffix := range stateSidecars {
			if strings.HasSuffix(name, stateSuffix()+suffix) {
				sides = append(sides, filepath.Join(dir, name))
			}
		}
	}
	return files, sides, nil
}

// stateHash is the hash in the name of a state file that lies beside a log, empty for another file's.
func stateHash(log, name string) string {
	hash, ok := strings.CutSuffix(strings.TrimPrefix(name, statePrefix(filepath.Base(log))), stateSuffix())
	if !ok {
		return ""
	}
	return hash
}

// statePrefix begins the names of the state files beside a log of that name.
func statePrefix(log string) string {
	if strings.HasPrefix(log, expoPrefix) {
		return expoPrefix
	}
	return "state"
}

func stateSuffix() string { return fmt.Sprintf("@%d.db", Format) }

// Folders returns the folders below dir, and dir itself, that hold a client's log: a client's base directory has one for
// each store.
func Folders(dir string) ([]string, error) {
	_, err := locate(dir)
	if err == nil {
		return []string{dir}, nil
	}
	entries, e := os.ReadDir(dir)
	if e != nil {
		return nil, err // which says why, too
	}
	var out []string
	for _, entry := range entries {
		sub := filepath.Join(dir, entry.Name())
		if _, err := locateIn(sub); entry.IsDir() && err == nil {
			out = append(out, sub)
		}
	}
	if len(out) == 0 {
		return nil, err
	}
	return out, nil
}
