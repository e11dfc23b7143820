-- What was done to one thing is looked up by it.
-- +goose Up
CREATE INDEX audit_subject ON audit (env, subject, seq);
