-- headgate: requires >= 1.0.0
-- +goose Up
-- headgate: emit v1.NoteSeen key id
SELECT id, '2026-01-01' AS at FROM notes;
