-- headgate: requires >= 1.0.0
-- +goose Up
-- headgate: emit v1.NoteSeen key id
SELECT id FROM notes;
