package operate

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"headgate/internal/atomicfile"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
	"headgate/internal/livestore/eventlog/transfer"
)

// A BackendReset empties the backend of one store, through the admin route of headgate's worker: the backend gets a new id, and
// every client drops what it has of the store. The store's log is exported first, and a dump can be imported afterwards; until
// that is done clients' pushes and new pulls wait, so that nobody writes between the events that are imported, and nobody loads a
// half of them.
//
// It can be killed anywhere. What it was about to do stands in a file beside the export, and Run goes on from there.
type BackendReset struct {
	Environment
	Store    livestore.StoreID
	Route    AdminRoute
	Open     func(context.Context) (eventlog.Appender, error) // the store's log
	Export   string                                           // the file that gets the log as it is
	ExportAs string                                           // how that was named, for people
	Import   *Dump                                            // what the store holds afterwards; nil for nothing
	Agreed   func(context.Context, Dump) error                // refuses an export that Import was not made of; nil to take any
	Forget   func() error                                     // what else is kept of the log that is gone; nil for nothing
	Seen     livestore.SeqNum                                 // where the store ended when its loss was accepted; 0 where nobody said
	By       control.By                                       // with a reason
	Progress Progress
}

// A BackendResetReport says what a reset does, or did.
type BackendResetReport struct {
	Store       livestore.StoreID `json:"store"`
	Environment string            `json:"environment"`
	Was         BackendState      `json:"was"`
	Loss        BackendLoss       `json:"loss"`
	Export      string            `json:"export"`
	Reset       time.Time         `json:"resetAt,omitzero"` // zero before it was done
	BackendID   string            `json:"backendId,omitempty"`
	Imported    *ImportReport     `json:"imported,omitempty"`
	// HeldUntil is when clients may push again by themselves, after a run that did not get to its end.
	HeldUntil   time.Time `json:"heldUntil,omitzero"`
	NextActions []string  `json:"next_actions"`
}

// A BackendState is what the store was before.
type BackendState struct {
	BackendID string           `json:"backendId"`
	Head      livestore.SeqNum `json:"head"`
	Digest    string           `json:"digest,omitempty"` // of its events, once they are exported
}

func (s BackendReset) report() BackendResetReport {
	return BackendResetReport{Store: s.Store, Environment: s.Name, Export: s.ExportAs, NextActions: []string{}}
}

