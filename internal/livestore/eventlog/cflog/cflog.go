// Package cflog reads and appends to a store of sync-cf, LiveStore's sync backend on Cloudflare (0.4.0), over its
// WebSocket or, where none gets through, over HTTP. One WebSocket serves one read; appends share another. It holds no copy
// of the log, it knows no releases, and it never looks at a store that it was not opened for: on this backend looking
// makes a store.
//
// Over HTTP the backend has no pages: it makes the whole answer to a read, everything after a place, before it sends
// any of it, and so does the same work for the first event as for all. What comes is still read page by page.
//
// An append is sent once. Connecting, and reading, which repeats nothing that was read, are tried again a few times
// when the backend is busy or a connection breaks.
package cflog

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// Options says which store is opened and how. URL and StoreID are required.
type Options struct {
	// URL is the backend's address: http, https, ws or wss. Its query is sent along.
	URL string
	// StoreID is the store: letters, digits, '-' and '_', as LiveStore's own clients allow.
	StoreID livestore.StoreID
	// Payload returns the sync payload, usually {"authToken":"…"}, anew for each connection and each append; nil
	// or an empty answer sends none. What it returns is never logged, and cut out of the backend's messages.
	Payload func(ctx context.Context) (json.RawMessage, error)
	// HTTP makes each read and each append one request, instead of using WebSockets.
	HTTP bool
	// HTTPClient makes the connections; nil for one of the log's own. Redirects are not followed.
	HTTPClient *http.Client
	// BackendID is the backend's random id as it was when the store was last read, empty for any. A backend with
	// another one was reset.
	BackendID string
	// Timeout is how long connecting, or any one answer, may take; 30 seconds if 0. A read over HTTP may take four times
	// as long to begin.
	Timeout time.Duration
}

const defaultTimeout = 30 * time.Second

// A Log is one store of a sync backend. It implements [eventlog.Appender].
type Log struct {
	opt       Options
	url       *url.URL // without storeId, transport and payload
	where     string   // for messages, without the query
	client    *http.Client
	ownClient bool
	backendID string // empty until the backend has said it
	known     place  // how far Head or Append have seen the log go
	pusher    *socket
	closed    bool
}

// A place is an event of the log, and how many events there are up to it.
type place struct {
	seq   livestore.SeqNum
	count int64
}

var _ eventlog.Appender = (*Log)(nil)

// Open checks the options. It does not contact the backend: the first read or append does.
func Open(ctx context.Context, opt Options) (*Log, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	u, err := address(opt.URL)
	if err != nil {
		return nil, err
	}
	if !validStoreID(opt.StoreID) {
		return nil, errs.Invalidf("%q is not a store ID", opt.StoreID).Hintf("a store ID has letters, digits, '-' and '_' only")
	}
	if opt.Timeout == 0 {
		opt.Timeout = defaultTimeout
	}
	shown := *u
	shown.User, shown.RawQuery = nil, ""
	l := &Log{opt: opt, url: u, where: shown.String() + " store " + string(opt.StoreID), backendID: opt.BackendID}
	l.client, l.ownClient = opt.HTTPClient, opt.HTTPClient == nil
	if l.ownClient {
		l.client = &http.Client{}
		if t, ok := http.DefaultTransport.(*http.Transport); ok {
			l.client.Transport = t.Clone() // so that Close can end its idle connections
		}
	}
	client := *l.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the address holds the payload, and would travel on as the Referer
	}
	l.client = &client
	return l, nil
}

func address(s string) (*url.URL, error) {
	const hint = "the address is that of the app's makeWsSync or makeHttpSync, e.g. wss://sync.example.org"
	u, err := url.Parse(s)
	if err != nil {
		return nil, errs.Invalidf("the sync backend's address is malformed").Hintf(hint) // err quotes it
	}
	switch u.Scheme {
	case "http", "https", "ws", "wss":
	default:
		return nil, errs.Invalidf("the sync backend's address does not begin with http, https, ws or wss").Hintf(hint)
	}
	if u.Host == "" {
		return nil, errs.Invalidf("the sync backend's address names no host").Hintf(hint)
	}
	query := u.Query()
	for _, own := range []string{"storeId", "transport", "payload"} {
		if query.Has(own) {
			return nil, errs.Invalidf("the sync backend's address has a parameter %q, which headgate sets itself", own).
				Hintf("leave it out of the address")
		}
	}
	u.Fragment = ""
	return u, nil
}

func validStoreID(id livestore.StoreID) bool {
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return id != ""
}

// ClientOnly returns false: clientOnly events never reach a backend.
func (l *Log) ClientOnly() bool { return false }

// Close ends the log's connections.
func (l *Log) Close() error {
	l.closed = true
	l.dropPusher()
	if l.ownClient {
		l.client.CloseIdleConnections()
	}
	return nil
}

// Head returns how far the log goes. It reads the first page after what an earlier Head or Append saw, which says
// how many events follow, and then the end. Events is -1 where numbers are missing in the log.
func (l *Log) Head(ctx context.Context) (eventlog.Head, error) {
	if err := l.usable(ctx); err != nil {
		return eventlog.Head{}, err
	}
	from := l.known
	var first *page
	p := l.newPull(from.seq)
	if err := p.run(ctx, func(pg page) bool {
		first = &pg
		return false
	}); err != nil {
		return eventlog.Head{}, err
	}
	at := from
	if first != nil && len(first.events) > 0 {
		more := int64(len(first.events)) + first.remaining
		at = place{seq: p.last, count: from.count + more}
		switch {
		case from.count < 0 || first.remaining == 0 && p.last != from.seq+livestore.SeqNum(more):
			at.count = -1
		case first.remaining > 0:
			var err error
			if at, err = l.end(ctx, from, p.last, more); err != nil {
				return eventlog.Head{}, err
			}
		}
	}
	if at.count >= 0 {
		l.known = at
	}
	return eventlog.Head{
		Confirmed: at.seq, Last: livestore.ClientSeq{Global: at.seq}, BackendID: l.backendID, Events: at.count,
	}, nil
}

// end finds the last event of a log that has more events after from, the first page of which ends at seen.
func (l *Log) end(ctx context.Context, from place, seen livestore.SeqNum, more int64) (place, error) {
	near := from.seq + livestore.SeqNum(more) - 1 // the last but one, if no number is missing
	for _, start := range []livestore.SeqNum{max(near, seen), seen} {
		p := l.newPull(start)
		var n int64
		if err := p.run(ctx, func(pg page) bool {
			n += int64(len(pg.events))
			return true
		}); err != nil {
			return place{}, err
		}
		switch {
		case n == 0: // the count says more than the numbers: there are some below 1
		case start == near && p.last == near+livestore.SeqNum(n):
			return place{seq: p.last, count: from.count + more - 1 + n}, nil
		default:
			return place{seq: p.last, count: -1}, nil
		}
	}
	return place{seq: seen, count: -1}, nil
}

// usable returns why nothing can be asked.
func (l *Log) usable(ctx context.Context) error {
	switch {
	case l.closed:
		return errors.New("event log: used after Close")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return nil
}

// remember takes the backend's id from an answer.
func (l *Log) remember(id string) error {
	switch l.backendID {
	case "":
		l.backendID = id
	case id:
	default:
		return l.wasReset(l.backendID, id)
	}
	return nil
}
