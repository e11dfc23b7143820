// Package pglog reads and appends to the table that an app's API writes for @livestore/sync-electric: one table per
// store in Postgres, one row per event. It implements [eventlog.Appender].
//
// The table's only protection is that "seqNum" is unique, and that is what Append rests on too: in one transaction it
// compares the head with the batch's parent and inserts; who inserts the same number first wins, and the other is told
// that the log has moved on. So no lock is taken that a live client's push would wait for, and a table without that
// uniqueness is refused. Reads go page by page and hold no transaction open between pages.
//
// The arguments are jsonb there: Postgres orders keys anew, drops doubles and writes numbers out. The table says no
// times and has no backend id. The package never creates a table: the app's API does, when a client first pulls.
package pglog

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

const (
	// pageBytes is how much of a log a read holds, or one event more.
	pageBytes = 1 << 20
	// pageRows bounds a page of small events.
	pageRows = 1000
	// commitTime is how long a COMMIT that was sent is waited for after the caller gave up.
	commitTime = 10 * time.Second
	// closeTime is how long saying goodbye may take.
	closeTime = 5 * time.Second
)

// Options says which log is opened.
type Options struct {
	// DSN is postgres://USER@HOST/DATABASE, with what pgx understands behind a question mark. It may hold a password;
	// where it has none, PGPASSWORD and the password file are asked. No error quotes it.
	DSN string
	// StoreID is the store; required unless Table is there.
	StoreID livestore.StoreID
	// Table is the table, or SCHEMA.TABLE; [TableName] of the store if empty.
	Table string
}

// A Log is one store's table. It is for one goroutine at a time.
type Log struct {
	config *pgx.ConnConfig
	table  string // quoted, as SQL
	place  string // of the table, for messages
	conn   *pgx.Conn
	rows   int // of the next page
	closed bool
}

var _ eventlog.Appender = (*Log)(nil)

// Open connects to the database and looks at the table. A table that does not exist is an errs.NotFound error, one
// without LiveStore's columns or without uniqueness an errs.Invalid or errs.Refused one.
func Open(ctx context.Context, opt Options) (*Log, error) {
	name := opt.Table
	if name == "" {
		if opt.StoreID == "" {
			return nil, errs.Invalidf("a Postgres log needs a store id: it names the table").Hintf("name the store with --store")
		}
		name = TableName(opt.StoreID)
	}
	config, err := parse(opt.DSN)
	if err != nil {
		return nil, err
	}
	identifier := pgx.Identifier{name}
	if schema, table, ok := strings.Cut(name, "."); ok && opt.Table != "" {
		identifier = pgx.Identifier{schema, table}
	}
	l := &Log{config: config, table: identifier.Sanitize(), place: place(config) + "#" + name, rows: 100}
	if err := l.look(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// parse reads a DSN. What pgx says about one that it can't read may quote it, so it is not passed on.
func parse(dsn string) (*pgx.ConnConfig, error) {
	const hint = "it is postgres://USER:PASSWORD@HOST:PORT/DATABASE, with odd characters in the password as %%XX"
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errs.Invalidf("the address of the Postgres database is not a URL of one").Hintf(hint)
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errs.Invalidf("the address of the Postgres database can't be used").
			Hintf("check its port, and its options behind the question mark (sslmode, connect_timeout)")
	}
	return config, nil
}

// place is the database without its password.
func place(c *pgx.ConnConfig) string {
	u := url.URL{Scheme: "postgres", User: url.User(c.User), Host: net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), Path: "/" + c.Database}
	if strings.HasPrefix(c.Host, "/") { // a socket
		u.Host, u.RawQuery = "", "host="+c.Host
	}
	return u.String()
}

