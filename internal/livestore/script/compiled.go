package script

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"modernc.org/quickjs"
)

// Compiled keeps the bytecode of scripts for as long as the program runs, because compiling a bundle takes ten times as
// long as loading its bytecode, and a check loads one in half a dozen children. It is made by a child and handed to
// others. It never goes to disk: the engine trusts bytecode blindly, and a file could come from a stranger's branch.
// It is safe for concurrent use.
type Compiled struct {
	mu      sync.Mutex
	scripts map[[sha256.Size]byte]*compiled
}

type compiled struct {
	once  sync.Once
	frame []byte // the script's digest, then its bytecode; nil when it does not compile
}

// NewCompiled returns an empty Compiled.
func NewCompiled() *Compiled { return &Compiled{scripts: map[[sha256.Size]byte]*compiled{}} }

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
			if code, err := l.compile(ctx, code); err == nil {
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

// compile has a child compile a script.
func (l Launcher) compile(ctx context.Context, code string) ([]byte, error) {
	l.Compiled = nil
	p, err := l.Start(ctx, compileJob, nil)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if err := p.SendBytes(append([]byte{0}, code...)); err != nil {
		return nil, err
	}
	if _, _, err := p.Recv(ctx); err != nil {
		return nil, err
	}
	return p.conn.recv()
}

// jobCompile is the child's side of compile: a message that it worked, then the bytecode as it is.
func jobCompile(s *Session) error {
	code, err := s.RecvBytes()
	if err != nil {
		return err
	}
	vm, err := quickjs.NewVM()
	if err != nil {
		return fmt.Errorf("start the JavaScript engine: %w", err)
	}
	defer vm.Close() //nolint:errcheck // the process ends
	vm.SetMemoryLimit(uintptr(s.limits.Memory))
	vm.SetMaxStackSize(maxFrames)
	defer s.watch(s.limits.Call, "the compiler")()
	out, err := vm.Compile(string(code), quickjs.EvalGlobal)
	if err != nil {
		return errors.New("the script does not compile")
	}
	if err := s.conn.send(message{Done: true, Data: []byte("true")}); err != nil {
		return err
	}
	return s.conn.sendBytes(out)
}
