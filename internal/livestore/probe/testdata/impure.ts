// Materializers that depend on more than their event and the state, and some that only look like it.
import { Events, makeSchema, nanoid, Schema, State } from '@livestore/livestore'

const rows = State.SQLite.table({
  name: 'rows',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    value: State.SQLite.text({ nullable: true }),
    at: State.SQLite.integer({ nullable: true, schema: Schema.DateFromNumber }),
  },
})
const args = Schema.Struct({ id: Schema.String, at: Schema.Date })
const event = <N extends string>(name: N, schema: Schema.Schema<any, any> = args) => Events.synced({ name, schema })

const events = {
  clock: event('v1.Clock'),
  clockDefault: event('v1.ClockDefault', Schema.Struct({ id: Schema.String, at: Schema.optionalWith(Schema.Date, { default: () => new Date() }) })),
  random: event('v1.Random'),
  ids: event('v1.Ids'),
  zone: event('v1.Zone'),
  counter: event('v1.Counter'),
  network: event('v1.Network'),
  sqlRandom: event('v1.SqlRandom'),
  sqlNow: event('v1.SqlNow'),
  clockWhenThere: event('v1.ClockWhenThere'),
  pure: event('v1.Pure'),
  word: event('v1.Word'),
  fixedDefault: event('v1.FixedDefault', Schema.Struct({ id: Schema.String, at: Schema.optionalWith(Schema.Date, { default: () => new Date(0) }) })),
}

let calls = 0

const materializers = State.SQLite.materializers(events, {
  'v1.Clock': ({ id }) => rows.insert({ id, at: new Date() }).onConflict('id', 'replace'),
  'v1.ClockDefault': ({ id, at }) => rows.insert({ id, at }).onConflict('id', 'replace'),
  'v1.Random': ({ id }) => rows.insert({ id, value: String(Math.random()) }).onConflict('id', 'replace'),
  'v1.Ids': ({ id }) => rows.insert({ id: nanoid(), value: id }),
  'v1.Zone': ({ id, at }) => rows.insert({ id, value: String(at.getHours()) }).onConflict('id', 'replace'),
  'v1.Counter': ({ id }) => rows.insert({ id, value: String(++calls) }).onConflict('id', 'replace'),
  'v1.Network': ({ id }) => {
    void fetch(`https://example.org/${id}`)
    return []
  },
  'v1.SqlRandom': ({ id }) => ({ sql: 'INSERT OR REPLACE INTO rows (id, value) VALUES (?, random())', bindValues: [id] as any }),
  'v1.SqlNow': ({ id }) => ({ sql: `INSERT OR REPLACE INTO rows (id, value) VALUES (?, strftime('%Y', 'now'))`, bindValues: [id] as any }),
  'v1.ClockWhenThere': ({ id }, { query }) =>
    query(rows.select('id').where({ id }).first()) === undefined ? [] : rows.update({ at: new Date() }).where({ id }),
  'v1.Pure': ({ id, at }) => rows.insert({ id, value: `${at.toISOString()} ${at.getUTCHours()} ${new Date(at.getTime() + 1).getTime()}`, at }).onConflict('id', 'replace'),
  'v1.Word': ({ id }) => ({ sql: `INSERT OR REPLACE INTO rows (id, value) VALUES (?, 'now')`, bindValues: [id] as any }),
  'v1.FixedDefault': ({ id, at }) => rows.insert({ id, at }).onConflict('id', 'replace'),
})

export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables: { rows }, materializers }) })
