package filelog

import (
	"context"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// DecodeRow decodes the texts of a row, for the fuzz target.
func DecodeRow(global, client, head int64, name, args, clientID, sessionID, metadata string) (livestore.Event, *errs.Error) {
	r := row{global: global, client: client, name: name, args: []byte(args), clientID: clientID, sessionID: sessionID, syncMetadata: metadata}
	return r.event(livestore.SeqNum(head))
}

// EventsQuery is the query that streams a log.
const EventsQuery = eventsQuery

// Snapshot copies the log at path to dir, calling during while each copy is made, and returns how many were made.
func Snapshot(ctx context.Context, path, dir string, during func(n int)) (copies int, err error) {
	err = snapshot(ctx, path, dir, 10*time.Second, func(ctx context.Context, path, dir string, s stamp) error {
		copies++
		if err := copySet(ctx, path, dir, s); err != nil {
			return err
		}
		during(copies)
		return nil
	})
	return copies, err
}

// WithStages returns opt with a function that an Append calls after each of its steps.
func WithStages(opt Options, stage func(name string)) Options {
	opt.stage = stage
	return opt
}

// LsofOpeners are the processes that lsof says have a file open.
func LsofOpeners(ctx context.Context, path string) (names []string, err error) {
	all, err := lsofOpeners(ctx, path)
	for _, o := range all {
		names = append(names, o.name)
	}
	return names, err
}

// ErrCantTell says that this machine does not show who has a file open.
var ErrCantTell = errCantTell

// WithBlindness returns opt as on such a machine.
func WithBlindness(opt Options) Options {
	opt.openers = func(context.Context, string) ([]opener, error) { return nil, errCantTell }
	return opt
}
