package script

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"headgate/internal/atomicfile"
)

// A Cache keeps the results of whole jobs (see [Run]). A job is a function of its parameters: clock, randomness and time
// zone are fixed, and there is no I/O. Losing the cache costs time only; it may be deleted at any moment.
type Cache struct {
	// Dir holds one file per result, 0600: the digest of the result, then the result. Results that were not asked for within MaxAge are removed.
	Dir string
	// Program tells builds of headgate apart: another build may answer otherwise.
	Program string
	// Now is the clock.
	Now func() time.Time
}

// MaxAge is how long a result is kept that nobody asks for.
const MaxAge = 14 * 24 * time.Hour

func (c *Cache) path(l Launcher, job string, params []byte) string {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(c.Program), []byte(job), []byte(l.TimeZone), params} {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}
	return filepath.Join(c.Dir, hex.EncodeToString(h.Sum(nil)))
}

// get returns a kept result, nil when there is none, or it was damaged.
func (c *Cache) get(path string) json.RawMessage {
	file, err := os.ReadFile(path)
	if err != nil || len(file) < sha256.Size {
		return nil
	}
	data := file[sha256.Size:]
	if sha256.Sum256(data) != [sha256.Size]byte(file) {
		return nil
	}
	now := c.Now()
	_ = os.Chtimes(path, now, now) // it stays young while it is used; a failure only ages it
	return data
}

// put keeps a result. A cache that can't be written is as good as none, so failures are not reported.
func (c *Cache) put(path string, data []byte) {
	if os.MkdirAll(c.Dir, 0o700) != nil {
		return
	}
	sum := sha256.Sum256(data)
	if atomicfile.Write(path, append(sum[:], data...), 0o600) != nil {
		return
	}
	now := c.Now()
	_ = os.Chtimes(path, now, now)
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > MaxAge {
			_ = os.Remove(filepath.Join(c.Dir, e.Name()))
		}
	}
}
