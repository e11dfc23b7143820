import { Schema, State } from '@livestore/livestore'
import { migrationsTable } from './headgate.generated.ts'

const notes = State.SQLite.table({
  name: 'notes',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    text: State.SQLite.text(),
    done: State.SQLite.boolean({ nullable: true }),
    archived: State.SQLite.boolean({ default: false }),
    filled: State.SQLite.json({ nullable: true, schema: Schema.Unknown }),
    at: State.SQLite.integer({ nullable: true, schema: Schema.DateFromNumber }),
  },
})

const tags = State.SQLite.table({
  name: 'tags',
  columns: { id: State.SQLite.text({ primaryKey: true }), name: State.SQLite.text() },
})

export const tables = { notes, tags, migrationsTable }
