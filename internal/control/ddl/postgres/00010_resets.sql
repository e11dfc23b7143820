-- Resets: stores whose clients are asked, some per hour, to throw their local data away and load it again.
-- +goose Up
CREATE TABLE resets (
    env        TEXT NOT NULL,
    id         BIGINT NOT NULL, -- 1 for the environment's first
    state      TEXT NOT NULL CHECK (state IN ('armed', 'firing', 'paused', 'done', 'cancelled')),
    per_hour   BIGINT NOT NULL CHECK (per_hour > 0),
    armed_by   TEXT NOT NULL,
    reason     TEXT NOT NULL,
    armed_at   BIGINT NOT NULL,
    fired_by   TEXT NOT NULL DEFAULT '',
    fired_at   BIGINT NOT NULL DEFAULT 0,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (env, id)
);

-- The stores of a reset; one that was opened stays so.
CREATE TABLE reset_stores (
    env        TEXT NOT NULL,
    reset      BIGINT NOT NULL,
    store      TEXT COLLATE "C" NOT NULL,
    place      BIGINT NOT NULL,           -- in the order in which they are opened
    generation BIGINT NOT NULL DEFAULT 0, -- of the store, from then on
    opened_at  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (env, reset, store)
);
CREATE INDEX reset_stores_opened_at ON reset_stores (env, opened_at);
CREATE INDEX reset_stores_store ON reset_stores (env, store);
