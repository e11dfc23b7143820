import { Events, Schema } from '@livestore/livestore'
import { Details } from './details.ts'
import { tables } from './tables.ts'

export const events = {
  todoCreated: Events.synced({
    name: 'v1.TodoCreated',
    schema: Schema.Struct({
      id: Schema.String,
      text: Schema.String,
      createdAt: Schema.Date,
      list: Schema.optional(Schema.String),
      position: Schema.optional(Schema.Finite),
      estimate: Schema.optional(Schema.NullOr(Schema.Int)),
      dueAt: Schema.optional(Schema.NullOr(Schema.Date)),
      details: Schema.optional(Details),
    }),
  }),
  todoCreatedV2: Events.synced({
    name: 'v2.TodoCreated',
    schema: Schema.Struct({
      id: Schema.String,
      text: Schema.String,
      createdAt: Schema.Date,
      priority: Schema.Literal('low', 'normal', 'high'),
      list: Schema.optional(Schema.String),
      position: Schema.optional(Schema.Finite),
      estimate: Schema.optional(Schema.NullOr(Schema.Int)),
      dueAt: Schema.optional(Schema.NullOr(Schema.Date)),
      details: Schema.optional(Details),
    }),
  }),
  todoRenamed: Events.synced({
    name: 'v1.TodoRenamed',
    schema: Schema.Struct({ id: Schema.String, text: Schema.String }),
  }),
  todoCompleted: Events.synced({
    name: 'v1.TodoCompleted',
    schema: Schema.Struct({ id: Schema.String }),
  }),
  todoReopened: Events.synced({
    name: 'v1.TodoReopened',
    schema: Schema.Struct({ id: Schema.String }),
  }),
  todoMoved: Events.synced({
    name: 'v1.TodoMoved',
    schema: Schema.Struct({ id: Schema.String, list: Schema.String, position: Schema.Finite }),
  }),
  todoScheduled: Events.synced({
    name: 'v1.TodoScheduled',
    schema: Schema.Struct({ id: Schema.String, dueAt: Schema.NullOr(Schema.Date) }),
  }),
  todoArchived: Events.synced({
    name: 'v1.TodoArchived',
    schema: Schema.Struct({ id: Schema.String }),
  }),
  todoDeleted: Events.synced({
    name: 'v1.TodoDeleted',
    schema: Schema.Struct({ id: Schema.String, deletedAt: Schema.Date }),
  }),
  listCleared: Events.synced({
    name: 'v1.ListCleared',
    schema: Schema.Struct({ list: Schema.String, deletedAt: Schema.Date }),
  }),
  tagCreated: Events.synced({
    name: 'v1.TagCreated',
    schema: Schema.Struct({
      id: Schema.String,
      name: Schema.String,
      color: Schema.optional(Schema.NullOr(Schema.String)),
    }),
  }),
  todoTagged: Events.synced({
    name: 'v1.TodoTagged',
    schema: Schema.Struct({ todoId: Schema.String, tagId: Schema.String }),
  }),
  todoUntagged: Events.synced({
    name: 'v1.TodoUntagged',
    schema: Schema.Struct({ todoId: Schema.String, tagId: Schema.String }),
  }),
  draftSaved: Events.clientOnly({
    name: 'v1.DraftSaved',
    schema: Schema.Struct({ id: Schema.String, text: Schema.String }),
  }),
  uiSet: tables.ui.set,
}
