//go:build !linux

package filelog

import "context"

// openers returns the other processes that have the file at path open, or errCantTell.
func openers(ctx context.Context, path string) ([]opener, error) { return lsofOpeners(ctx, path) }
