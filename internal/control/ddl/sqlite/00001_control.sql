-- headgate's control database. Times are UTC unix milliseconds, 0 for never; text is '' where there is none.
-- +goose Up
CREATE TABLE stores (
    env        TEXT NOT NULL,
    id         TEXT NOT NULL,
    schema     TEXT NOT NULL,
    log        TEXT NOT NULL,   -- without secrets
    region     TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('active', 'hold', 'deleted')),
    note       TEXT NOT NULL,
    head       INTEGER NOT NULL DEFAULT 0,   -- the highest that the store ever answered
    backend_id TEXT NOT NULL DEFAULT '',
    seen_at    INTEGER NOT NULL DEFAULT 0,   -- in the inventory
    PRIMARY KEY (env, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE clients (
    env       TEXT NOT NULL,
    store     TEXT NOT NULL,
    client    TEXT NOT NULL,
    release   TEXT NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (env, store, client)
) STRICT, WITHOUT ROWID;
CREATE INDEX clients_last_seen ON clients (env, last_seen);

CREATE TABLE runs (
    id         TEXT PRIMARY KEY,
    env        TEXT NOT NULL,
    migration  TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('pending', 'running', 'pausing', 'paused', 'cancelling', 'cancelled', 'succeeded', 'failed')),
    actor      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    options    TEXT NOT NULL    -- JSON
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_created_at ON runs (env, created_at);

CREATE TABLE store_runs (
    run_id       TEXT NOT NULL REFERENCES runs (id),
    store        TEXT NOT NULL,
    wave         INTEGER NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('pending', 'running', 'pausing', 'paused', 'cancelling', 'cancelled', 'succeeded', 'failed',
                                                'stalled', 'vanished', 'quarantined')),
    due          INTEGER NOT NULL,
    committed    INTEGER NOT NULL DEFAULT 0,
    before_count INTEGER NOT NULL DEFAULT 0,
    pushes       INTEGER NOT NULL DEFAULT 0,
    conflicts    INTEGER NOT NULL DEFAULT 0,
    head         INTEGER NOT NULL DEFAULT 0,
    error_code   TEXT NOT NULL DEFAULT '',
    error        TEXT NOT NULL DEFAULT '',
    attempt      INTEGER NOT NULL DEFAULT 0,
    owner        TEXT NOT NULL DEFAULT '',
    fence        INTEGER NOT NULL DEFAULT 0, -- of the last claim; kept when nobody owns the row
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (run_id, store)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX store_runs_wave ON store_runs (run_id, wave, store);

CREATE TABLE leases (
    env          TEXT NOT NULL,
    name         TEXT NOT NULL,
    owner        TEXT NOT NULL, -- '' when released: the row stays, for the fence
    run_id       TEXT NOT NULL,
    fence        INTEGER NOT NULL,
    acquired_at  INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    PRIMARY KEY (env, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    env     TEXT NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL,      -- JSON
    prev    TEXT NOT NULL,
    hash    TEXT NOT NULL
) STRICT;
CREATE INDEX audit_env ON audit (env, seq);

-- +goose StatementBegin
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;
-- +goose StatementEnd
