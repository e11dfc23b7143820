package cli

import (
	"encoding/json"
	"iter"
	"os"
	"sync"
)

// A pile takes one report of each of many stores, in any order, and gives them back in the stores' order. Those of a few
// it holds; of more than that it keeps what is JSON of them in a file.
type pile[T any] struct {
	mu   sync.Mutex
	held []*T     // by store, where there are few
	file *os.File // else
	at   []span   // by store
	end  int64
	err  error
}

type span struct{ from, to int64 }

func newPile[T any](stores int) *pile[T] {
	p := &pile[T]{}
	if stores <= longTable {
		p.held = make([]*T, stores)
		return p
	}
	p.at = make([]span, stores)
	p.file, p.err = privateFile()
	return p
}

func (p *pile[T]) add(store int, v T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		p.held[store] = &v
		return
	}
	var text []byte
	if p.err == nil {
		text, p.err = plainJSON(v)
	}
	if p.err == nil {
		_, p.err = p.file.WriteAt(text, p.end)
	}
	p.at[store] = span{p.end, p.end + int64(len(text))}
	p.end += int64(len(text))
}

// few are the reports where they are held, nil else.
func (p *pile[T]) few() []T {
	var out []T
	for _, v := range p.held {
		if v != nil {
			out = append(out, *v)
		}
	}
	return out
}

// all are the reports, to be written as JSON.
func (p *pile[T]) all() iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for _, v := range p.few() {
			if !yield(v, nil) {
				return
			}
		}
		if p.err != nil {
			yield(nil, p.err)
			return
		}
		for _, at := range p.at {
			if at.from == at.to {
				continue
			}
			text := make(json.RawMessage, at.to-at.from)
			if _, err := p.file.ReadAt(text, at.from); !yield(text, err) || err != nil {
				return
			}
		}
	}
}

// close removes the file.
func (p *pile[T]) close() {
	if p.file != nil {
		discard(p.file)
	}
}
