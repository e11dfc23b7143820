import { makeSchema, State } from '@livestore/livestore'
import { definitions as events } from '../model/events.mjs'
import { materializers } from '../model/materializers.js'
import * as model from '../model/tables.mjs'
import { onUnknownEvent } from './telemetry'

export function createSchema({ strict = false } = {}) {
  return makeSchema({
    events,
    state: State.SQLite.makeState({
      tables: { note: model.note, log: model.log },
      materializers: materializers as never,
      migrations: { strategy: 'auto', hooks: { post: (db) => void db.execute(`INSERT INTO log (text) VALUES ('rebuilt')`) } },
    }),
    unknownEventHandling: strict ? { strategy: 'fail' } : { strategy: 'callback', onUnknownEvent },
  })
}
const schema = createSchema()
export default schema
