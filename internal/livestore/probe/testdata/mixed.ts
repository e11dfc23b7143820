// Families with two versions: some go wrong only when old and new events lie in one log.
import { Events, makeSchema, Schema, State } from '@livestore/livestore'

const text = { id: State.SQLite.text({ primaryKey: true }), name: State.SQLite.text({ default: '' }) }
const items = State.SQLite.table({ name: 'items', columns: text })
const itemsV2 = State.SQLite.table({ name: 'items_v2', columns: text })
const notes = State.SQLite.table({ name: 'notes', columns: { ...text, position: State.SQLite.integer({ default: 0 }) } })
const settings = State.SQLite.table({ name: 'settings', columns: text })
const totals = State.SQLite.table({ name: 'totals', columns: { id: State.SQLite.text({ primaryKey: true }), cents: State.SQLite.integer() } })

const Item = Schema.Struct({ id: Schema.String, name: Schema.String })
const Amount = Schema.Struct({ id: Schema.String, cents: Schema.Int })
const event = <N extends string, S extends Schema.Schema<any, any>>(name: N, schema: S) => Events.synced({ name, schema })
const events = {
  // the new version lives in another table, which the other family's versions don't both know
  itemCreated1: event('v1.ItemCreated', Item),
  itemCreated2: event('v2.ItemCreated', Item),
  itemRenamed1: event('v1.ItemRenamed', Item),
  itemRenamed2: event('v2.ItemRenamed', Item),
  // sums in the old version, takes the highest in the new one
  paid1: event('v1.Paid', Amount),
  paid2: event('v2.Paid', Amount),
  // fine: inserts of the same id collide in every version
  noteAdded1: event('v1.NoteAdded', Item),
  noteAdded2: event('v2.NoteAdded', Item),
  // fine: the last writer wins in every version
  themeSet1: event('v1.ThemeSet', Schema.Struct({ name: Schema.Literal('dark', 'light') })),
  themeSet2: event('v2.ThemeSet', Schema.Struct({ name: Schema.Literal('dark', 'light', 'system') })),
  // fine: the order of the log is the position, in the new version by design
  noteMoved1: event('v1.NoteMoved', Item),
  noteMoved2: event('v2.NoteMoved', Item),
}
const found = <T>(row: T | undefined): T => {
  if (row === undefined) throw new Error('no such item')
  return row
}
const materializers = State.SQLite.materializers(events, {
  'v1.ItemCreated': ({ id, name }) => items.insert({ id, name }).onConflict('id', 'ignore'),
  'v2.ItemCreated': ({ id, name }) => itemsV2.insert({ id, name }).onConflict('id', 'ignore'),
  'v1.ItemRenamed': ({ id, name }, { query }) => items.update({ name }).where({ id: found(query(items.where({ id }).first())).id }),
  'v2.ItemRenamed': ({ id, name }, { query }) => itemsV2.update({ name }).where({ id: found(query(itemsV2.where({ id }).first())).id }),
  'v1.Paid': ({ cents }) => ({
    sql: `INSERT INTO totals (id, cents) VALUES ('all', ?) ON CONFLICT (id) DO UPDATE SET cents = cents + excluded.cents`,
    bindValues: [cents] as any,
  }),
  'v2.Paid': ({ cents }) => ({
    sql: `INSERT INTO totals (id, cents) VALUES ('all', ?) ON CONFLICT (id) DO UPDATE SET cents = max(cents, excluded.cents)`,
    bindValues: [cents] as any,
  }),
  'v1.NoteAdded': ({ id, name }) => notes.insert({ id, name }),
  'v2.NoteAdded': ({ id, name }) => notes.insert({ id, name: name.trim() }),
  'v1.ThemeSet': ({ name }) => settings.insert({ id: 'theme', name }).onConflict('id', 'replace'),
  'v2.ThemeSet': ({ name }) => settings.insert({ id: 'theme', name }).onConflict('id', 'update', { name }),
  'v1.NoteMoved': ({ id, name }) => notes.insert({ id, name }).onConflict('id', 'ignore'),
  'v2.NoteMoved': ({ id, name }, { query }) => notes.insert({ id, name, position: query(notes.count()) }).onConflict('id', 'ignore'),
})

export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables: { items, itemsV2, notes, settings, totals }, materializers }) })
