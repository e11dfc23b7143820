-- When the sync Worker of an environment was last heard.
-- +goose Up
CREATE INDEX watches_last_at ON watches (env, last_at);
