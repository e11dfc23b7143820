package observe

import (
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
)

// batchesKept is how many batches are remembered: a sender tries again within minutes.
const batchesKept = 50_000

// Batches remembers which batches were kept, the last ones only, so that one that comes again is not counted again. Its zero
// value is ready, and safe for concurrent use. It is this process's own: what is sent again to another server counts there.
type Batches struct {
	mu    sync.Mutex
	known map[batchKey]bool // false while it is being kept
	order []batchKey        // those that are kept, a ring
	next  int               // the oldest of a ring that is full
}

type batchKey [16]byte

// keyOf is of one size, whatever a sender calls its batch, and no other sender's.
func keyOf(words ...string) batchKey {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	return batchKey(sum[:16])
}

// errUnderWay says that the same batch is being kept: whether it will be is not known yet.
var errUnderWay = errors.New("the batch is under way")

// once keeps a batch, unless it was kept before. What could not be kept may come again.
func (b *Batches) once(key batchKey, keep func() error) error {
	b.mu.Lock()
	kept, there := b.known[key]
	if !there {
		if b.known == nil {
			b.known = map[batchKey]bool{}
		}
		b.known[key] = false
	}
	b.mu.Unlock()
	switch {
	case kept:
		return nil
	case there:
		return errUnderWay
	}
	err := errors.New("keeping the batch did not end") // where keep crashes
	defer func() { b.end(key, err) }()
	err = keep()
	return err
}

func (b *Batches) end(key batchKey, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		delete(b.known, key)
		return
	}
	b.known[key] = true
	if len(b.order) < batchesKept {
		b.order = append(b.order, key)
		return
	}
	delete(b.known, b.order[b.next])
	b.order[b.next] = key
	b.next = (b.next + 1) % batchesKept
}
