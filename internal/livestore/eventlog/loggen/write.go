package loggen

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog/dumplog"
)

// schema is what LiveStore 0.4.0 creates.
const schema = `PRAGMA page_size=8192;
CREATE TABLE "eventlog" ("seqNumGlobal" integer not null, "seqNumClient" integer not null,
	"seqNumRebaseGeneration" integer not null, "parentSeqNumGlobal" integer not null, "parentSeqNumClient" integer not null,
	"parentSeqNumRebaseGeneration" integer not null, "name" text not null, "argsJson" text not null,
	"clientId" text not null, "sessionId" text not null, "schemaHash" integer not null, "syncMetadataJson" text not null,
	PRIMARY KEY ("seqNumGlobal", "seqNumClient", "seqNumRebaseGeneration")) strict;
CREATE INDEX "idx_eventlog_seqNumGlobal" on "eventlog" ("seqNumGlobal");
CREATE INDEX "idx_eventlog_seqNum" on "eventlog" ("seqNumGlobal", "seqNumClient", "seqNumRebaseGeneration");
CREATE TABLE "__livestore_sync_status" ("head" integer primary key, "backendId" text) strict;`

// backendID is what the generated client remembers of its backend.
const backendID = "loggen-backend-000001"

// WriteFile writes the log to path, which must not exist, and returns how many events it holds.
func (s Spec) WriteFile(ctx context.Context, path string) (events int64, err error) {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: "_pragma=synchronous(off)"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return 0, fmt.Errorf("create %s: %w", path, err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	insert, err := tx.PrepareContext(ctx, `INSERT INTO eventlog VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`) //nolint:sqlclosecheck // it does not see the defer for the range over a function
	if err != nil {
		return 0, err
	}
	defer insert.Close()
	for e := range s.Events() {
		metadata := `{"_tag":"None"}`
		if !e.CreatedAt.IsZero() {
			metadata = `{"_tag":"Some","value":{"_tag":"SyncMessage.SyncMetadata","createdAt":"` + e.CreatedAt.Format("2006-01-02T15:04:05.000Z") + `"}}`
		}
		if _, err := insert.ExecContext(ctx, int64(e.Seq.Global), e.Seq.Client, e.Seq.Rebase, int64(e.Parent.Global), e.Parent.Client, e.Parent.Rebase,
			e.Name, string(e.Args), e.ClientID, e.SessionID, e.SchemaHash, metadata); err != nil {
			return 0, fmt.Errorf("insert event %s: %w", e.Seq, err)
		}
		events++
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO __livestore_sync_status VALUES ($1, $2)`, s.N-s.Pending, backendID); err != nil {
		return 0, err
	}
	return events, tx.Commit()
}

// WriteDump writes the dump that `livestore sync export` would make of the store.
func (s Spec) WriteDump(w io.Writer, store livestore.StoreID) error {
	out := dumplog.NewWriter(w, dumplog.Header{StoreID: store, ExportedAt: "2026-11-22T12:26:11.087Z", EventCount: int64(s.N - s.Pending)})
	for e := range s.Events() {
		if e.ClientOnly() || e.Pending {
			continue
		}
		if err := out.Write(e); err != nil {
			return err
		}
	}
	return out.Close()
}
