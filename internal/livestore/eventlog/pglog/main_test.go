package pglog_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog/pglog"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A database is a schema of the test's own in a real Postgres.
type database struct {
	*pgx.Conn        // of the test itself
	dsn       string // whose search_path is the schema
	schema    string
}

// open makes the schema; the test's end removes it.
func open(t *testing.T) database {
	t.Helper()
	address := os.Getenv("HEADGATE_TEST_POSTGRES")
	if address == "" {
		address = "postgres://postgres@127.0.0.1:5432/test"
	}
	schema := "pglog_" + strings.ToLower(rand.Text()[:10])
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	q.Set("connect_timeout", "5")
	u.RawQuery = q.Encode()
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		testenv.Need(t, "Postgres", "start one at "+address+", or name one in HEADGATE_TEST_POSTGRES")
	}
	db := database{Conn: conn, dsn: u.String(), schema: schema}
	db.exec(t, `CREATE SCHEMA `+schema)
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended
		if _, err := conn.Exec(ctx, `DROP SCHEMA `+schema+` CASCADE`); err != nil {
			t.Errorf("drop the schema: %v", err)
		}
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return db
}

func (db database) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// create makes a table as sync-electric's example does, see WIRE.md 14.
func (db database) create(t *testing.T, table string) {
	t.Helper()
	db.exec(t, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s ("seqNum" INTEGER PRIMARY KEY, "parentSeqNum" INTEGER, "name" TEXT NOT NULL,
		"args" JSONB NOT NULL, "clientId" TEXT NOT NULL, "sessionId" TEXT NOT NULL)`, pgx.Identifier{table}.Sanitize()))
}

// log opens the log of a store whose table is there.
func (db database) log(t *testing.T, store livestore.StoreID) *pglog.Log {
	t.Helper()
	l, err := pglog.Open(t.Context(), pglog.Options{DSN: db.dsn, StoreID: store})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}
