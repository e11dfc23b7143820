import { makeSchema, State } from '@livestore/livestore'
import * as eventsDefs from './events'
import { materializers } from './materializers'
import * as tables from './tables'

export * as events from './events'
export * as tables from './tables'

export const state = State.SQLite.makeState({ tables, materializers })
export const schema = makeSchema({
  events: { ...eventsDefs, filterSet: tables.filterState.set, scrollSet: tables.scrollState.set, frontendSet: tables.frontend.set },
  state,
  devtools: { alias: 'linearish' },
})
