package inventory

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"time"
	"unicode"

	"headgate/internal/errs"
)

const (
	// commandTime is how long a command may take.
	commandTime = 10 * time.Minute
	// commandSaid is how much of what it says on stderr is kept.
	commandSaid = 8 << 10
)

// run runs the command and reads what it prints while it runs.
func (s Source) run(ctx context.Context, sink *sink) error {
	limited, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(limited, s.Command[0], s.Command[1:]...)
	cmd.Dir = s.Dir
	cmd.WaitDelay = time.Second // a child of its own may hold the pipes open
	said := &tail{}
	cmd.Stderr = said
	out, in := io.Pipe()
	cmd.Stdout = in
	fail := func(format string, args ...any) *errs.Error {
		return errs.Invalidf("the inventory command "+format, args...).At("%s", s.Where).
			Hintf(`run it by hand: it prints [{"id": "…"}, …], or one such object per line, and ends with 0`)
	}
	if err := cmd.Start(); err != nil {
		return fail("can't be run").Because(err)
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		in.CloseWithError(io.EOF) //nolint:errcheck // never fails
		ended <- err
	}()
	reading := readJSON(out, sink, func(err error) error { return fail("can't be read").Because(err) })
	if reading != nil {
		cancel() // nobody reads on
	}
	_ = out.Close()
	err := <-ended
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		return fail("did not end within %s", commandTime)
	case errors.As(err, &exit) && exit.ExitCode() > 0: // then what it printed may be a part
		if line := said.line(); line != "" {
			return fail("failed (%s): %s", exit, line)
		}
		return fail("failed (%s) and said nothing on stderr", exit)
	case reading != nil:
		return reading
	case err != nil:
		return fail("failed").Because(err)
	}
	return nil
}

// A tail keeps the end of what is written to it.
type tail struct{ kept bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.kept.Write(p)
	if over := t.kept.Len() - commandSaid; over > 0 {
		t.kept.Next(over)
	}
	return len(p), nil
}

// line is the last line with text in it, cut to what fits a message.
func (t *tail) line() string {
	const most = 200
	text := strings.TrimSpace(t.kept.String())
	text = strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
	line := []rune(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text))
	if len(line) > most {
		return string(line[:most]) + " …"
	}
	return string(line)
}
