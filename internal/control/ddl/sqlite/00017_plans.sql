-- Plans that somebody approved, as they were then.
-- +goose Up
CREATE TABLE plans (
    env     TEXT NOT NULL,
    digest  TEXT NOT NULL,
    plan    TEXT NOT NULL, -- JSON, as headgate plan writes it
    kept_at INTEGER NOT NULL,
    PRIMARY KEY (env, digest)
);
CREATE INDEX plans_kept_at ON plans (env, kept_at);
