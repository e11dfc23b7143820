-- Rollouts of event versions, who is out there, and what is published. Times are UTC unix milliseconds, 0 for never.
-- +goose Up
ALTER TABLE clients RENAME TO clients_before_sources;
CREATE TABLE clients (
    env       TEXT NOT NULL,
    store     TEXT COLLATE "C" NOT NULL,
    client    TEXT COLLATE "C" NOT NULL,
    source    TEXT NOT NULL CHECK (source IN ('sync', 'flag', 'telemetry', 'import')),
    release   TEXT NOT NULL,
    last_seen BIGINT NOT NULL,   -- by the clock of who received the report
    refused   BIGINT NOT NULL DEFAULT 0, -- 1: the Worker refused it for its release
    CONSTRAINT clients_by_source PRIMARY KEY (env, store, client, source)
);
INSERT INTO clients (env, store, client, source, release, last_seen)
    SELECT env, store, client, 'import', release, last_seen FROM clients_before_sources;
DROP TABLE clients_before_sources;
CREATE INDEX clients_last_seen ON clients (env, last_seen);

-- The stores whose sync Worker reports.
CREATE TABLE watches (
    env      TEXT NOT NULL,
    store    TEXT COLLATE "C" NOT NULL,
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    floor    TEXT NOT NULL, -- that the Worker enforced at last_at
    PRIMARY KEY (env, store)
);
CREATE INDEX watches_first_at ON watches (env, first_at);

CREATE TABLE rollouts (
    env        TEXT NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL, -- of the row: each transition raises it
    phase      TEXT NOT NULL,
    state      TEXT NOT NULL,   -- JSON
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (env, name)
);

-- The stores that an attempt opened; rows are only added.
CREATE TABLE rollout_stores (
    env       TEXT NOT NULL,
    rollout   TEXT COLLATE "C" NOT NULL,
    attempt   BIGINT NOT NULL,
    store     TEXT COLLATE "C" NOT NULL,
    revision  BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    PRIMARY KEY (env, rollout, attempt, store)
);

-- How many events of the new version a store's log has, as far as it was read.
CREATE TABLE rollout_events (
    env       TEXT NOT NULL,
    rollout   TEXT COLLATE "C" NOT NULL,
    store     TEXT COLLATE "C" NOT NULL,
    head      BIGINT NOT NULL,   -- read up to here
    committed BIGINT NOT NULL,
    old_at    BIGINT NOT NULL,   -- when an event of the old version was last seen
    PRIMARY KEY (env, rollout, store)
);

CREATE TABLE published_flags (
    env          TEXT NOT NULL,
    key          TEXT COLLATE "C" NOT NULL,
    rollout      TEXT NOT NULL,
    revision     BIGINT NOT NULL,
    definition   TEXT NOT NULL, -- JSON
    published_at BIGINT NOT NULL,
    PRIMARY KEY (env, key)
);

CREATE TABLE floors (
    env     TEXT NOT NULL PRIMARY KEY,
    release TEXT NOT NULL,      -- '' for none
    actor   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      BIGINT NOT NULL
);

CREATE TABLE stops (
    env    TEXT NOT NULL PRIMARY KEY,
    actor  TEXT NOT NULL,
    reason TEXT NOT NULL,
    at     BIGINT NOT NULL
);
