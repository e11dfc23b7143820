package main

import (
	"context"
	"database/sql"
	"os"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"

	"headgate/internal/livestore/eventlog/loggen"
)

// makeLog is `makelog FILE N [SQL...]`: it writes a client's log of N generated synced events, about two a day from
// 2026-01-01 on, the last two pending, and then runs the statements on it.
func makeLog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: makelog file n [sql...]")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	spec := loggen.Spec{
		N: n, Seed: 1, Level: 1, ClientOnly: true, Pending: 2,
		Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Every: 12 * time.Hour,
	}
	_, err = spec.WriteFile(context.Background(), path)
	ts.Check(err)
	db, err := sql.Open("sqlite", path)
	ts.Check(err)
	defer db.Close()
	for _, statement := range args[2:] {
		_, err := db.Exec(statement)
		ts.Check(err)
	}
}

// truncate is `truncate FILE BYTES`: it cuts so many bytes off the file's end.
func truncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate file bytes")
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	path := ts.MkAbs(args[0])
	info, err := os.Stat(path)
	ts.Check(err)
	ts.Check(os.Truncate(path, info.Size()-n))
}
