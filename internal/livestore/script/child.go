package script

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// ChildArg is the program's first argument when it runs as a sandbox child.
const ChildArg = "__headgate_sandbox_child"

// A JobFunc is what a child does. Its result, marshalled to JSON, ends the session in the parent.
type JobFunc func(ctx context.Context, s *Session) (any, error)

// Jobs are the jobs that a child can do, by name.
type Jobs map[string]JobFunc

// A Session is a job's end of the connection to its parent.
type Session struct {
	conn   *conn
	limits Limits
	params json.RawMessage
	die    func(f *Failure)
	// compiled is the bytecode of scripts by their digest.
	compiled map[[sha256.Size]byte][]byte
}

// message is every frame's form. A child sends exactly one with Done or Err set, and then ends.
type message struct {
	Job     string          `json:"job,omitempty"`
	Limits  *Limits         `json:"limits,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	Scripts int             `json:"scripts,omitempty"` // compiled scripts that follow, a frame each
	Done    bool            `json:"done,omitempty"`
	End     bool            `json:"end,omitempty"` // the parent sends nothing more
	Failure *Failure        `json:"failure,omitempty"`
	Err     string          `json:"err,omitempty"`
}

// Params decodes what the parent started the job with.
func (s *Session) Params(v any) error { return json.Unmarshal(s.params, v) }

// RecvBytes returns the parent's next frame that [Proc.SendBytes] sent, as it is, and io.EOF after the last one.
func (s *Session) RecvBytes() ([]byte, error) {
	b, err := s.conn.recv()
	switch {
	case err != nil:
		return nil, err
	case len(b) > 0 && b[0] == rawFrame:
		return b[1:], nil
	}
	return nil, io.EOF
}

// Send sends a message to the parent, which also tells it that the job is alive.
func (s *Session) Send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.conn.send(message{Data: b})
}

// NewVM makes an engine under the session's limits. The caller closes it.
func (s *Session) NewVM(opts VMOptions) (*VM, error) {
	return newVM(opts, s)
}

// watch ends the process when what it guards does not end in time: the engine can't interrupt a native.
// The engine's own timer gets the first chance, since it can name the function.
func (s *Session) watch(d time.Duration, what string) func() {
	t := time.AfterFunc(d+d/4+250*time.Millisecond, func() {
		s.die(&Failure{Kind: TooLong, Message: fmt.Sprintf("it ran longer than %s inside one built-in function (called by %s)", d, what)})
	})
	return func() { t.Stop() }
}

// Child serves one job and returns the process's exit status. exit ends the process at once; it is called by
// the watchdog, when nothing else can.
func Child(ctx context.Context, stdin io.Reader, stdout io.Writer, jobs Jobs, exit func(int)) int {
	c := newConn(stdin, stdout)
	b, err := c.recv()
	if err != nil {
		return 1
	}
	var m message
	if err := json.Unmarshal(b, &m); err != nil || m.Limits == nil {
		return 1
	}
	s := &Session{conn: c, limits: *m.Limits, params: m.Data, compiled: map[[sha256.Size]byte][]byte{}}
	s.die = func(f *Failure) {
		_ = c.send(message{Failure: f})
		exit(1)
	}
	for range m.Scripts {
		b, err := c.recv()
		if err != nil || len(b) < sha256.Size {
			return 1
		}
		s.compiled[[sha256.Size]byte(b)] = b[sha256.Size:]
	}
	job, ok := jobs[m.Job]
	if m.Job == compileJob {
		job, ok = jobCompile, true
	}
	if !ok {
		_ = c.send(message{Err: fmt.Sprintf("no job %q", m.Job)})
		return 1
	}
	result, err := job(ctx, s)
	var f *Failure
	switch {
	case errors.As(err, &f):
		err = c.send(message{Failure: f})
	case err != nil:
		err = c.send(message{Err: err.Error()})
	default:
		var data []byte
		if data, err = json.Marshal(result); err == nil {
			err = c.send(message{Done: true, Data: data})
		}
	}
	if err != nil {
		return 1
	}
	return 0
}
