import { makeSchema, State } from '@livestore/livestore'
import { events } from './events.ts'
import { recordMigration, withHeadgate } from './headgate.generated.ts'
import { tables } from './tables.ts'

export * from './headgate.generated.ts'

const { notes, tags } = tables
const materializers = State.SQLite.materializers(events, {
  'v1.NoteAdded': ({ id, text }) => notes.insert({ id, text }).onConflict('id', 'ignore'),
  'v1.NoteFilled': ({ id, done, at, ...filled }) => notes.update({ done, at, filled }).where({ id }),
  'v1.TagAdded': ({ id, name }) => tags.insert({ id, name }).onConflict('id', 'ignore'),
  'v1.NoteArchived': ({ id, archived }) => notes.update({ archived }).where({ id }),
  'v1.NoteSeen': () => [],
  'v1.MigrationRan': recordMigration,
})

export const schema = makeSchema({ events, state: State.SQLite.makeState(withHeadgate({ tables, materializers })) })
