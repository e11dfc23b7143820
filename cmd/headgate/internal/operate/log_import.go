package operate

import (
	"context"
	"encoding/json"
	"errors"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
	"headgate/internal/livestore/eventlog/transfer"
)

// A Dump is a file of events that was read as a whole and found to be what it says.
type Dump struct {
	*dumplog.Reader
	Found dumplog.Verified
	Path  string // as it was named
}

// OpenDump opens a dump and verifies it, see [dumplog.Reader.Verify]; what no backend could take is errs.Refused. digest is
// what its digest must be, empty for any. The caller closes it.
func OpenDump(ctx context.Context, path, name, digest string, p Progress) (d Dump, err error) {
	r, err := dumplog.Open(ctx, path, dumplog.Options{})
	if err != nil {
		return d, err
	}
	read, done := p.start("reading "+name, r.Header().EventCount)
	defer done()
	v, err := r.Verify(ctx, func() { read(1) })
	if e := errs.As(err); e != nil && e.Code == errs.Findings {
		e.Code = errs.Refused
	}
	if err == nil && digest != "" && digest != v.Digest {
		err = errs.New(errs.Mismatch, "its events have the digest %s, not %s", v.Digest, digest).At("%s", path).Hintf("it is another dump than was meant")
	}
	if err != nil {
		return d, errors.Join(err, r.Close())
	}
	return Dump{Reader: r, Found: v, Path: name}, nil
}

// A Progress shows how far long work is: it is told what begins, and how many steps that has, and returns what counts them
// and what ends it. A nil Progress shows nothing.
type Progress func(label string, total int64) (add func(int64), done func())

func (p Progress) start(label string, total int64) (add func(int64), done func()) {
	if p == nil {
		return func(int64) {}, func() {}
	}
	return p(label, total)
}

// A LogImport puts a dump into a store that has no events, or goes on with that.
type LogImport struct {
	Environment
	Store    livestore.StoreID
	Open     func(context.Context) (eventlog.Appender, error) // the store's log
	Dump     Dump
	By       control.By
	Progress Progress
}

// An ImportReport says what became of an import.
type ImportReport struct {
	Store       livestore.StoreID `json:"store"`
	Environment string            `json:"environment"`
	File        string            `json:"file"`
	From        livestore.StoreID `json:"from"` // the store that the dump was made of
	DryRun      bool              `json:"dryRun,omitempty"`
	transfer.Result
	BackendID string `json:"backendId,omitempty"` // of the store, where its log has one
	// Declared says that the dump names its digest, so that it is known not to have been changed.
	Declared    bool     `json:"digestDeclared"`
	NextActions []string `json:"next_actions"`
}

func (i LogImport) report() ImportReport {
	return ImportReport{
		Store: i.Store, Environment: i.Name, File: i.Dump.Path, From: i.Dump.Found.StoreID, Declared: i.Dump.Found.Declared,
		Result:      transfer.Result{Events: i.Dump.Found.Events, Digest: i.Dump.Found.Digest},
		NextActions: []string{"headgate log verify " + i.Dump.Path + " --env " + i.Name + " --store " + string(i.Store)},
	}
}

// Look finds out what Run would do, and refuses what it would refuse; it pushes nothing.
func (i LogImport) Look(ctx context.Context) (r ImportReport, err error) {
	r = i.report()
	r.DryRun, r.NextActions = true, []string{"headgate log import " + i.Dump.Path + " --env " + i.Name + " --store " + string(i.Store)}
	err = i.alone(ctx, i.Store, func(ctx context.Context, _ control.Lease) (err error) {
		log, err := i.Open(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, log.Close()) }()
		r.Before, err = transfer.Look(ctx, log, i.Dump.Reader)
		return err
	})
	return r, err
}

// Run imports the dump, and verifies it. It is recorded when it begins and when it has ended. A run that was interrupted is
// gone on with by another.
func (i LogImport) Run(ctx context.Context) (r ImportReport, err error) {
	err = i.alone(ctx, i.Store, func(ctx context.Context, _ control.Lease) error {
		r, err = i.pour(ctx)
		return err
	})
	return r, err
}

// pour imports under the store's lease.
func (i LogImport) pour(ctx context.Context) (r ImportReport, err error) {
	r = i.report()
	log, err := i.Open(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	entry := control.Entry{
		Env: i.Name, Actor: i.By.Actor, Action: "log.import", Subject: string(i.Store),
		Detail: map[string]any{"digest": i.Dump.Found.Digest, "events": i.Dump.Found.Events, "from": i.Dump.Found.StoreID, "reason": i.By.Reason},
	}
	recorded := false
	opt := transfer.Options{Before: func(ctx context.Context) error {
		if recorded {
			return nil
		}
		recorded = true // nothing is written before it is known that something will be
		return i.DB.Record(ctx, entry)
	}}
	var done func()
	opt.Stored, done = i.Progress.start("importing into "+string(i.Store), i.Dump.Found.Events)
	r.Result, err = transfer.Into(ctx, log, i.Dump.Reader, i.Dump.Found, opt)
	done()
	if err != nil {
		return r, err
	}
	read, done := i.Progress.start("verifying "+string(i.Store), i.Dump.Found.Events)
	err = transfer.Same(ctx, log, i.Dump.Reader, read)
	done()
	if err != nil {
		return r, err
	}
	head, err := log.Head(ctx)
	if err != nil {
		return r, err
	}
	r.BackendID = head.BackendID
	if err := i.known(ctx, i.Store, head); err != nil {
		return r, err
	}
	if !recorded { // an earlier run pushed all; whether it lived to say so the audit knows
		if recorded, err = i.unended(ctx); err != nil || !recorded {
			return r, err
		}
	}
	entry.Action, entry.Detail = "log.import.done", map[string]any{"digest": r.Digest, "events": r.Events, "pushed": r.Pushed, "backendId": r.BackendID}
	return r, i.DB.Record(ctx, entry)
}

// known keeps the head that a store answered with, where the inventory has been taken over.
func (e Environment) known(ctx context.Context, store livestore.StoreID, head eventlog.Head) error {
	_, err := e.DB.SetHead(ctx, e.Name, string(store), int64(head.Confirmed), head.BackendID)
	if errs.CodeOf(err) == errs.NotFound {
		return nil
	}
	return err
}

// unended reports whether the audit's last word on imports into the store is that one of this dump began.
func (i LogImport) unended(ctx context.Context) (bool, error) {
	last, err := i.DB.AuditOf(ctx, i.Name, control.AuditQuery{Subject: string(i.Store), Action: "log.import", Latest: true, Limit: 1})
	if err != nil || len(last) == 0 || last[0].Action != "log.import" {
		return false, err
	}
	var detail struct {
		Digest string `json:"digest"`
	}
	if err := json.Unmarshal(last[0].Detail, &detail); err != nil {
		return false, errs.New(errs.Internal, "the audit's entry %d can't be read", last[0].Seq).Because(err).Then("headgate audit verify")
	}
	return detail.Digest == i.Dump.Found.Digest, nil
}
