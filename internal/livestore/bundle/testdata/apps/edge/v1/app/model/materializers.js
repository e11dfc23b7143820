import { sql } from '@livestore/livestore'
import { log, note } from './tables.mjs'
import { nameOf } from './names.mjs'

export const materializers = {
  [nameOf('Noted', 1)]: ({ id, kind, n }) => [[[note.insert({ id, kind, n: String(n * 2n) })]], [`INSERT INTO log (text) VALUES ('noted')`, []]],
  [nameOf('Noted', 2)]: ({ id }, { event }) => note.insert({ id, made: event.seqNum.global ?? 0 }).onConflict('id', 'update', { made: event.seqNum.global }),
  'v1.Cleared': () => 'DELETE FROM note; ',
  'v1.Ping': () => [],
  'v1.Nested': ({ ids }) => ids.map((id) => ({ sql: sql`INSERT INTO log (text) VALUES ($id || '!')`, bindValues: { id }, writeTables: new Set(['log']) })),
  plainName: (args) => [{ sql: 'INSERT INTO log (text) VALUES (?), (?)', bindValues: [args["it's"], String(args['a"b'])] }],
}
