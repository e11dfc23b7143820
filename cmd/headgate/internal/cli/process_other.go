//go:build !unix

package cli

import "os"

// processExists reports whether a process of this machine lives, or may.
func processExists(int) bool { return true }

// ownFile reports whether a file is this user's.
func ownFile(os.FileInfo) bool { return false }
