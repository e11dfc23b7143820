package control

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"headgate/internal/errs"
)

// A Reply is what the server answered to a request that has a key, so that it answers the same when the request comes
// again.
type Reply struct {
	Status int // of HTTP
	Body   []byte
}

const (
	// replyLife is how long a key is remembered, and RepliesKept how many of a caller.
	replyLife   = 24 * time.Hour
	RepliesKept = 200
	// ReplyTime is after how long a request that is under way is given up: its server died. Nobody may be longer at it.
	ReplyTime = time.Minute
)

// carried is the status of a request whose actions are recorded, before there is an answer to it.
const carried = 1

type requestKey struct{}

// A request is one that BeginReply let through.
type request struct{ env, caller, key string }

// Answering has what is done under the context noted with the key that BeginReply claimed, in the same transaction: whoever
// sends the request again, after the server died in the middle of it, does nothing twice.
func Answering(ctx context.Context, env, caller, key string) context.Context {
	return context.WithValue(ctx, requestKey{}, request{env, caller, key})
}

// carry notes that a request's action is recorded.
func carry(ctx context.Context, tx *sql.Tx) error {
	r, ok := ctx.Value(requestKey{}).(request)
	if !ok {
		return nil
	}
	res, err := tx.ExecContext(ctx, `UPDATE replies SET status = $4 WHERE env = $1 AND caller = $2 AND key = $3 AND status <= 1`, r.env, r.caller, r.key, carried)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errs.New(errs.Locked, "the request took too long, and its Idempotency-Key is another one's by now").Hintf("send it again"))
	}
	return nil
}

// BeginReply claims a caller's key for a request, which is named by a hash of all of it. It returns the reply when there
// is one already, or nil: then the caller of BeginReply does what was asked, under [Answering], and calls EndReply. While
// another one is at it the error is errs.Locked; a key that was used for another request is errs.Invalid, and one whose
// request was carried out by a server that died before it answered is errs.Stale.
func (db *DB) BeginReply(ctx context.Context, env, caller, key, request string) (reply *Reply, err error) {
	if err := named("Idempotency-Key", key); err != nil {
		return nil, err
	}
	err = db.tx(ctx, "look an earlier request up", func(tx *sql.Tx) error {
		now := db.now()
		_, err := tx.ExecContext(ctx, `DELETE FROM replies WHERE created_at < $1 OR (status = 0 AND created_at < $2)`,
			millis(now.Add(-replyLife)), millis(now.Add(-ReplyTime)))
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO replies (env, caller, key, request, status, body, created_at) VALUES ($1, $2, $3, $4, 0, '', $5)
			ON CONFLICT (env, caller, key) DO NOTHING`, env, caller, key, request, millis(now))
		if err != nil {
			return err
		}
		switch n, err := res.RowsAffected(); {
		case err != nil:
			return err
		case n == 1:
			_, err := tx.ExecContext(ctx, `DELETE FROM replies WHERE env = $1 AND caller = $2 AND status > 1 AND created_at <
				(SELECT created_at FROM replies WHERE env = $1 AND caller = $2 ORDER BY created_at DESC LIMIT 1 OFFSET $3)`, env, caller, RepliesKept)
			return err
		}
		type row struct {
			request, body string
			status        int
			at            time.Time
		}
		got, err := all(ctx, tx, func(rows *sql.Rows) (r row, err error) {
			var at int64
			err = rows.Scan(&r.request, &r.status, &r.body, &at)
			r.at = fromMillis(at)
			return r, err
		}, `SELECT request, status, body, created_at FROM replies WHERE env = $1 AND caller = $2 AND key = $3`, env, caller, key)
		switch {
		case err != nil:
			return err
		case len(got) == 0:
			return errs.New(errs.Locked, "the request with this Idempotency-Key has just ended; send it again")
		case got[0].request != request:
			return errs.Invalidf("the Idempotency-Key %q was used for another request", key).Hintf("make a new key for each request")
		case got[0].status == carried && now.Sub(got[0].at) > ReplyTime:
			return errs.New(errs.Stale, "the request with this Idempotency-Key was carried out, or a part of it, and the server ended before it could answer").
				Hintf("look at what became of it; a new key asks for it again").Then("headgate audit --env " + env)
		case got[0].status <= carried:
			return errs.New(errs.Locked, "the request with this Idempotency-Key is under way").Hintf("send it again in a moment")
		}
		reply = &Reply{Status: got[0].status, Body: []byte(got[0].body)}
		return nil
	})
	return reply, err
}

// EndReply keeps what was answered to the request whose key BeginReply claimed. A nil reply gives the key up, so that the
// request may be tried again.
func (db *DB) EndReply(ctx context.Context, env, caller, key string, reply *Reply) error {
	return db.tx(ctx, "keep the answer", func(tx *sql.Tx) error {
		if reply == nil {
			_, err := tx.ExecContext(ctx, `DELETE FROM replies WHERE env = $1 AND caller = $2 AND key = $3 AND status <= 1`, env, caller, key)
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE replies SET status = $4, body = $5 WHERE env = $1 AND caller = $2 AND key = $3 AND status <= 1`,
			env, caller, key, reply.Status, string(reply.Body))
		return err
	})
}
