-- Tokens for the sync backend's Worker.
-- +goose Up
CREATE TABLE tokens_new (
    env        TEXT NOT NULL,
    id         TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE,  -- SHA-256 of the token, in hex
    role       TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'approver', 'ci', 'worker', 'client')),
    app        TEXT NOT NULL,         -- '' for any
    stores     TEXT NOT NULL,         -- a JSON array, [] for all
    actor      TEXT NOT NULL,         -- who made it
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (env, id)
) STRICT, WITHOUT ROWID;
INSERT INTO tokens_new SELECT * FROM tokens;
DROP TABLE tokens;
ALTER TABLE tokens_new RENAME TO tokens;
