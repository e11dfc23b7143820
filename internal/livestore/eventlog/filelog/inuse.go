package filelog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"headgate/internal/errs"
)

// stopHint says what to do about a log that is in use.
const stopHint = "stop the app and run this again: a running client keeps the log's end in its memory, and would give its own events the same numbers"

// An opener is a process that has a file open.
type opener struct {
	pid  int
	name string
}

// stopped reports as errs.Refused why it can't be taken that no client uses the log.
func (a *Appender) stopped(ctx context.Context) error {
	if err := a.notOpen(ctx); err != nil {
		return err
	}
	return a.noJournal(ctx)
}

// notOpen refuses a log that another process has open. It looks twice: a child process has its parent's files open
// for a moment before it becomes another program.
func (a *Appender) notOpen(ctx context.Context) error {
	var held []opener
	for range int(quiet/retryEvery) / 5 {
		var err error
		held, err = a.opt.openers(ctx, a.path)
		switch {
		case errors.Is(err, errCantTell) && a.opt.ForceClosed:
			return nil
		case errors.Is(err, errCantTell):
			return errs.Refusedf("it can't be seen on this machine whether a client has the log open").At("%s", a.path).Because(err).
				Hintf("install lsof; or stop every client of this log and say so with --force-closed")
		case err != nil:
			return err
		}
		if len(held) == 0 {
			return nil
		}
		if err := pause(ctx, 5*retryEvery); err != nil {
			return err
		}
	}
	who := fmt.Sprintf("process %d", held[0].pid)
	if held[0].name != "" {
		who += " (" + held[0].name + ")"
	}
	return errs.Refusedf("%s has the log open", who).At("%s", a.path).Hintf(stopHint)
}

// noJournal refuses a log with a rollback journal that lies still: SQLite would roll it back in the client's file.
// One that comes and goes is another Appender's.
func (a *Appender) noJournal(ctx context.Context) error {
	var last fileStamp
	still := 0
	for waited := time.Duration(0); ; waited += retryEvery {
		now, err := lookAt(a.path + sidecars[0])
		switch {
		case err != nil:
			return cantRead(a.path, err)
		case now.size <= 0:
			return nil
		case now != last:
			last, still = now, 0
		default:
			still++
		}
		if still >= int(quiet/retryEvery) {
			return errs.Refusedf("a process was killed while it wrote to the log, and left its journal").At("%s", a.path+sidecars[0]).
				Hintf("start the app once and stop it: it finishes or undoes what was under way; then run this again")
		}
		if waited >= a.opt.Wait {
			return errs.Refusedf("the log is being written to").At("%s", a.path).Hintf(stopHint)
		}
		if err := pause(ctx, retryEvery); err != nil {
			return err
		}
	}
}

// still refuses a log that changes within a moment: the only sign of a client in another container or, where openers
// sees nothing, on this machine.
func (a *Appender) still(ctx context.Context) error {
	before, err := look(a.path)
	if err != nil {
		return cantRead(a.path, err)
	}
	for range int(quiet / retryEvery) {
		if err := pause(ctx, retryEvery); err != nil {
			return err
		}
		now, err := look(a.path)
		if err != nil {
			return cantRead(a.path, err)
		}
		if now != before {
			return errs.Refusedf("the log is being written to").At("%s", a.path).Hintf(stopHint)
		}
	}
	return nil
}

// pause waits, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
