package filelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"headgate/internal/errs"
)

// backupTime names a backup by the second, in UTC.
const backupTime = "20060102T150405Z"

// stateSidecars are the files that belong to a state file, in the order in which they follow it.
var stateSidecars = [...]string{"-journal", "-wal", "-shm"}

// states returns the names of the client's state files, for every version of the schema, and then of their sidecars.
func (a *Appender) states() ([]string, error) {
	files, sides, err := stateFiles(a.path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range append(files, sides...) {
		name := filepath.Base(file)
		if stateHash(a.path, name) == ManualHash {
			return nil, errs.Refusedf("the app migrates its state by hand, it is not rebuilt from the log").At("%s", file).
				Hintf("what is appended to the log of such a client would never be materialized: have the client commit the events itself")
		}
		names = append(names, name)
	}
	return names, nil
}

// setAside makes the backup and moves the state files into it, so that the client rebuilds its state. It does it once;
// again only where state files came anew: the client has run since, and the log is another one, too.
func (a *Appender) setAside(ctx context.Context) error {
	states, err := a.states()
	if err != nil {
		return err
	}
	if a.backup != "" && len(states) == 0 {
		return nil
	}
	dir, err := a.makeBackup()
	if err != nil {
		return err
	}
	if err := a.copyLog(ctx, dir); err != nil {
		return errors.Join(err, os.RemoveAll(dir)) // it holds nothing but a part of a copy
	}
	a.opt.stage("copied")
	from := filepath.Dir(a.path)
	for _, name := range states {
		err := os.Rename(filepath.Join(from, name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another writer was faster
			return errs.New(errs.Internal, "can't move the state file into the backup").At("%s", filepath.Join(from, name)).Because(cause(err)).
				Hintf("nothing was appended; the client rebuilds what was moved to %s", dir)
		}
		a.opt.stage("moved " + name)
	}
	for _, d := range []string{dir, from} {
		if err := syncDir(d); err != nil {
			return cantBackUp(d, err)
		}
	}
	a.backup = dir
	a.opt.stage("moved")
	return nil
}

// makeBackup makes a folder that no other backup has.
func (a *Appender) makeBackup() (string, error) {
	name := a.path + ".headgate-" + a.opt.Now().UTC().Format(backupTime)
	for n := 1; ; n++ {
		dir := name
		if n > 1 {
			dir = fmt.Sprintf("%s-%d", name, n)
		}
		err := os.Mkdir(dir, 0o700) // it holds payload
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", cantBackUp(dir, err)
		}
	}
}

// copyLog copies the log into the backup, and makes sure that nothing wrote to it meanwhile.
func (a *Appender) copyLog(ctx context.Context, dir string) error {
	for tries := 0; tries < 10; tries++ {
		before, err := look(a.path)
		if err != nil {
			return cantRead(a.path, err)
		}
		if err := copySynced(a.path, filepath.Join(dir, filepath.Base(a.path))); err != nil {
			return err
		}
		after, err := look(a.path)
		if err != nil {
			return cantRead(a.path, err)
		}
		if before == after && !before.unfinished() {
			return syncDir(dir)
		}
		if err := pause(ctx, retryEvery); err != nil {
			return err
		}
	}
	return errs.Refusedf("the log changes while it is copied").At("%s", a.path).Hintf(stopHint)
}

func copySynced(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return cantRead(from, err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return cantBackUp(to, err)
	}
	_, err = io.Copy(dst, src)
	if err == nil {
		err = dst.Sync()
	}
	if e := dst.Close(); err == nil {
		err = e
	}
	if err != nil {
		return cantBackUp(to, err)
	}
	return nil
}

// syncDir makes what was made and renamed in dir survive a power cut. Windows can't sync a directory.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func cantBackUp(path string, err error) error {
	return errs.New(errs.Internal, "can't make the backup of the log").At("%s", path).Because(cause(err)).
		Hintf("nothing was appended; it needs as much room as the log, beside it")
}
