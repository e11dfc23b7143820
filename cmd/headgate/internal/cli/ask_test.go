package cli

import (
	"context"
	"io"
	"testing"
	"time"

	"headgate/internal/errs"
)

// onPrompt calls a function when something waits for an answer.
type onPrompt func()

func (f onPrompt) Write(b []byte) (int, error) {
	if string(b) == "> " {
		f()
	}
	return len(b), nil
}

// TestInterruptedQuestion: ^C at a question ends it, though nothing is typed and the terminal stays.
func TestInterruptedQuestion(t *testing.T) {
	keyboard, hand := io.Pipe()
	defer hand.Close() //nolint:errcheck // never fails; it ends the read that is left behind
	ctx, interrupt := context.WithCancel(t.Context())
	a := newApp(keyboard, io.Discard, onPrompt(interrupt), lookup(nil), time.Now)
	a.interrupted = ctx.Done()
	if n, err := a.ask("Shall it?", "no", "yes"); errs.CodeOf(err) != errs.Interrupted {
		t.Errorf("answer %d, %v", n, err)
	}
}
