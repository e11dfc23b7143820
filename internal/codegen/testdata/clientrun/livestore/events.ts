import { Events, Schema } from '@livestore/livestore'
import { migrationRan } from './headgate.generated.ts'

export const events = {
  noteAdded: Events.synced({ name: 'v1.NoteAdded', schema: Schema.Struct({ id: Schema.String, text: Schema.String }) }),
  /** Has each kind of field that a migration's rows are turned into. */
  noteFilled: Events.synced({
    name: 'v1.NoteFilled',
    schema: Schema.Struct({
      id: Schema.String,
      done: Schema.Boolean,
      kind: Schema.Literal('short', 'long'),
      weight: Schema.Number,
      meta: Schema.Struct({ words: Schema.Array(Schema.String), parent: Schema.NullOr(Schema.String) }),
      at: Schema.Date,
      dueAt: Schema.NullOr(Schema.Date),
      color: Schema.optional(Schema.String),
      size: Schema.optional(Schema.NullOr(Schema.Int)),
      extra: Schema.Unknown,
      level: Schema.optionalWith(Schema.Int, { default: () => 1 }),
    }),
  }),
  tagAdded: Events.synced({ name: 'v1.TagAdded', schema: Schema.Struct({ id: Schema.UUID, name: Schema.String }) }),
  noteArchived: Events.synced({ name: 'v1.NoteArchived', schema: Schema.Struct({ id: Schema.String, archived: Schema.Boolean }) }),
  /** Changes nothing, so that its rows stay due. */
  noteSeen: Events.synced({ name: 'v1.NoteSeen', schema: Schema.Struct({ id: Schema.String, at: Schema.optional(Schema.Date) }) }),
  migrationRan,
}
