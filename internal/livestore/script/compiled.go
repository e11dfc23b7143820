package script

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"modernc.org/quickjs"
)

// Compiled keeps the bytecode of scripts, because compiling a bundle takes ten times as long as loading its bytecode, and a
// check loads one in half a dozen children. It is made by a child and handed to others. It is safe for concurrent use.
type Compiled struct {
	mu      sync.Mutex
	scripts map[[sha256.Size]byte]*compiled
	later   *Cache
}

type compiled struct {
	once  sync.Once
	frame []byte // the script's digest, then its bytecode; nil when it does not compile
}

// NewCompiled returns an empty Compiled, which keeps bytecode for as long as the program runs, and in later for other runs
// unless that is nil. The engine trusts bytecode blindly: later must be a directory of this user's own, never one that comes
// with an app's source, where a file could be from a stranger's branch.
func NewCompiled(later *Cache) *Compiled {
	return &Compiled{scripts: map[[sha256.Size]byte]*compiled{}, later: later}
}

// Sourced are the parameters of a job that evaluates scripts: those that [Compiled] should be asked for.
type Sourced interface {
	Sources() []string
}

// frames returns what is known of the scripts that a job evaluates. A script that does not compile is left out: when it
// is evaluated its error says where.
func (c *Compiled) frames(ctx context.Context, l Launcher, params any) [][]byte {
	s, ok := params.(Sourced)
	if c == nil || !ok {
		return nil
	}
	var out [][]byte
	for _, code := range s.Sources() {
		sum := sha256.Sum256([]byte(code))
		c.mu.Lock()
		e := c.scripts[sum]
		if e == nil {
			e = &compiled{}
			c.scripts[sum] = e
		}
		c.mu.Unlock()
		e.once.Do(func() {
			if code, err := c.compile(ctx, l, code); err == nil {
				e.frame = append(sum[:], code...)
			}
		})
		if e.frame != nil {
			out = append(out, e.frame)
		}
	}
	return out
}

const compileJob = "script.compile"

// compile has a child compile a script, unless an earlier run did.
func (c *Compiled) compile(ctx context.Context, l Launcher, code string) ([]byte, error) {
	l.Compiled, l.Cache, l.TimeZone = nil, c.later, ""
	return Run[[]byte](ctx, l, compileJob, code)
}

// jobCompile is the child's side of compile.
func jobCompile(_ context.Context, s *Session) (any, error) {
	var code string
	if err := s.Params(&code); err != nil {
		return nil, err
	}
	vm, err := quickjs.NewVM()
	if err != nil {
		return nil, fmt.Errorf("start the JavaScript engine: %w", err)
	}
	defer vm.Close() //nolint:errcheck // the process ends
	vm.SetMemoryLimit(uintptr(s.limits.Memory))
	vm.SetMaxStackSize(maxFrames)
	defer s.watch(s.limits.Call, "the compiler")()
	out, err := vm.Compile(code, quickjs.EvalGlobal)
	if err != nil {
		return nil, errors.New("the script does not compile")
	}
	return out, nil
}
