// The app of reset_test.go: items, and drafts that never leave the client.
import { Events, makeSchema, Schema, State } from '@livestore/livestore'
import { withHeadgate } from './headgate.generated.ts'

export const events = {
  itemAdded: Events.synced({ name: 'v1.ItemAdded', schema: Schema.Struct({ id: Schema.String, at: Schema.Date }) }),
  draftSet: Events.clientOnly({ name: 'v1.DraftSet', schema: Schema.Struct({ id: Schema.String }) }),
}
export const items = State.SQLite.table({
  name: 'items',
  columns: { id: State.SQLite.text({ primaryKey: true }), times: State.SQLite.integer({ default: 1 }) },
})
export const drafts = State.SQLite.table({ name: 'drafts', columns: { id: State.SQLite.text({ primaryKey: true }) } })
const materializers = State.SQLite.materializers(events, {
  // An event that arrives twice shows.
  'v1.ItemAdded': ({ id }) => ({ sql: 'INSERT INTO items (id) VALUES (?) ON CONFLICT (id) DO UPDATE SET times = times + 1', bindValues: [id], writeTables: new Set(['items']) }),
  'v1.DraftSet': ({ id }) => drafts.insert({ id }).onConflict('id', 'ignore'),
})
export const schema = makeSchema({ events, state: State.SQLite.makeState(withHeadgate({ tables: { items, drafts }, materializers })) })
