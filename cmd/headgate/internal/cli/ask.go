package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"headgate/internal/errs"
)

// errLeft ends questions that someone left. Nothing is wrong: what was begun is kept.
var errLeft = errors.New("left")

// ask asks a question on the terminal and returns which of the answers was given, 0 for the first: that is the safe one, and
// what an empty line means. Who types q, or ends the input, leaves: errLeft.
func (a *app) ask(question string, answers ...string) (int, error) {
	fmt.Fprintf(a.stderr, "\n%s\n", a.stderr.paint(strong, question))
	for i, text := range answers {
		enter := ""
		if i == 0 {
			enter = a.stderr.paint(faint, "  (Enter)")
		}
		fmt.Fprintf(a.stderr, "  %d  %s%s\n", i+1, text, enter)
	}
	fmt.Fprintf(a.stderr, "  q  leave; everything is kept\n")
	for {
		word, err := a.answer()
		if err != nil {
			return 0, err
		}
		if word == "" {
			return 0, nil
		}
		if n, err := strconv.Atoi(word); err == nil && n >= 1 && n <= len(answers) {
			return n - 1, nil
		}
		if n := slices.IndexFunc(answers, func(text string) bool { return strings.EqualFold(text, word) }); n >= 0 {
			return n, nil
		}
		fmt.Fprintf(a.stderr, "%q is none of 1 to %d.\n", word, len(answers))
	}
}

// askText asks for a line, which may be empty.
func (a *app) askText(question, about string) (string, error) {
	fmt.Fprintf(a.stderr, "\n%s\n  %s\n", a.stderr.paint(strong, question), about)
	return a.answer()
}

// askUntil asks for a line until it is empty, or one that means something: check says what is wrong with it.
func (a *app) askUntil(question, about string, check func(string) error) (string, error) {
	for {
		line, err := a.askText(question, about)
		if err != nil || line == "" {
			return line, err
		}
		wrong := check(line)
		if wrong == nil {
			return line, nil
		}
		if e := errs.As(wrong); e == nil || e.Code != errs.Invalid && e.Code != errs.NotFound {
			return "", wrong
		}
		a.explainAlone(wrong)
	}
}

// explainAlone says what went wrong, and names no command: a question comes next.
func (a *app) explainAlone(err error) {
	f := a.failureFrom(err)
	f.NextActions = nil
	a.explain(f, err)
}

func (a *app) answer() (string, error) {
	fmt.Fprint(a.stderr, "> ")
	line, err := a.typedLine()
	word := strings.TrimSpace(line)
	switch {
	case errors.Is(err, io.EOF) && word == "":
		fmt.Fprintln(a.stderr)
		return "", errLeft
	case errs.CodeOf(err) == errs.Interrupted:
		fmt.Fprintln(a.stderr)
		return "", err
	case err != nil && !errors.Is(err, io.EOF):
		return "", errs.New(errs.Interrupted, "no answer").Because(err)
	case strings.EqualFold(word, "q"):
		return "", errLeft
	}
	return word, nil
}

// typedLine reads a line of what is typed, until the command is interrupted.
func (a *app) typedLine() (string, error) {
	in := bufio.NewReader(a.stdin) // the same one where it is one already: what is typed ahead is for the next question
	a.stdin = in
	type read struct {
		line string
		err  error
	}
	lines := make(chan read, 1)
	go func() { // nobody can end a read of a terminal: after an interrupt it is left to the end of the program
		line, err := in.ReadString('\n')
		lines <- read{line, err}
	}()
	select {
	case r := <-lines:
		return r.line, r.err
	case <-a.interrupted:
		return "", errs.New(errs.Interrupted, "interrupted")
	}
}

// nested runs one of headgate's commands as a part of this one, in a directory, as if it had been typed there. Its result
// goes to out, what it says and asks where this one's does.
func (a *app) nested(ctx context.Context, dir string, out io.Writer, words ...string) error {
	b := newApp(a.stdin, out, a.stderr, a.lookupEnv, a.now)
	b.dir, b.interactive, b.stderr, b.compiled, b.walking = dir, a.interactive, a.stderr, a.compiled, a.walking
	args := append([]string{"headgate"}, words...)
	if a.configPath != "" && dir == a.dir {
		args = append(args, "--config", a.configPath)
	}
	format := formatText
	if a.format == formatJSON {
		format = formatJSON
	} else if s, ok := out.(*stream); ok {
		b.stdout = s
	}
	args = append(args, "--format", format)
	if !a.stdout.color && !a.stderr.color {
		args = append(args, "--no-color")
	}
	if a.serverTyped && hasRemoteForm(strings.Join(words, " ")) {
		args = append(args, "--server", a.server)
	}
	err := b.run(ctx, args)
	a.stdin = b.stdin // with what was typed ahead
	if e := errs.As(err); e != nil && len(e.Next) == 0 {
		e.Next = b.failureFrom(err).NextActions
	}
	return err
}
