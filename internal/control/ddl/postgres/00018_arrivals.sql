-- What was counted as a whole, so that it is not when it comes again.
-- +goose Up
CREATE TABLE arrivals (
    env   TEXT NOT NULL,
    key   TEXT NOT NULL,   -- a hash of who sent it and of how they named it
    until BIGINT NOT NULL, -- it is forgotten then
    PRIMARY KEY (env, key)
);
CREATE INDEX arrivals_until ON arrivals (env, until);
