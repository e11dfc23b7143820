// Reads LiveStore's database files from memory, with the SQLite that LiveStore itself brings.
import { readFileSync } from 'node:fs'
import { NodeFileSystem } from '@effect/platform-node'
import { loadSqlite3Wasm } from '@livestore/sqlite-wasm/load-wasm'
import { sqliteDbFactory } from '@livestore/sqlite-wasm/node'
import { Effect } from 'effect'

/** Runs one query over a copy of the database file at path. */
export const select = async (path, query) => {
  const sqlite3 = await loadSqlite3Wasm()
  const open = Effect.andThen(sqliteDbFactory({ sqlite3 }), (make) => make({ _tag: 'in-memory' }))
  const db = await Effect.runPromise(open.pipe(Effect.provide(NodeFileSystem.layer)))
  try {
    db.import(new Uint8Array(readFileSync(path)))
    return db.select(query)
  } finally {
    db.close()
  }
}

/** How many events the log holds. */
export const countEvents = async (path) => (await select(path, 'SELECT count(*) AS n FROM eventlog'))[0].n

/** What the app's own tables and indexes hold: per name its DDL and, for a table, all rows. */
export const appTables = async (path) => {
  const named = await select(path, `SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name`)
  const content = {}
  for (const { type, name, sql } of named.filter((entry) => !/^(__livestore|idx___livestore|idx_session_changeset)/.test(entry.name))) {
    const rows = type === 'table' ? await select(path, `SELECT * FROM "${name}" ORDER BY 1, 2`) : []
    content[name] = { sql, rows }
  }
  return content
}
