-- Which revision of a rollout's flags a client fetched last, and what a webhook is told. Times are UTC unix milliseconds.
-- +goose Up
CREATE TABLE fetches (
    env        TEXT NOT NULL,
    rollout    TEXT NOT NULL,
    store      TEXT NOT NULL,
    client     TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    fetched_at INTEGER NOT NULL, -- by the clock of who was asked, or received the report
    PRIMARY KEY (env, rollout, store, client)
) STRICT, WITHOUT ROWID;

-- How far the audit was looked through for what a webhook is told.
CREATE TABLE webhooks (
    env TEXT NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL       -- of the last entry
) STRICT, WITHOUT ROWID;

-- What a webhook is told, or was: one row per entry of the audit.
CREATE TABLE deliveries (
    env        TEXT NOT NULL,
    seq        INTEGER NOT NULL, -- of the entry
    state      TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts   INTEGER NOT NULL,
    due_at     INTEGER NOT NULL, -- when it is sent, or taken for lost by who sends it
    updated_at INTEGER NOT NULL,
    error      TEXT NOT NULL,   -- of the last attempt, '' for none
    PRIMARY KEY (env, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (env, state, due_at);
