package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"headgate/internal/errs"
)

// workDirs is how the directories are called in which a migration's states lie: this, the process's id, a number.
const workDirs = "headgate-migration-"

// workDirAge is how long a directory that a killed process left is kept.
const workDirAge = 24 * time.Hour

// workDir makes a private directory for states, which the caller removes. Those that killed processes left are aged out
// first: they hold what users wrote.
func (a *app) workDir() (string, error) {
	tmp := os.TempDir()
	a.ageOut(tmp)
	dir, err := os.MkdirTemp(tmp, fmt.Sprintf("%s%d-", workDirs, os.Getpid())) // 0700
	if err != nil {
		return "", errs.New(errs.Internal, "can't make a temporary directory").Because(err)
	}
	return dir, nil
}

// ageOut removes work directories of this user whose process is gone and in which nothing happened for workDirAge. What
// can't be removed stays: another one tries again.
func (a *app) ageOut(tmp string) {
	root, err := os.OpenRoot(tmp)
	if err != nil {
		return
	}
	defer root.Close() //nolint:errcheck // read only
	found, err := os.ReadDir(tmp)
	if err != nil {
		return
	}
	for _, f := range found {
		name := f.Name()
		rest, ours := strings.CutPrefix(name, workDirs)
		id, _, ok := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(id)
		if !ours || !ok || err != nil || pid <= 0 || processExists(pid) {
			continue
		}
		info, err := root.Lstat(name) // a link is none of ours, wherever it leads
		if err != nil || !info.IsDir() || !ownFile(info) || a.now().Sub(lastChange(root, name, info)) < workDirAge {
			continue
		}
		if err := root.RemoveAll(name); err != nil { // follows no link
			a.log.Debug("can't remove what a killed process left", "path", filepath.Join(tmp, name), "error", err)
		}
	}
}

// lastChange is when something last happened in a directory or to a file right in it.
func lastChange(root *os.Root, name string, info os.FileInfo) time.Time {
	last := info.ModTime()
	d, err := root.Open(name)
	if err != nil {
		return last
	}
	defer d.Close() //nolint:errcheck // read only
	files, err := d.ReadDir(-1)
	if err != nil {
		return last
	}
	for _, f := range files {
		if i, err := f.Info(); err == nil && i.Mode().IsRegular() && i.ModTime().After(last) {
			last = i.ModTime()
		}
	}
	return last
}
