-- headgate's control database. Times are UTC unix milliseconds, 0 for never; text is '' where there is none. Names that
-- are paged through are in the order of their bytes, as in SQLite.
-- +goose Up
CREATE TABLE stores (
    env        TEXT NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    schema     TEXT NOT NULL,
    log        TEXT NOT NULL,   -- without secrets
    region     TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('active', 'hold', 'deleted')),
    note       TEXT NOT NULL,
    head       BIGINT NOT NULL DEFAULT 0,   -- the highest that the store ever answered
    backend_id TEXT NOT NULL DEFAULT '',
    seen_at    BIGINT NOT NULL DEFAULT 0,   -- in the inventory
    PRIMARY KEY (env, id)
);

CREATE TABLE clients (
    env       TEXT NOT NULL,
    store     TEXT COLLATE "C" NOT NULL,
    client    TEXT COLLATE "C" NOT NULL,
    release   TEXT NOT NULL,
    last_seen BIGINT NOT NULL,
    PRIMARY KEY (env, store, client)
);
CREATE INDEX clients_last_seen ON clients (env, last_seen);

CREATE TABLE runs (
    id         TEXT COLLATE "C" PRIMARY KEY,
    env        TEXT NOT NULL,
    migration  TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('pending', 'running', 'pausing', 'paused', 'cancelling', 'cancelled', 'succeeded', 'failed')),
    actor      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    options    TEXT NOT NULL    -- JSON
);
CREATE INDEX runs_created_at ON runs (env, created_at);

CREATE TABLE store_runs (
    run_id       TEXT NOT NULL REFERENCES runs (id),
    store        TEXT COLLATE "C" NOT NULL,
    wave         BIGINT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('pending', 'running', 'pausing', 'paused', 'cancelling', 'cancelled', 'succeeded', 'failed',
                                                'stalled', 'vanished', 'quarantined')),
    due          BIGINT NOT NULL,
    committed    BIGINT NOT NULL DEFAULT 0,
    before_count BIGINT NOT NULL DEFAULT 0,
    pushes       BIGINT NOT NULL DEFAULT 0,
    conflicts    BIGINT NOT NULL DEFAULT 0,
    head         BIGINT NOT NULL DEFAULT 0,
    error_code   TEXT NOT NULL DEFAULT '',
    error        TEXT NOT NULL DEFAULT '',
    attempt      BIGINT NOT NULL DEFAULT 0,
    owner        TEXT NOT NULL DEFAULT '',
    fence        BIGINT NOT NULL DEFAULT 0, -- of the last claim; kept when nobody owns the row
    updated_at   BIGINT NOT NULL,
    PRIMARY KEY (run_id, store)
);
CREATE UNIQUE INDEX store_runs_wave ON store_runs (run_id, wave, store);

CREATE TABLE leases (
    env          TEXT NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    owner        TEXT NOT NULL, -- '' when released: the row stays, for the fence
    run_id       TEXT NOT NULL,
    fence        BIGINT NOT NULL,
    acquired_at  BIGINT NOT NULL,
    heartbeat_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    PRIMARY KEY (env, name)
);

CREATE TABLE audit (
    seq     BIGINT PRIMARY KEY,
    at      BIGINT NOT NULL,
    env     TEXT NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL,      -- JSON
    prev    TEXT NOT NULL,
    hash    TEXT NOT NULL
);
CREATE INDEX audit_env ON audit (env, seq);

-- +goose StatementBegin
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
