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
// that is done the pushes of clients wait, so that nobody writes between the events that are imported.
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
	Forget   func() error                                     // what else is kept of the log that is gone; nil for nothing
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

// Run resets the store, and imports.
func (s BackendReset) Run(ctx context.Context) (r BackendResetReport, err error) {
	r = s.report()
	if s.By.Reason == "" {
		return r, errs.Invalidf("a reset needs a reason")
	}
	err = s.alone(ctx, s.Store, func(ctx context.Context, l control.Lease) error {
		j, err := s.journal()
		if err != nil {
			return err
		}
		if j.Done.IsZero() {
			return s.run(ctx, l, j, &r)
		}
		j.tell(&r)
		return nil
	})
	return r, err
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
	if _, err := s.Route.Hold(ctx, s.Store); err != nil {
		return err
	}
	letGo := s.Route.Keep(ctx, s.Store)
	defer func() {
		letGo()
		if err != nil {
			s.leave(context.WithoutCancel(ctx), r, done)
		}
	}()
	if !done {
		if j, err = s.prepare(ctx); err != nil {
			return err
		}
		if err := s.reset(ctx, j); err != nil {
			return err
		}
		done = true
	}
	j.tell(r)
	r.Reset = s.Now().UTC().Truncate(time.Second)
	if err := s.takeOver(ctx, l, j); err != nil {
		return err
	}
	if err := s.refill(ctx, r); err != nil {
		return err
	}
	letGo()
	if err := s.Route.Release(ctx, s.Store); err != nil {
		return err
	}
	j.Done, j.Now, j.Imported = r.Reset, r.BackendID, r.Imported
	return s.keep(j)
}

// leave ends the hold of a run that failed before it did anything, and says how long it lasts otherwise.
func (s BackendReset) leave(ctx context.Context, r *BackendResetReport, done bool) {
	if !done && s.Route.Release(ctx, s.Store) == nil {
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
	loss, err := s.loss(ctx, was, dump)
	if err != nil {
		return j, err
	}
	j = backendJournal{
		Version: 1, Store: s.Store, Environment: s.Name, Loss: loss,
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

// reset empties the store's backend. Where no answer comes, the backend's id tells whether it was done.
func (s BackendReset) reset(ctx context.Context, j backendJournal) error {
	err := s.DB.Record(ctx, control.Entry{Env: s.Name, Actor: s.By.Actor, Action: "store.reset", Subject: string(s.Store), Detail: map[string]any{
		"backendId": j.Was.BackendID, "head": j.Was.Head, "digest": j.Was.Digest, "reason": s.By.Reason, "import": s.importing(),
	}})
	if err != nil {
		return err
	}
	err = s.Route.Reset(ctx, s.Store, BackendStore{BackendID: j.Was.BackendID, Head: j.Was.Head})
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
