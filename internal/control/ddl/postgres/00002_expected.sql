-- The events that a run was said to commit in a store, when somebody agreed to it. due is what is left.
-- +goose Up
ALTER TABLE store_runs ADD COLUMN expected BIGINT NOT NULL DEFAULT 0;
UPDATE store_runs SET expected = committed + due;