// Look says what Run would lose, and changes nothing.
func (s BackendReset) Look(ctx context.Context) (r BackendResetReport, err error) {
	r = s.report()
	if err := s.own(); err != nil {
		return r, err
	}
	j, err := s.journal()
	if err == nil && !j.Done.IsZero() {
		err = errs.Refusedf("the reset with this --export was done at %s", j.Done.Format(time.RFC3339)).At("%s", s.journalFile()).
			Hintf("for another one, name another file with --export")
	}
	if err != nil {
		return r, err
	}
	was, err := s.Route.Info(ctx, s.Store)
	if err == nil && !was.Exists {
		err = s.nothing()
	}
	if err != nil {
		return r, err
	}
	r.Was = BackendState{BackendID: was.BackendID, Head: was.Head}
	log, err := s.Open(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	r.Loss, err = s.loss(ctx, was, log)
	return r, err
}

func (s BackendReset) nothing() error {
	return errs.NotFoundf("the backend has no store %s: there is nothing to reset", s.Store).At("%s", s.Route.where())
}

// own refuses a dump of another store: its clients would load what is not theirs.
func (s BackendReset) own() error {
	if s.Import == nil || s.Import.Found.StoreID == s.Store {
		return nil
	}
	return errs.Refusedf("the dump is of store %s, not of %s", s.Import.Found.StoreID, s.Store).At("%s", s.Import.Path).
		Hintf("what a store holds after a reset is its own log, or what headgate log transform made of it")
}

// Run resets the store, and imports.
func (s BackendReset) Run(ctx context.Context) (r BackendResetReport, err error) {
	r = s.report()
	if s.By.Reason == "" {
		return r, errs.Invalidf("a reset needs a reason")
	}
	if err := s.own(); err != nil {
		return r, err
	}
	err = s.alone(ctx, s.Store, func(ctx context.Context, l control.Lease) error {
		j, err := s.journal()
		if err != nil {
			return err
		}
		if j.Done.IsZero() {
			return s.run(ctx, l, j, &r)
		}
		return s.ended(ctx, j, &r)
	})
	return r, err
}

// ended tells of a reset that an earlier run got to its end, where it still is the last one of the store; the hold may have
// outlasted that run.
func (s BackendReset) ended(ctx context.Context, j backendJournal, r *BackendResetReport) error {
	if err := s.same(j); err != nil {
		return err
	}
	now, err := s.Route.Info(ctx, s.Store)
	if err != nil {
		return err
	}
	if now.BackendID != j.Now {
		return errs.Refusedf("the reset with this --export was done at %s, and the store has been reset again since", j.Done.Format(time.RFC3339)).
			At("%s", s.journalFile()).Hintf("for another one, name another file with --export")
	}
	j.tell(r)
	if now.HeldUntil.IsZero() {
		return nil
	}
	return s.Route.Release(ctx, s.Store)
}

func (s BackendReset) run(ctx context.Context, l control.Lease, j backendJournal, r *BackendResetReport) (err error) {
	now, err := s.Route.Info(ctx, s.Store)
	if err != nil {
		return err
	}
	done := j.Was.BackendID != "" && now.BackendID != j.Was.BackendID // by an earlier run
	if !done && !now.Exists {
		return s.nothing()
	}
	if done {
		if err := s.same(j); err != nil {
			return err
		}
	}
	if err := s.hold(ctx, done); err != nil {
		return err
	}
	letGo := s.Route.Keep(ctx, s.Store)
	defer func() {
		letGo()
		if err != nil {
			s.leave(context.WithoutCancel(ctx), r, done && errs.CodeOf(err) != errs.Refused)
		}
	}()
	if !done {
		if j, err = s.prepare(ctx); err != nil {
			return err
		}
		if err := s.announce(ctx, j); err != nil {
			return err
		}
		done = true // or it may be: without an answer nobody knows
		if err := s.reset(ctx, j); err != nil {
			return err
		}
	}
	j.tell(r)
	r.Reset = s.Now().UTC().Truncate(time.Second)
	if err := s.takeOver(ctx, l, j); err != nil {
		return err
	}
	if err := s.refill(ctx, r); err != nil {
		return err
	}
	j.Done, j.Now, j.Imported = r.Reset, r.BackendID, r.Imported
	if err := s.keep(j); err != nil { // before clients write again: then nothing of it may be done twice
		return err
	}
	letGo()
	return s.Route.Release(ctx, s.Store)
}

// hold has clients' pushes wait. What is no store is not held by the Worker: one that an earlier run emptied is made first.
func (s BackendReset) hold(ctx context.Context, emptied bool) (err error) {
	held, err := s.Route.Hold(ctx, s.Store)
	if err != nil || held.HeldUntil.After(s.Now()) {
		return err
	}
	if emptied {
		log, err := s.Open(ctx)
		if err != nil {
			return err
		}
		_, err = log.Head(ctx)
		if err := errors.Join(err, log.Close()); err != nil {
			return err
		}
		if held, err = s.Route.Hold(ctx, s.Store); err != nil || held.HeldUntil.After(s.Now()) {
			return err
		}
	}
	return errs.Refusedf("the Worker does not hold the store: clients could write while it is reset").At("%s", s.Route.where()).
		Hintf("is its clock right? Nothing was changed")
}

// leave ends the hold of a run that can't be gone on with, and says how long it lasts otherwise.
func (s BackendReset) leave(ctx context.Context, r *BackendResetReport, goesOn bool) {
	if !goesOn && s.Route.Release(ctx, s.Store) == nil {
		return
	}
	if now, err := s.Route.Info(ctx, s.Store); err == nil { // the error at hand says more
		r.HeldUntil = now.HeldUntil
	}
}

// prepare exports the log, and notes what is about to be done.
func (s BackendReset) prepare(ctx context.Context) (j backendJournal, err error) {
	dump, err := s.export(ctx)
	if err != nil {
		return j, err
	}
	defer func() { err = errors.Join(err, dump.Close()) }()
	// Whoever is not held, as a tool, may have written meanwhile.
	was, err := s.Route.Info(ctx, s.Store)
	if err != nil {
		return j, err
	}
	if int64(was.Head) != dump.Found.Events {
		return j, errs.Refusedf("the store ends at e%d, and its export at e%d", was.Head, dump.Found.Events).At("%s", s.Route.where()).
			Hintf("somebody writes into it past the hold, or an earlier push was cut short; nothing was reset. Name another --export file and try again")
	}
	if s.Seen != 0 && was.Head != s.Seen {
		return j, errs.Refusedf("the store ends at e%d, and its loss was accepted when it ended at e%d", was.Head, s.Seen).At("%s", s.Route.where()).
			Hintf("look again at what would be lost; nothing was reset")
	}
	if s.Agreed != nil {
		if err := s.Agreed(ctx, dump); err != nil {
			return j, err
		}
	}
	loss, err := s.loss(ctx, was, dump)
	if err != nil {
		return j, err
	}
	j = backendJournal{
		Version: 1, Store: s.Store, Environment: s.Name, Loss: loss, Import: s.importing(),
		Was: BackendState{BackendID: was.BackendID, Head: was.Head, Digest: dump.Found.Digest},
	}
	return j, s.keep(j)
}

// export writes the log to the file, or makes sure that the file that is there holds the log as it is.
func (s BackendReset) export(ctx context.Context) (d Dump, err error) {
	log, err := s.Open(ctx)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if _, err := os.Stat(s.Export); errors.Is(err, fs.ErrNotExist) {
		return s.write(ctx, log)
	}
	d, err = OpenDump(ctx, s.Export, s.ExportAs, "", s.Progress)
	if err != nil {
		return d, err
	}
	read, done := s.Progress.start("comparing "+string(s.Store)+" with "+s.ExportAs, d.Found.Events)
	defer done()
	err = transfer.Same(ctx, log, d.Reader, read)
	if errs.CodeOf(err) == errs.Mismatch {
		err = errs.Refusedf("the file is there already, and does not hold the log as it is: %s", errs.As(err).Msg).At("%s", s.Export).
			Hintf("an export is never written over: name another file with --export")
	}
	if err != nil {
		return d, errors.Join(err, d.Close())
	}
	return d, nil
}

func (s BackendReset) write(ctx context.Context, log eventlog.Reader) (d Dump, err error) {
	f, err := atomicfile.Create(s.Export, 0o600)
	if err != nil {
		return d, err
	}
	defer f.Abort()
	add, done := s.Progress.start("exporting "+string(s.Store), 0)
	_, err = dumplog.Export(ctx, log, f, dumplog.ExportOptions{StoreID: s.Store, Now: s.Now(), Progress: func() { add(1) }})
	done()
	if err != nil {
		return d, err
	}
	if err := f.Commit(); err != nil {
		return d, err
	}
	return OpenDump(ctx, s.Export, s.ExportAs, "", s.Progress) // what is on the disk counts
}

// announce records what is about to be done.
func (s BackendReset) announce(ctx context.Context, j backendJournal) error {
	return s.DB.Record(ctx, control.Entry{Env: s.Name, Actor: s.By.Actor, Action: "store.reset", Subject: string(s.Store), Detail: map[string]any{
		"backendId": j.Was.BackendID, "head": j.Was.Head, "digest": j.Was.Digest, "reason": s.By.Reason, "import": s.importing(),
	}})
}

// reset empties the store's backend. Where no answer comes, the backend's id tells whether it was done.
func (s BackendReset) reset(ctx context.Context, j backendJournal) error {
	err := s.Route.Reset(ctx, s.Store, BackendStore{BackendID: j.Was.BackendID, Head: j.Was.Head})
	if err == nil || errs.CodeOf(err) == errs.Refused {
		return err
	}
	if now, e := s.Route.Info(context.WithoutCancel(ctx), s.Store); e == nil && now.BackendID != j.Was.BackendID {
		return nil
	}
	return err
}

func (s BackendReset) importing() string {
	if s.Import == nil {
		return ""
	}
	return s.Import.Found.Digest
}

// takeOver forgets what is known of the log that is gone.
func (s BackendReset) takeOver(ctx context.Context, l control.Lease, j backendJournal) error {
	err := s.DB.Emptied(ctx, l, string(s.Store), control.Entry{
		Env: s.Name, Actor: s.By.Actor, Action: "store.reset.done", Subject: string(s.Store), Detail: map[string]any{"backendId": j.Was.BackendID},
	})
	if err != nil || s.Forget == nil {
		return err
	}
	return s.Forget()
}

// refill imports what the store holds from now on, and finds out the backend's new id.
func (s BackendReset) refill(ctx context.Context, r *BackendResetReport) (err error) {
	if s.Import == nil {
		log, err := s.Open(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, log.Close()) }()
		head, err := log.Head(ctx) // which makes the store anew
		if err != nil {
			return err
		}
		if head.Confirmed != 0 {
			return errs.Refusedf("the store is not empty: it ends at e%d", head.Confirmed).At("%s", s.Route.where()).
				Hintf("clients, or another reset, wrote into it since; nothing was changed now")
		}
		r.BackendID = head.BackendID
		return s.known(ctx, s.Store, head)
	}
	i := LogImport{Environment: s.Environment, Store: s.Store, Open: s.Open, Dump: *s.Import, By: s.By, Progress: s.Progress}
	done, err := i.pour(ctx)
	if err != nil {
		return err
	}
	r.Imported, r.BackendID = &done, done.BackendID
	return nil
}
