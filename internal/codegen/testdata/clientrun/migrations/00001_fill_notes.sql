-- headgate: requires >= 1.0.0
-- +goose Up
-- headgate: emit v1.NoteFilled key id
SELECT
  id,
  length(text) % 2 AS done,
  CASE WHEN length(text) > 12 THEN 'long' ELSE 'short' END AS kind,
  length(text) / 4.0 AS weight,
  json_object('words', json_array(text, 'it''s a `${word}` \n'), 'parent', NULL) AS meta,
  strftime('%Y-%m-%dT%H:%M:%fZ', 1700000000 + length(text), 'unixepoch') AS at,
  CASE WHEN length(text) % 3 = 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', 1800000000, 'unixepoch') END AS dueAt,
  CASE WHEN length(text) % 2 = 0 THEN 'red' END AS color,
  CASE WHEN length(text) % 5 = 0 THEN length(text) END AS size,
  CASE length(text) % 3 WHEN 0 THEN '{"b": 1, "a": [true]}' WHEN 1 THEN text END AS extra,
  2 AS level
FROM notes WHERE done IS NULL ORDER BY id;
-- headgate: emit v1.TagAdded key id
SELECT uuid5('tag ü ' || n.kind) AS id, n.kind AS name
FROM (SELECT DISTINCT json_extract(filled, '$.kind') AS kind FROM notes WHERE filled IS NOT NULL) AS n
WHERE n.kind NOT IN (SELECT tags.name FROM tags)
ORDER BY n.kind;
-- headgate: assert 'every note is filled' SELECT count(*) = 0 FROM notes WHERE done IS NULL;
