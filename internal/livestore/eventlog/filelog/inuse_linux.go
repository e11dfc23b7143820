package filelog

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// openers returns the other processes that have the file at path open. It sees those of this user, of this process's
// container, and as root those of other users.
func openers(ctx context.Context, path string) ([]opener, error) {
	file, err := os.Stat(path)
	if err != nil {
		return nil, cantRead(path, err)
	}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return lsofOpeners(ctx, path)
	}
	var all []opener
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		dir := filepath.Join("/proc", p.Name())
		if hasOpen(filepath.Join(dir, "fd"), file) {
			name, _ := os.ReadFile(filepath.Join(dir, "comm")) // it may have ended: the name only helps
			all = append(all, opener{pid: pid, name: strings.TrimSpace(string(name))})
		}
	}
	return all, nil
}

// hasOpen reports whether one of the descriptors in dir is of the file.
func hasOpen(dir string, file os.FileInfo) bool {
	descriptors, err := os.ReadDir(dir)
	if err != nil {
		return false // another user's, or it ended
	}
	for _, d := range descriptors {
		path := filepath.Join(dir, d.Name())
		// Only a file of that name is looked at: others may be on a file system that does not answer.
		if link, err := os.Readlink(path); err != nil || filepath.Base(link) != file.Name() {
			continue
		}
		if info, err := os.Stat(path); err == nil && os.SameFile(info, file) {
			return true
		}
	}
	return false
}
