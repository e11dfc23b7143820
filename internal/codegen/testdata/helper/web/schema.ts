import { Events, makeSchema, Schema, State } from '@livestore/livestore'
import { withHeadgate } from './headgate.generated.ts'

export const events = { added: Events.synced({ name: 'v1.Added', schema: Schema.Struct({ id: Schema.String }) }) }
export const items = State.SQLite.table({ name: 'items', columns: { id: State.SQLite.text({ primaryKey: true }) } })
const materializers = State.SQLite.materializers(events, { 'v1.Added': ({ id }) => items.insert({ id }) })
export const schema = makeSchema({ events, state: State.SQLite.makeState(withHeadgate({ tables: { items }, materializers })) })
