package script

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"
)

// Limits bound what app code may use.
type Limits struct {
	// Memory is the JavaScript heap in bytes.
	Memory int64 `json:"memory"`
	// Call is the wall-clock time of one call into the app's code: evaluating the bundle, or materializing one batch.
	Call time.Duration `json:"call"`
	// Silence is how long the parent waits for a sign of life before it kills the child.
	Silence time.Duration `json:"silence"`
}

// DefaultLimits suit schemas of hundreds of events on a slow machine.
func DefaultLimits() Limits {
	return Limits{Memory: 512 << 20, Call: 20 * time.Second, Silence: 60 * time.Second}
}

// A Launcher starts sandbox children.
type Launcher struct {
	// Exe is this program; it serves [Child] when its first argument is [ChildArg].
	Exe string
	// Limits apply to every child.
	Limits Limits
	// TimeZone is the child's TZ; empty is UTC.
	TimeZone string
	// Cache keeps the results of [Run]; nil keeps none.
	Cache *Cache
	// Compiled spares children to compile what others did; nil for none.
	Compiled *Compiled
}

// A Proc is a running child, seen from the parent. One goroutine may send while another receives.
type Proc struct {
	cmd    *exec.Cmd
	conn   *conn
	stderr *bytes.Buffer
	stop   context.CancelFunc
	timer  *time.Timer
	killed atomic.Bool
	limits Limits
	waited bool
}

// Start starts a child that does the named job with the given parameters. The caller must call Close.
func (l Launcher) Start(ctx context.Context, job string, params any) (*Proc, error) {
	scripts := l.Compiled.frames(ctx, l, params)
	ctx, stop := context.WithCancel(ctx)
	p := &Proc{stop: stop, stderr: new(bytes.Buffer), limits: l.Limits}
	p.cmd = exec.CommandContext(ctx, l.Exe, ChildArg)
	tz := l.TimeZone
	if tz == "" {
		tz = "UTC"
	}
	p.cmd.Env = []string{"TZ=" + tz} // nothing of the user's environment: app code must not see its secrets
	p.cmd.Stderr = &limitedWriter{w: p.stderr, left: 64 << 10}
	p.cmd.WaitDelay = 5 * time.Second
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		stop()
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		stop()
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		stop()
		return nil, fmt.Errorf("start the sandbox: %w", err)
	}
	p.conn = newConn(stdout, stdin)
	p.timer = time.AfterFunc(l.Limits.Silence, func() {
		p.killed.Store(true)
		stop()
	})
	data, err := json.Marshal(params)
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("encode the job: %w", err)
	}
	err = p.conn.send(message{Job: job, Limits: &l.Limits, Data: data, Scripts: len(scripts)})
	for i := 0; i < len(scripts) && err == nil; i++ {
		err = p.conn.sendBytes(scripts[i])
	}
	if err != nil {
		defer p.Close()
		return nil, p.ended(ctx, err)
	}
	return p, nil
}

// rawFrame begins a frame that is not JSON.
const rawFrame = 'r'

// SendBytes sends text to the job as it is, for [Session.RecvBytes]: bulk that need not be encoded twice.
// The frame must begin with a byte that is free for use.
func (p *Proc) SendBytes(frame []byte) error {
	frame[0] = rawFrame
	return p.conn.sendBytes(frame)
}

// End tells the job that nothing more will be sent.
func (p *Proc) End() error { return p.conn.send(message{End: true}) }

// Recv waits for the job's next message. The last one has done true. A failure of the app's code is a *Failure.
func (p *Proc) Recv(ctx context.Context) (data json.RawMessage, done bool, err error) {
	b, err := p.conn.recv()
	if err != nil {
		return nil, false, p.ended(ctx, err)
	}
	p.timer.Reset(p.limits.Silence)
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, false, fmt.Errorf("decode the sandbox's message: %w", err)
	}
	switch {
	case m.Failure != nil:
		return nil, false, m.Failure
	case m.Err != "":
		return nil, false, errors.New(m.Err)
	}
	return m.Data, m.Done, nil
}

// ended explains why the connection to the child broke.
func (p *Proc) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if p.killed.Load() {
		return &Failure{Kind: TooLong, Message: fmt.Sprintf("it gave no sign of life for %s and was killed", p.limits.Silence)}
	}
	p.wait()
	out := p.stderr.String()
	switch {
	case strings.Contains(out, "out of memory") || strings.Contains(out, "cannot allocate"):
		return &Failure{Kind: TooLarge, Message: fmt.Sprintf("it needed more than %d MiB of memory", p.limits.Memory>>20)}
	case strings.Contains(out, "stack exceeds"):
		return &Failure{Kind: Threw, Name: "RangeError", Message: "maximum call stack size exceeded"}
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		first, _, _ := strings.Cut(out, "\n")
		return fmt.Errorf("the sandbox ended by itself (%s): %s", p.cmd.ProcessState, first)
	}
	return fmt.Errorf("talk to the sandbox: %w", err)
}

func (p *Proc) wait() {
	if !p.waited {
		p.waited = true
		_ = p.cmd.Wait()
	}
}

// Close kills the child if it still runs, and waits for it.
func (p *Proc) Close() {
	p.timer.Stop()
	p.stop()
	p.wait()
}

// Run does a whole job that needs no conversation, and decodes its result, which may come from the launcher's cache.
func Run[T any](ctx context.Context, l Launcher, job string, params any) (T, error) {
	var out T
	path := ""
	if l.Cache != nil {
		data, err := json.Marshal(params)
		if err != nil {
			return out, fmt.Errorf("encode the job: %w", err)
		}
		path = l.Cache.path(l, job, data)
		if kept := l.Cache.get(path); kept != nil && json.Unmarshal(kept, &out) == nil {
			return out, nil
		}
		out = *new(T)
	}
	data, err := l.run(ctx, job, params)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, fmt.Errorf("decode the sandbox's result: %w", err)
	}
	if l.Cache != nil {
		l.Cache.put(path, data)
	}
	return out, nil
}

// run does a whole job in a child of its own.
func (l Launcher) run(ctx context.Context, job string, params any) (json.RawMessage, error) {
	p, err := l.Start(ctx, job, params)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	for {
		data, done, err := p.Recv(ctx)
		if err != nil || done {
			return data, err
		}
	}
}

// limitedWriter keeps the beginning of what is written and drops the rest.
type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	if n > 0 {
		if _, err := l.w.Write(b[:n]); err != nil {
			return 0, err
		}
		l.left -= n
	}
	return len(b), nil
}
