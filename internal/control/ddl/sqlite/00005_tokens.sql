-- Tokens for the server, and what it answered to requests that may come twice.
-- +goose Up
CREATE TABLE tokens (
    env        TEXT NOT NULL,
    id         TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE,  -- SHA-256 of the token, in hex
    role       TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'approver', 'ci', 'client')),
    app        TEXT NOT NULL,         -- '' for any
    stores     TEXT NOT NULL,         -- a JSON array, [] for all
    actor      TEXT NOT NULL,         -- who made it
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (env, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE replies (
    env        TEXT NOT NULL,
    caller     TEXT NOT NULL,
    key        TEXT NOT NULL,         -- the caller's Idempotency-Key
    request    TEXT NOT NULL,         -- SHA-256 of what was asked, in hex
    status     INTEGER NOT NULL,         -- 0 while the request is under way
    body       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (env, caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX replies_created_at ON replies (created_at);
