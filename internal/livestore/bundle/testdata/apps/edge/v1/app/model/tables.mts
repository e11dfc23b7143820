import { Schema, State } from '@livestore/livestore'
import type { definitions } from './events.mjs'
import { Wire } from './events.mjs'
export type Names = keyof typeof definitions

export const tableNames = () => ['note', 'log'] as const

export const note = State.SQLite.table({
  name: 'note',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    kind: State.SQLite.text({ nullable: true }),
    n: State.SQLite.text({ nullable: true }),
    at: State.SQLite.text({ default: { sql: "'never'" } }),
    made: State.SQLite.integer({ default: 0, schema: Schema.Number }),
  },
})
export const log = State.SQLite.table({ name: 'log', columns: { n: State.SQLite.integer({ primaryKey: true, autoIncrement: true }), text: State.SQLite.text({ default: 'none' }) } })
export const idSchema = () => Wire.Id
