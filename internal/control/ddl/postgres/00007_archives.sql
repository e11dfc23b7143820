-- What whoever works on a run needs of the app's directory, and who approved which plan.
-- +goose Up
CREATE TABLE archives (
    digest     TEXT NOT NULL PRIMARY KEY, -- "sha256-" and the SHA-256 of the JSON in data, in hex
    data       BYTEA NOT NULL,            -- gzip of a JSON object, from paths to contents in base64
    created_at BIGINT NOT NULL
);

CREATE TABLE approvals (
    env         TEXT NOT NULL,
    plan        TEXT NOT NULL,            -- its digest
    actor       TEXT COLLATE "C" NOT NULL,
    reason      TEXT NOT NULL,
    approved_at BIGINT NOT NULL,
    PRIMARY KEY (env, plan, actor)
);
