package control

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"headgate/internal/errs"
)

// The SQLSTATE codes that are told apart.
const (
	wrongPassword    = "28P01"
	notAuthorized    = "28000"
	undefinedCatalog = "3D000"
	invalidSchema    = "3F000"
	notPermitted     = "42501"
)

// postgresSchema holds the tables where the URL has no search_path. A schema of its own, because the database may be
// the app's, and has clients and stores itself.
const postgresSchema = "headgate"

func openPostgres(ctx context.Context, address string, opt Options) (*DB, error) {
	u, err := url.Parse(address)
	if err != nil { // it quotes the address
		return nil, errs.Invalidf("the address of the control database is not a postgres:// URL").
			Hintf("write postgres://USER:${PASSWORD}@HOST:PORT/DATABASE, with odd characters in the password as %%XX")
	}
	q := u.Query()
	own := !q.Has("search_path")
	if own {
		q.Set("search_path", postgresSchema)
	}
	path := q.Get("search_path")
	u.RawQuery = q.Encode()
	config, err := pgx.ParseConfig(u.String())
	if err != nil { // it may quote the address
		return nil, errs.Invalidf("the address of the control database can't be used").
			Hintf("check its port, and its options behind the question mark (sslmode, connect_timeout)")
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(8) // at least 2: one holds the lock while goose works on another
	pool.SetMaxIdleConns(4)
	db := &DB{engine: postgresEngine, sql: pool, dsn: u.String(), place: postgresPlace(config), now: opt.Now}
	if opt.Existing {
		var there bool
		err := pool.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, versionTable).Scan(&there)
		if err == nil && !there {
			err = missing(db.place)
		}
		if err != nil {
			return nil, errors.Join(db.failed(ctx, "open the control database", err), pool.Close())
		}
	}
	if err := db.migratePostgres(ctx, path, own); err != nil {
		return nil, errors.Join(db.failed(ctx, "open the control database", err), pool.Close())
	}
	return db, nil
}

// migratePostgres brings the tables up to date while no other process does.
func (db *DB) migratePostgres(ctx context.Context, path string, makeSchema bool) (err error) {
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	word := "headgate ddl " + path
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(hashtextextended($1, 0))`, word); err != nil {
		return err
	}
	defer func() { // the connection goes back to the pool
		ctx := context.WithoutCancel(ctx)
		_, unlock := conn.ExecContext(ctx, `SELECT pg_advisory_unlock(hashtextextended($1, 0))`, word)
		err = errors.Join(err, unlock)
	}()
	if makeSchema {
		var there bool // asked first, because CREATE wants a permission even where there is nothing to do
		err := conn.QueryRowContext(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, postgresSchema).Scan(&there)
		if err == nil && !there {
			_, err = conn.ExecContext(ctx, `CREATE SCHEMA `+postgresSchema)
		}
		if err != nil {
			return err
		}
	}
	return db.migrate(ctx)
}

// postgresPlace is the database without its password.
func postgresPlace(c *pgx.ConnConfig) string {
	u := url.URL{Scheme: "postgres", User: url.User(c.User), Host: net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), Path: "/" + c.Database}
	if strings.HasPrefix(c.Host, "/") { // a socket
		u.Host, u.RawQuery = "", "host="+c.Host
	}
	return u.String()
}

// postgresFailure makes an error for the user of one of Postgres, or nil. The text of a PgError has no details, which
// is where values are, and a ConnectError names user, database and hosts, never the password.
func (db *DB) postgresFailure(doing string, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case wrongPassword, notAuthorized:
			return errs.Invalidf("Postgres refuses the login: %s", pg.Message).At("%s", db.place).
				Hintf("check user and password; where the address has no password, PGPASSWORD and ~/.pgpass are asked")
		case undefinedCatalog:
			return errs.NotFoundf("Postgres refuses the login: %s", pg.Message).At("%s", db.place).Hintf("check the database's name")
		case invalidSchema:
			return errs.NotFoundf("can't %s: %s", doing, pg.Message).At("%s", db.place).
				Hintf("create the schema that search_path names, or leave search_path away: then headgate makes a schema headgate")
		case notPermitted:
			return errs.Invalidf("can't %s", doing).At("%s", db.place).Because(pg).
				Hintf("headgate makes a schema headgate with its tables: GRANT CREATE ON DATABASE, or create the schema for the user")
		}
		e := errs.New(errs.Internal, "can't %s", doing).At("%s", db.place).Because(pg)
		switch pg.Code[:min(2, len(pg.Code))] {
		case "08", "40", "53", "57": // connections, deadlocks, resources, a server that restarts
			e.Passing = true
		}
		return e
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return errs.New(errs.Internal, "can't connect to Postgres").At("%s", db.place).Because(connect).
			Hintf("check host and port, and that the database runs and lets this machine in").Passes()
	}
	return nil
}
