// Package atomicfile writes files whole or not at all: into a temporary file beside the target, synced to
// disk, then renamed over it. A failure of any kind, a full disk or a cancelled run, leaves the old file as
// it was and no temporary file behind; only a killed process can leave one, named ".NAME.tmp-…".
//
// It does not create directories, does not lock, and does not make several files change together.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"headgate/internal/errs"
)

// Write makes path hold data, with the permissions perm before the umask.
func Write(path string, data []byte, perm fs.FileMode) error {
	f, err := Create(path, perm)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}

// A File is a new version of a file that is not visible until Commit. It is not safe for concurrent use.
type File struct {
	tmp    *os.File // nil once committed or aborted
	name   string   // of the temporary file
	target string   // path with symbolic links resolved
	path   string   // as the caller named it, for messages
	failed error    // the first failed write: Commit must not publish after it
}

// Create opens a new version of path with the permissions perm before the umask. The caller must end with
// Commit or Abort; Abort after Commit does nothing, so it can be deferred. If path is a symbolic link, the
// file that it points to is replaced and the link stays.
func Create(path string, perm fs.FileMode) (*File, error) {
	target := path
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		target = resolved
	}
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		return nil, errs.Invalidf("can't write the file: a directory has this name").At("%s", path)
	}
	name := filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".tmp-"+rand.Text()[:10])
	tmp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, explain(path, err)
	}
	return &File{tmp: tmp, name: name, target: target, path: path}, nil
}

// Write appends p to the new version. It is an io.Writer.
func (f *File) Write(p []byte) (int, error) {
	if f.tmp == nil {
		return 0, errs.New(errs.Internal, "write after Commit or Abort").At("%s", f.path)
	}
	n, err := f.tmp.Write(p)
	if err != nil {
		err = explain(f.path, err)
		f.failed = errors.Join(f.failed, err)
	}
	return n, err
}

// Name returns the path of the temporary file, for a library that wants to open it by name. What such a
// library wrote must be on disk when Commit is called.
func (f *File) Name() string { return f.name }

// Commit puts the new version in place. On an error the old file is untouched and the new version is gone.
func (f *File) Commit() error {
	if f.tmp == nil {
		return errs.New(errs.Internal, "second Commit or Abort").At("%s", f.path)
	}
	if f.failed != nil {
		f.Abort()
		return f.failed
	}
	err := f.tmp.Sync()
	if e := f.tmp.Close(); err == nil {
		err = e
	}
	f.tmp = nil
	if err == nil {
		err = os.Rename(f.name, f.target)
	}
	if err != nil {
		_ = os.Remove(f.name) // the error that matters is already there
		return explain(f.path, err)
	}
	if err := syncDir(filepath.Dir(f.target)); err != nil {
		return explain(f.path, err)
	}
	return nil
}

// Abort throws the new version away. It does nothing after Commit or an earlier Abort.
func (f *File) Abort() {
	if f.tmp == nil {
		return
	}
	// Nothing is lost by a failure here: the file was to go anyway, and its name says that it is temporary.
	_ = f.tmp.Close()
	_ = os.Remove(f.name)
	f.tmp = nil
}

// syncDir makes a rename in dir survive a power cut. Windows can't sync a directory and doesn't need to.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil // a directory that may be written but not read: the rename has happened
	}
	if err != nil {
		return err
	}
	err = d.Sync()
	if isUnsupported(err) {
		err = nil
	}
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}

// explain turns an operating system's error into one that says what to do.
func explain(path string, err error) error {
	var pe *fs.PathError
	cause := err
	if errors.As(err, &pe) {
		cause = pe.Err // the temporary file's name means nothing to the user
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		cause = le.Err
	}
	dir := filepath.Dir(path)
	switch {
	case isDiskFull(err):
		return errs.New(errs.Internal, "can't write the file: the disk is full").At("%s", path).Because(cause).
			Hintf("free some space and run the command again; the file is as it was before")
	case errors.Is(err, fs.ErrNotExist):
		return errs.NotFoundf("can't write the file: its directory does not exist").At("%s", path).Because(cause).
			Hintf("create %s first", dir)
	case errors.Is(err, fs.ErrPermission):
		return errs.New(errs.Internal, "can't write the file: no permission").At("%s", path).Because(cause).
			Hintf("make %s writable for this user", dir)
	}
	return errs.New(errs.Internal, "can't write the file").At("%s", path).Because(cause).
		Hintf("the file is as it was before")
}
