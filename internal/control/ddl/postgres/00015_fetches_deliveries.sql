-- Which revision of a rollout's flags a client fetched last, and what a webhook is told. Times are UTC unix milliseconds.
-- +goose Up
CREATE TABLE fetches (
    env        TEXT NOT NULL,
    rollout    TEXT NOT NULL,
    store      TEXT COLLATE "C" NOT NULL,
    client     TEXT COLLATE "C" NOT NULL,
    revision   BIGINT NOT NULL,
    fetched_at BIGINT NOT NULL, -- by the clock of who was asked, or received the report
    PRIMARY KEY (env, rollout, store, client)
);

-- How far the audit was looked through for what a webhook is told.
CREATE TABLE webhooks (
    env TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL       -- of the last entry
);

-- What a webhook is told, or was: one row per entry of the audit.
CREATE TABLE deliveries (
    env        TEXT NOT NULL,
    seq        BIGINT NOT NULL, -- of the entry
    state      TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts   BIGINT NOT NULL,
    due_at     BIGINT NOT NULL, -- when it is sent, or taken for lost by who sends it
    updated_at BIGINT NOT NULL,
    error      TEXT NOT NULL,   -- of the last attempt, '' for none
    PRIMARY KEY (env, seq)
);
CREATE INDEX deliveries_due ON deliveries (env, state, due_at);
