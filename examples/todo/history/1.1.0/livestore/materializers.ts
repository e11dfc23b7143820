import { State } from '@livestore/livestore'
import { events } from './events.ts'
import { tables } from './tables.ts'
import { tidyTitle } from './titles.ts'

const { todos, tags, todoTags, activity, drafts } = tables

export const materializers = State.SQLite.materializers(events, {
  'v1.TodoCreated': ({ id, text, createdAt, list = 'inbox', position, estimate, dueAt, details }) => [
    todos
      .insert({ id, text, createdAt, list, position, estimate, dueAt, details })
      .onConflict('id', 'ignore'),
    {
      sql: `INSERT INTO activity (list, created) VALUES (?, 1)
            ON CONFLICT (list) DO UPDATE SET created = created + 1`,
      bindValues: [list],
      writeTables: new Set(['activity']),
    },
  ],
  'v2.TodoCreated': ({
    id,
    text,
    createdAt,
    priority,
    list = 'inbox',
    position,
    estimate,
    dueAt,
    details,
  }) => [
    todos
      .insert({ id, text: tidyTitle(text), createdAt, priority, list, position, estimate, dueAt, details })
      .onConflict('id', 'ignore'),
    {
      sql: `INSERT INTO activity (list, created) VALUES (?, 1)
            ON CONFLICT (list) DO UPDATE SET created = created + 1`,
      bindValues: [list],
      writeTables: new Set(['activity']),
    },
  ],
  'v1.TodoRenamed': ({ id, text }) => todos.update({ text }).where({ id }),
  'v1.TodoCompleted': ({ id }, { query }) => {
    const todo = query(todos.select('list', 'completed').where({ id }).first())
    if (todo === undefined || todo.completed) return []
    const seen = query(activity.select('completed').where({ list: todo.list }).first()) ?? 0
    return [
      todos.update({ completed: true }).where({ id }),
      activity
        .insert({ list: todo.list, completed: 1 })
        .onConflict('list', 'update', { completed: seen + 1 }),
    ]
  },
  'v1.TodoReopened': ({ id }) => todos.update({ completed: false }).where({ id }),
  'v1.TodoMoved': ({ id, list, position }) => todos.update({ list, position }).where({ id }),
  'v1.TodoScheduled': ({ id, dueAt }) => todos.update({ dueAt }).where({ id }),
  'v1.TodoDeleted': ({ id, deletedAt }) => todos.update({ deletedAt }).where({ id }),
  'v1.ListCleared': ({ list, deletedAt }) => ({
    sql: 'UPDATE todos SET deletedAt = $deletedAt WHERE list = $list AND deletedAt IS NULL',
    bindValues: { list, deletedAt: deletedAt.getTime() },
    writeTables: new Set(['todos']),
  }),
  'v1.TagCreated': ({ id, name, color }) =>
    tags.insert({ id, name, color: color ?? null }).onConflict('id', 'replace'),
  'v1.TodoTagged': ({ todoId, tagId }) =>
    todoTags.insert({ todoId, tagId }).onConflict(['todoId', 'tagId'], 'ignore'),
  'v1.TodoUntagged': ({ todoId, tagId }) => todoTags.delete().where({ todoId, tagId }),
  'v1.DraftSaved': ({ id, text }) => drafts.insert({ id, text }).onConflict('id', 'replace'),
})
