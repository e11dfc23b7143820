package filelog

import (
	"context"
	"iter"

	"headgate/internal/livestore"
)

const (
	// pageRows and pageBytes bound how much of a log is in memory.
	pageRows  = 500
	pageBytes = 1 << 20
)

// Events streams the events after the given place. It reads page by page and holds no lock in between, which an
// Append would wait for: what is appended meanwhile comes too.
func (a *Appender) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for {
			if a.db == nil {
				yield(livestore.Event{}, errClosed)
				return
			}
			page, confirmed, more, err := a.page(ctx, after)
			if err != nil {
				yield(livestore.Event{}, a.sqliteError(ctx, " after event "+after.String(), err))
				return
			}
			for i := range page {
				e, bad := page[i].event(confirmed)
				after = e.Seq
				if bad != nil {
					if !yield(e, malformed(a.path, e, bad)) {
						return
					}
				} else if !yield(e, nil) {
					return
				}
			}
			if !more {
				return
			}
		}
	}
}

// page reads rows until there are enough, and reports whether there may be more.
func (a *Appender) page(ctx context.Context, after livestore.ClientSeq) (page []row, confirmed livestore.SeqNum, more bool, err error) {
	h, err := head(ctx, a.db)
	if err != nil {
		return nil, 0, false, err
	}
	rows, err := a.db.QueryContext(ctx, eventsQuery, int64(after.Global), after.Client)
	if err != nil {
		return nil, 0, false, err
	}
	defer rows.Close()
	size := 0
	for rows.Next() {
		var r row
		if err := r.scan(rows); err != nil {
			return nil, 0, false, err
		}
		// Rows of one place and several generations, which LiveStore does not write, are not torn apart: the next page
		// begins at a place.
		full := len(page) >= pageRows || size >= pageBytes
		if full && (r.global != page[len(page)-1].global || r.client != page[len(page)-1].client) {
			return page, h.Confirmed, true, nil
		}
		page = append(page, r)
		size += len(r.args)
	}
	return page, h.Confirmed, false, rows.Err()
}
