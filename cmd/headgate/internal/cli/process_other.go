//go:build !unix

package cli

// processExists reports whether a process of this machine lives, or may.
func processExists(int) bool { return true }
