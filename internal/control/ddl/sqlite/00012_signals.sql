-- How often things were seen of the fleet, counted in slots of time: 10 seconds at first, merged to minutes and hours.
-- +goose Up
CREATE TABLE signals (
    env     TEXT NOT NULL,
    at      INTEGER NOT NULL, -- when the slot begins, UTC unix milliseconds
    kind    TEXT NOT NULL,
    schema  TEXT NOT NULL,
    release TEXT NOT NULL,    -- of the reader
    event   TEXT NOT NULL,    -- '' where it is about none
    cohort  TEXT NOT NULL,    -- ,a,b, for stores that the rollouts a and b had open; '' for others
    bucket  INTEGER NOT NULL, -- of a histogram, else 0
    n       INTEGER NOT NULL,
    PRIMARY KEY (env, at, kind, schema, release, event, cohort, bucket)
) STRICT, WITHOUT ROWID;
