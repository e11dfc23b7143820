//go:build unix

package cli

import (
	"errors"
	"os"
	"syscall"
)

// processExists reports whether a process of this machine lives, or may.
func processExists(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// ownFile reports whether a file is this user's.
func ownFile(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}
