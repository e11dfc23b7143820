-- When a migration was last swept for late arrivals, and to which event each store was looked at.
-- +goose Up
CREATE TABLE sweeps (
    env       TEXT NOT NULL,
    migration TEXT NOT NULL,
    swept_at  BIGINT NOT NULL,
    PRIMARY KEY (env, migration)
);

CREATE TABLE swept_stores (
    env       TEXT NOT NULL,
    migration TEXT NOT NULL,
    store     TEXT COLLATE "C" NOT NULL,
    checksum  TEXT NOT NULL,    -- of the migration's file
    head      BIGINT NOT NULL, -- nothing was due at this event
    PRIMARY KEY (env, migration, store)
);
