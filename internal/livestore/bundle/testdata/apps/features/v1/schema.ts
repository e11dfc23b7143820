import { Events, makeSchema, Schema, State } from '@livestore/livestore'
import { features } from './features'

const results = State.SQLite.table({ name: 'results', columns: { feature: State.SQLite.text({ primaryKey: true }), value: State.SQLite.text() } })
const events = { ran: Events.synced({ name: 'v1.Ran', schema: Schema.Struct({}) }) }
const valueOf = (f: () => unknown) => {
  try {
    return String(f())
  } catch (e) {
    return `throws ${(e as Error).name}`
  }
}
const materializers = State.SQLite.materializers(events, {
  'v1.Ran': () => Object.entries(features).map(([feature, f]) => results.insert({ feature, value: valueOf(f) })),
})
export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables: { results }, materializers }) })
