package filelog

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"headgate/internal/errs"
)

const (
	// retryEvery is how long to wait before looking again at a log that is being written to.
	retryEvery = 20 * time.Millisecond
	// quiet is how long a rollback journal must lie still to be taken for one that a killed app left behind.
	// LiveStore's transactions take milliseconds.
	quiet = 400 * time.Millisecond
	// staleAfter is the age from which a copy is taken for one that a killed headgate left behind.
	staleAfter = 24 * time.Hour
	// copyPrefix begins the name of every copy's folder.
	copyPrefix = "headgate-log-"
	copyName   = "eventlog.db"
)

// sidecars are the files that may hold a part of the database's truth: the rollback journal, and the
// write-ahead log, which LiveStore does not use but a file that was opened by other tools may have.
var sidecars = [...]string{"-journal", "-wal"}

// A stamp tells whether a database changed. A commit moves the change counter in the database's header, which
// holds where the file system's times are too coarse.
type stamp struct {
	db      fileStamp
	sides   [len(sidecars)]fileStamp
	counter uint32
}

type fileStamp struct {
	size     int64 // -1: there is no such file
	modified time.Time
}

// unfinished reports whether a transaction is under way or was killed.
func (s stamp) unfinished() bool { return s.sides[0].size > 0 }

func look(path string) (stamp, error) {
	// The journal is looked at first: a transaction that begins after this look writes only after it, too.
	var s stamp
	for i, suffix := range sidecars {
		var err error
		if s.sides[i], err = lookAt(path + suffix); err != nil {
			return s, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return s, err
	}
	s.db = fileStamp{size: info.Size(), modified: info.ModTime()}
	var counter [4]byte
	if _, err := f.ReadAt(counter[:], 24); err != nil && !errors.Is(err, io.EOF) {
		return s, err
	}
	s.counter = binary.BigEndian.Uint32(counter[:])
	return s, nil
}

func lookAt(path string) (fileStamp, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fileStamp{size: -1}, nil
	}
	if err != nil {
		return fileStamp{}, err
	}
	return fileStamp{size: info.Size(), modified: info.ModTime()}, nil
}

// snapshot copies the database at path, with its journal, to dir as it is at one moment.
//
// No lock would do: LiveStore's node adapter runs SQLite on a file layer that takes none, so a reader's lock
// does not hold its writer back, and its journal in mid-transaction looks to SQLite like one that a killed
// process left, which SQLite would roll back into the running app's file. So the original is only ever read,
// as bytes, and a copy counts when nothing was written while it was made.
//
// makeCopy is copySet; a test has the app write in its midst.
func snapshot(ctx context.Context, path, dir string, wait time.Duration, makeCopy copier) error {
	giveUp := time.NewTimer(wait)
	defer giveUp.Stop()
	var last stamp
	for same := 0; ; same++ { // looks that found no change
		before, err := look(path)
		if err != nil {
			return cantRead(path, err)
		}
		if before != last {
			last, same = before, 0
		}
		if !before.unfinished() || same >= int(quiet/retryEvery) {
			if err := makeCopy(ctx, path, dir, before); err != nil {
				return err
			}
			after, err := look(path)
			if err != nil {
				return cantRead(path, err)
			}
			if after == before {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-giveUp.C:
			return errs.New(errs.Locked, "the log is being written to all the time, no moment of rest in %s", wait).
				At("%s", path).Hintf("try again when the app is calmer, or stop it")
		case <-time.After(retryEvery):
		}
	}
}

// A copier copies the database at path, and its sidecars as they are in s, to dir.
type copier func(ctx context.Context, path, dir string, s stamp) error

func copySet(ctx context.Context, path, dir string, s stamp) error {
	target := filepath.Join(dir, copyName)
	for i, suffix := range sidecars {
		if err := os.Remove(target + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return cantCopy(dir, err)
		}
		if s.sides[i].size > 0 {
			if err := copyFile(ctx, path+suffix, target+suffix); err != nil {
				return err
			}
		}
	}
	return copyFile(ctx, path, target)
}

// copyFile copies in steps that ctx can end; the system makes it a reflink where it can. A source that is gone
// is no error: a journal vanishes with its transaction, and the stamp will tell.
func copyFile(ctx context.Context, from, to string) (err error) {
	src, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return cantRead(from, err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return cantCopy(to, err)
	}
	defer func() {
		if cerr := dst.Close(); cerr != nil && err == nil {
			err = cantCopy(to, cerr)
		}
	}()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		_, err := io.CopyN(dst, src, 64<<20)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return cantCopy(to, err)
		}
	}
}

// sweep removes copies beside own, a new one, that a killed headgate left. Copies are not worth an error: what
// can't be removed now is tried again by the next run.
func sweep(own string) {
	dir := filepath.Dir(own)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	made, err := os.Stat(own)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), copyPrefix) {
			continue
		}
		if info, err := e.Info(); err == nil && made.ModTime().Sub(info.ModTime()) > staleAfter {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}

func cantRead(path string, err error) error {
	return errs.New(errs.Internal, "can't read the log").At("%s", path).Because(cause(err)).
		Hintf("headgate only reads it; check that the file and its folder can be read by this user")
}

func cantCopy(path string, err error) error {
	return errs.New(errs.Internal, "can't make a private copy of the log to read from").At("%s", path).Because(cause(err)).
		Hintf("it needs as much room as the log in the temporary folder; TMPDIR chooses another one")
}

// cause strips the operation and path that the message around it names already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
