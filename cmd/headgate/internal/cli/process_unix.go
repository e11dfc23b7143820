//go:build unix

package cli

import (
	"errors"
	"syscall"
)

// processExists reports whether a process of this machine lives, or may.
func processExists(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
