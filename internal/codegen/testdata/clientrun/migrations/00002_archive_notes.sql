-- headgate: requires >= 1.0.0
-- headgate: after 00001
-- headgate: marker v1.MigrationRan
-- +goose Up
-- headgate: emit v1.NoteArchived key id
SELECT id, 1 AS archived FROM notes WHERE done = 1 AND archived = 0;
