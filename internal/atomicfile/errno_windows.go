package atomicfile

import (
	"errors"
	"syscall"
)

const (
	errorHandleDiskFull = syscall.Errno(39)  // ERROR_HANDLE_DISK_FULL
	errorDiskFull       = syscall.Errno(112) // ERROR_DISK_FULL
)

// isDiskFull reports whether err means that no more bytes fit.
func isDiskFull(err error) bool {
	return errors.Is(err, errorDiskFull) || errors.Is(err, errorHandleDiskFull)
}

// isUnsupported is never asked on Windows, where directories are not synced.
func isUnsupported(error) bool { return false }
