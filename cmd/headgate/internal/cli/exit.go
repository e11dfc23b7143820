package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
)

// exitStatus maps an error's code to the status the program ends with. The numbers are stable; scripts rely on them.
func exitStatus(code errs.Code) int {
	switch code {
	case "":
		return 0
	case errs.Invalid, errs.NotFound, errs.Unverifiable, errs.Unauthorized, errs.Forbidden:
		return 2
	case errs.Findings:
		return 3
	case errs.Stale:
		return 4
	case errs.Partial:
		return 5
	case errs.Locked:
		return 6
	case errs.Refused:
		return 7
	case errs.Mismatch:
		return 8
	case errs.Interrupted:
		return 130
	}
	return 1
}

const exitCodesText = `headgate ends with one of these statuses. They are stable: scripts may rely on them.

    0  ok
    1  internal error: a defect in headgate, or the machine failed it (disk full, no permission)
    2  usage or configuration: the command line, headgate.yaml, a file that is damaged or does not
       exist, app code that can't be evaluated, or a token that the server refuses
    3  findings at or above --fail-on, a closed gate, or problems in an event log
    4  an approval is missing, or the plan is stale
    5  partial: some stores failed, the rest are done
    6  another process holds the lock
    7  refused: it would lose data
    8  a verification found a difference
  130  interrupted by a signal

Every failed run says on stderr what went wrong, what to do about it and which command to run next:

    headgate: error: headgate.yaml:4: unknown key "entri"
    headgate: hint: did you mean entry?
    headgate: next: headgate help config

With --format json the same is on stdout, unless the command has printed its result there already:

    {"error": {"code", "message", "where", "hint"}, "next_actions": […]}
`

func exitCodesTopic() topic {
	return topic{
		name:  "exit-codes",
		about: "what the exit statuses mean",
		render: func(_ *app, w io.Writer, _ []string) error {
			_, err := io.WriteString(w, exitCodesText)
			return err
		},
	}
}

// A failure is an error as --format json shows it.
type failure struct {
	Error struct {
		Code    errs.Code `json:"code"`
		Message string    `json:"message"`
		Where   string    `json:"where,omitempty"`
		Hint    string    `json:"hint,omitempty"`
	} `json:"error"`
	NextActions []string `json:"next_actions"`
}

// end reports the run's error and returns its exit status.
func (a *app) end(ctx context.Context, err error) int {
	if e := a.stdout.failed(); e != nil && errs.As(err) == nil {
		err = errs.New(errs.Internal, "can't write to standard output").Because(e).Hintf("is the disk behind it full?")
	}
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil && errs.CodeOf(err) == errs.Internal {
		err = errs.New(errs.Interrupted, "interrupted").Because(err)
	}

	f := a.failureFrom(err)
	a.explain(f, err)
	if a.format == formatJSON && !a.rendered && a.stdout.failed() == nil {
		if e := writeJSON(a.stdout, f); e != nil {
			fmt.Fprintf(a.stderr, "headgate: error: %v\n", e)
		}
	}
	return exitStatus(f.Error.Code)
}

// failureFrom is an error with its hint and its next commands.
func (a *app) failureFrom(err error) failure {
	var f failure
	f.Error.Code = errs.CodeOf(err)
	f.Error.Message = err.Error()
	if e := errs.As(err); e != nil {
		f.Error.Where, f.Error.Hint = e.Where, e.Hint
		f.NextActions = e.Next
		if e.Where != "" {
			f.Error.Message = strings.TrimPrefix(f.Error.Message, e.Where+": ")
		}
	}
	if len(f.NextActions) == 0 && errors.Is(err, config.ErrWhichEnvironment) {
		for _, env := range a.loaded.Environments {
			f.NextActions = append(f.NextActions, a.line+" --env "+env.Name)
		}
	}
	if len(f.NextActions) == 0 {
		f.NextActions = []string{a.fallbackNext(f)}
	}
	return f
}

// explain says on stderr what went wrong, and what to do.
func (a *app) explain(f failure, err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(a.stderr, "headgate: %s: %s\n", a.stderr.paint(bad, "error"), strings.TrimRight(line, "\n"))
	}
	for line := range strings.Lines(f.Error.Hint) {
		fmt.Fprintf(a.stderr, "headgate: hint: %s\n", strings.TrimRight(line, "\n"))
	}
	for _, next := range f.NextActions {
		fmt.Fprintf(a.stderr, "headgate: next: %s\n", next)
	}
}

// fallbackNext is the next command of an error that names none: the same again where the user or the machine has to
// change something first, else what tells more.
func (a *app) fallbackNext(f failure) string {
	switch {
	case f.Error.Code == errs.Interrupted, f.Error.Code == errs.Locked, f.Error.Code == errs.Internal && f.Error.Hint != "":
		return a.line
	case f.Error.Code == errs.Internal:
		return a.line + " --log-level debug"
	case a.loaded != nil && strings.HasPrefix(f.Error.Where, a.loaded.Path):
		return a.typed + " --help" // what was typed does not fit what headgate.yaml says
	case f.Error.Where != "" && f.Error.Hint != "":
		return a.line // a file has to change, the command is right
	}
	return a.typed + " --help"
}

// commandLine returns args as they can be typed into a POSIX shell. It is printed, into the logs of CI too, so the
// password of a URL is left for the reader to fill in.
func commandLine(args []string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./:,@%^"
	password := regexp.MustCompile(`(://[^:/@]*):.*@|([?&](?:ssl)?password=)[^&#]*`)
	out := "headgate"
	for _, arg := range args {
		arg = password.ReplaceAllStringFunc(arg, func(found string) string {
			if strings.HasPrefix(found, "://") {
				user, _, _ := strings.Cut(found[len("://"):], ":")
				return "://" + user + ":PASSWORD@"
			}
			name, _, _ := strings.Cut(found, "=")
			return name + "=PASSWORD"
		})
		if arg == "" || strings.Trim(arg, plain) != "" {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		out += " " + arg
	}
	return out
}
