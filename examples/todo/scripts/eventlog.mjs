// Reads a client's eventlog@6.db from memory, with the SQLite that LiveStore itself brings.
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
