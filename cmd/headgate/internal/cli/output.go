package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"headgate/internal/errs"
)

const (
	formatText = "text"
	formatJSON = "json"
)

// A rendering is a format that one command adds to text and JSON, and how it writes its result in it.
type rendering struct {
	format string
	write  func(w io.Writer) error
}

// render prints a command's result in the wanted format: value as indented JSON with stable keys, text for people,
// or one of more, whose names the command must also have given to formatFlag. The result is written only when it
// is complete.
func (a *app) render(value any, text func(w io.Writer) error, more ...rendering) error {
	if long, ok := value.(longResult); ok && a.format == formatJSON {
		return a.renderLong(long)
	}
	var b bytes.Buffer
	var err error
	switch a.format {
	case formatJSON:
		err = writeJSON(&b, value)
	case formatText:
		err = text(&b)
	default:
		err = errs.New(errs.Internal, "format %q has no rendering", a.format)
		for _, r := range more {
			if r.format == a.format {
				err = r.write(&b)
			}
		}
	}
	if err != nil {
		return err
	}
	out := b.Bytes()
	if a.format != formatJSON {
		out = bytes.ReplaceAll(out, []byte(workingTree), []byte("the working tree"))
	}
	a.rendered = true
	_, err = a.stdout.Write(out)
	return err
}

// writeJSON writes v indented by two spaces, with <, > and & as they are, and a final newline.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return errs.New(errs.Internal, "can't write the result as JSON").Because(err)
	}
	return nil
}

// A stream is standard output or standard error. It remembers the first failed write, so that a full disk behind
// a redirection ends the run with an error even where nobody looked at the result of a Fprintf.
type stream struct {
	terminal bool
	color    bool // the terminal shows colours and nobody asked for none

	mu  sync.Mutex
	w   io.Writer
	err error
}

func newStream(w io.Writer) *stream {
	return &stream{w: w, terminal: isTerminal(w)}
}

// isTerminal reports whether a reader or writer is a terminal.
func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.w.Write(p)
	if err != nil && s.err == nil {
		s.err = err
	}
	return n, err
}

func (s *stream) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// A tone is what a piece of text means to the reader; on a terminal it becomes a colour.
type tone string

const (
	bad    tone = "31" // red
	good   tone = "32" // green
	warn   tone = "33" // yellow
	strong tone = "1"
	faint  tone = "2"
)

// paint returns text in the tone, unchanged where the stream shows no colours. Meaning must never hang on the
// colour alone.
func (s *stream) paint(t tone, text string) string {
	if !s.color || text == "" {
		return text
	}
	return fmt.Sprintf("\x1b[%sm%s\x1b[0m", t, text)
}
