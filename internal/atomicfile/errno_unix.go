//go:build !windows

package atomicfile

import (
	"errors"
	"syscall"
)

// isDiskFull reports whether err means that no more bytes fit: the disk, the user's quota or the largest file.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// isUnsupported reports whether a file system can't sync a directory (some network and container mounts).
func isUnsupported(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP)
}
