-- The stores that no run of a migration took, since looking at what is due in them failed.
-- +goose Up
CREATE TABLE left_out (
    env        TEXT NOT NULL,
    migration  TEXT NOT NULL,
    store      TEXT NOT NULL,
    run_id     TEXT NOT NULL,   -- that was begun without it, '' where none was
    error_code TEXT NOT NULL,
    error      TEXT NOT NULL,
    left_at    INTEGER NOT NULL,
    PRIMARY KEY (env, migration, store)
) STRICT, WITHOUT ROWID;
