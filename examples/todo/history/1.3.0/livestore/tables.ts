import { Schema, SessionIdSymbol, State } from '@livestore/livestore'
import { Details } from './details.ts'

const todos = State.SQLite.table({
  name: 'todos',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    text: State.SQLite.text({ default: '' }),
    completed: State.SQLite.boolean({ default: false }),
    list: State.SQLite.text({ default: 'inbox' }),
    position: State.SQLite.real({ default: 0 }),
    priority: State.SQLite.text({ default: 'normal' }),
    estimate: State.SQLite.integer({ nullable: true }),
    details: State.SQLite.json({ schema: Details, default: { links: [] } }),
    createdAt: State.SQLite.datetime(),
    dueAt: State.SQLite.integer({ nullable: true, schema: Schema.DateFromNumber }),
    deletedAt: State.SQLite.integer({ nullable: true, schema: Schema.DateFromNumber }),
  },
  indexes: [
    { name: 'idx_todos_list', columns: ['list', 'position'] },
    { name: 'idx_todos_due', columns: ['dueAt'] },
  ],
})

const tags = State.SQLite.table({
  name: 'tags',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    name: State.SQLite.text(),
    color: State.SQLite.text({ nullable: true }),
  },
})

const todoTags = State.SQLite.table({
  name: 'todo_tags',
  columns: {
    todoId: State.SQLite.text({ primaryKey: true }),
    tagId: State.SQLite.text({ primaryKey: true }),
  },
})

/** How much happened in each list. */
const activity = State.SQLite.table({
  name: 'activity',
  columns: {
    list: State.SQLite.text({ primaryKey: true }),
    created: State.SQLite.integer({ default: 0 }),
    completed: State.SQLite.integer({ default: 0 }),
  },
})

/** What is being typed; it never leaves the client. */
const drafts = State.SQLite.table({
  name: 'drafts',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    text: State.SQLite.text({ default: '' }),
  },
})

const ui = State.SQLite.clientDocument({
  name: 'ui',
  schema: Schema.Struct({
    list: Schema.String,
    selected: Schema.NullOr(Schema.String),
    showCompleted: Schema.Boolean,
  }),
  default: { id: SessionIdSymbol, value: { list: 'inbox', selected: null, showCompleted: false } },
})

export const tables = { todos, tags, todoTags, activity, drafts, ui }
