-- Whose a token is: several of one person act as one.
-- +goose Up
ALTER TABLE tokens ADD COLUMN person TEXT NOT NULL DEFAULT '';
UPDATE tokens SET person = actor;
