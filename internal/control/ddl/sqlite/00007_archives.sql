-- What whoever works on a run needs of the app's directory, and who approved which plan.
-- +goose Up
CREATE TABLE archives (
    digest     TEXT NOT NULL PRIMARY KEY, -- "sha256-" and the SHA-256 of the JSON in data, in hex
    data       BLOB NOT NULL,             -- gzip of a JSON object, from paths to contents in base64
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE approvals (
    env         TEXT NOT NULL,
    plan        TEXT NOT NULL,            -- its digest
    actor       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    approved_at INTEGER NOT NULL,
    PRIMARY KEY (env, plan, actor)
) STRICT, WITHOUT ROWID;
