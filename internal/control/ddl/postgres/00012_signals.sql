-- How often things were seen of the fleet, counted in slots of time: 10 seconds at first, merged to minutes and hours.
-- +goose Up
CREATE TABLE signals (
    env     TEXT NOT NULL,
    at      BIGINT NOT NULL, -- when the slot begins, UTC unix milliseconds
    kind    TEXT NOT NULL,
    schema  TEXT NOT NULL,
    release TEXT NOT NULL,   -- of the reader
    event   TEXT NOT NULL,   -- '' where it is about none
    cohort  TEXT NOT NULL,   -- ,a,b, for stores that the rollouts a and b had open; '' for others
    bucket  BIGINT NOT NULL, -- of a histogram, else 0
    n       BIGINT NOT NULL,
    PRIMARY KEY (env, at, kind, schema, release, event, cohort, bucket)
);