// look checks that the table is what it should be.
func (l *Log) look(ctx context.Context) error {
	return l.run(ctx, func(conn *pgx.Conn) error {
		var there, unique bool
		err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL, EXISTS (
			SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			WHERE i.indrelid = to_regclass($1) AND a.attname = 'seqNum'
			AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL)`, l.table).Scan(&there, &unique)
		if err != nil {
			return l.failed("look for the store's table", err)
		}
		if !there {
			return l.missing()
		}
		rows, err := conn.Query(ctx, `SELECT "seqNum", "parentSeqNum", "name", "args", "clientId", "sessionId" FROM `+l.table+` LIMIT 0`)
		if err == nil {
			rows.Close()
			err = rows.Err()
		}
		if err != nil {
			return l.failed("look at the store's table", err)
		}
		if !unique {
			return errs.Refusedf("the table's \"seqNum\" is not unique, so two clients can write the same number and headgate can't tell").
				At("%s", l.place).Hintf("is this the store's eventlog? If so, make \"seqNum\" its primary key, as @livestore/sync-electric's tables have it")
		}
		return nil
	})
}

// ClientOnly returns false: such events never reach a backend.
func (l *Log) ClientOnly() bool { return false }

// Close ends the connection. A second Close does nothing.
func (l *Log) Close() error {
	l.closed = true
	if l.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	err := l.conn.Close(ctx)
	<-l.conn.PgConn().CleanupDone() // pgx closes a connection whose context ended in a goroutine
	l.conn = nil
	if err != nil {
		return l.failed("close the connection", err)
	}
	return nil
}

// Head returns the greatest number. Counting the events would read the whole table, so it does not.
func (l *Log) Head(ctx context.Context) (eventlog.Head, error) {
	var head livestore.SeqNum
	err := l.run(ctx, func(conn *pgx.Conn) error {
		var err error
		head, err = l.head(ctx, conn)
		return err
	})
	if err != nil {
		return eventlog.Head{}, err
	}
	return eventlog.Head{Confirmed: head, Last: livestore.ClientSeq{Global: head}, Events: -1}, nil
}

// A querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func (l *Log) head(ctx context.Context, q querier) (livestore.SeqNum, error) {
	var head int64
	if err := q.QueryRow(ctx, `SELECT coalesce(max("seqNum"), 0)::int8 FROM `+l.table).Scan(&head); err != nil {
		return 0, l.failed("ask for the log's head", err)
	}
	return livestore.SeqNum(head), nil
}

// Events streams the events after the given place.
func (l *Log) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		at := int64(after.Global)
		for {
			page, more, err := l.page(ctx, at)
			if err != nil {
				yield(livestore.Event{}, err)
				return
			}
			for i, r := range page {
				page[i] = row{} // what was handed out belongs to the consumer
				at = r.seq
				if !yield(r.event(l.place)) {
					return
				}
			}
			if !more {
				return
			}
		}
	}
}

// page reads the rows after a number until they hold pageBytes, and whether there may be more. How many rows it asks
// for follows the size of those before, so that little is fetched in vain.
func (l *Log) page(ctx context.Context, after int64) (page []row, more bool, err error) {
	err = l.run(ctx, func(conn *pgx.Conn) error {
		page, more = nil, false
		rows, err := conn.Query(ctx, `SELECT "seqNum"::int8, "parentSeqNum"::int8, "name"::text, "args"::text, "clientId"::text, "sessionId"::text
			FROM `+l.table+` WHERE "seqNum" > $1::int8 ORDER BY "seqNum" LIMIT $2::int8`, after, l.rows)
		if err != nil {
			return l.failed("read the log", err)
		}
		defer rows.Close()
		size := 0
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.seq, &r.parent, &r.name, &r.args, &r.client, &r.session); err != nil {
				return l.failed("read the log", err)
			}
			page = append(page, r)
			if size += r.size(); size >= pageBytes {
				more = true
				break
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return l.failed("read the log", err)
		}
		more = more || len(page) == l.rows
		if len(page) > 0 {
			l.rows = min(max(pageBytes*len(page)/(size+1), 1), pageRows)
		}
		return nil
	})
	return page, more, err
}

// A row is an event as the table has it. Only "parentSeqNum" may be NULL in the tables of sync-electric's example.
type row struct {
	seq                         int64
	parent                      *int64
	name, args, client, session *string
}

func (r row) size() int {
	n := 100 // what a row takes beside its text
	for _, s := range []*string{r.name, r.args, r.client, r.session} {
		if s != nil {
			n += len(*s)
		}
	}
	return n
}

func (r row) event(place string) (livestore.Event, error) {
	e := livestore.Event{Seq: livestore.ClientSeq{Global: livestore.SeqNum(r.seq)}}
	bad := ""
	if r.parent == nil {
		bad = "parentSeqNum"
	} else {
		e.Parent.Global = livestore.SeqNum(*r.parent)
	}
	for _, column := range []struct {
		name string
		from *string
		to   *string
	}{{"name", r.name, &e.Name}, {"clientId", r.client, &e.ClientID}, {"sessionId", r.session, &e.SessionID}} {
		if column.from == nil {
			bad = column.name
			continue
		}
		*column.to = *column.from
	}
	if bad != "" {
		return e, &eventlog.Malformed{Seq: e.Seq, Err: errs.Invalidf("its %s is NULL", bad).At("%s: %s", place, e.Seq)}
	}
	if r.args == nil {
		e.Args = json.RawMessage("null")
		return e, nil
	}
	args, err := compact(*r.args)
	if err != nil {
		return e, &eventlog.Malformed{Seq: e.Seq, Err: errs.Invalidf("its arguments are not JSON").At("%s: %s", place, e.Seq)}
	}
	e.Args = args
	return e, nil
}
