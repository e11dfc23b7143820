package dumplog

import (
	"context"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// A Verified says what a dump was found to hold.
type Verified struct {
	StoreID livestore.StoreID // that the dump was made of
	Events  int64
	Digest  string // of the events that are there, see [eventlog.Digest]
	// Declared says that the dump names its digest, so that an event that was changed would have been noticed. LiveStore's own
	// CLI writes none: then only the number of events is known.
	Declared bool
}

// Verify reads the whole dump and compares it with what it says of itself. One that is cut off or malformed is errs.Invalid;
// another number of events, or other events, than it says is errs.Mismatch; and whole events that no backend could take as
// they are, since a number is missing or one is too big to be pulled, are errs.Findings. progress is called after each event;
// nil for nobody.
func (r *Reader) Verify(ctx context.Context, progress func()) (Verified, error) {
	if progress == nil {
		progress = func() {}
	}
	digest := eventlog.NewDigest()
	var first *errs.Error // that a backend would not take
	report := func(p eventlog.Problem) {
		if first == nil {
			first = unfit("%s", p)
		}
	}
	for e, err := range eventlog.Check(livestore.ClientSeq{}, r.Events(ctx, livestore.ClientSeq{Global: -maxSafe - 1}), report) {
		if err != nil {
			return Verified{}, err
		}
		if first == nil {
			if err := eventlog.CheckBatch([]livestore.Event{e}); err != nil {
				first = unfit("%s", err)
			}
		}
		digest.Add(e)
		progress()
	}
	v := Verified{StoreID: r.header.StoreID, Events: digest.Events(), Digest: digest.Sum(), Declared: r.header.Digest != ""}
	switch {
	case v.Events != r.header.EventCount:
		return v, r.altered("the dump says that it has %d events, and there are %d", r.header.EventCount, v.Events)
	case v.Declared && v.Digest != r.header.Digest:
		return v, r.altered("the dump's events are not those that it was made of: their digest is %s, it says %s", v.Digest, r.header.Digest)
	case first != nil:
		return v, first.At("%s", r.path).Then("headgate log transform " + r.path + " --out NEW-FILE")
	}
	return v, nil
}

func unfit(format string, args ...any) *errs.Error {
	return errs.New(errs.Findings, "no backend can take these events as they are: "+format, args...).
		Hintf("`headgate log transform` numbers them anew, and leaves events out")
}

func (r *Reader) altered(format string, args ...any) error {
	return errs.New(errs.Mismatch, format, args...).At("%s", r.path).
		Hintf("it was changed since it was written, or a part of it got lost: take another copy; `headgate log transform` changes a dump and keeps what it says of itself true")
}
