import { Schema, State } from '@livestore/livestore'
import { Change, Priority, Status, StatusSchema } from './types'

const { withPrimaryKey, withDefault, withUnique, withColumnType } = State.SQLite

export const issue = State.SQLite.table({
  name: 'issue',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    title: State.SQLite.text({ default: '' }),
    creator: State.SQLite.text({ default: '' }),
    priority: State.SQLite.integer({ schema: Priority, default: 0 }),
    status: State.SQLite.text({ schema: StatusSchema, default: Status.Todo }),
    kanbanorder: State.SQLite.text({ nullable: false, default: '' }),
    estimate: State.SQLite.real({ nullable: true }),
    created: State.SQLite.integer({ schema: Schema.DateFromNumber }),
    modified: State.SQLite.integer({ schema: Schema.DateFromNumber }),
    deleted: State.SQLite.integer({ nullable: true, schema: Schema.DateFromNumber }),
  },
  indexes: [
    { name: 'issue_kanbanorder', columns: ['kanbanorder'] },
    { name: 'issue_status_order', columns: ['status', 'kanbanorder'] },
  ],
})

export const activity = State.SQLite.table({
  name: 'activity',
  schema: Schema.Struct({
    key: Schema.String.pipe(withPrimaryKey),
    issueId: Schema.String,
    change: Change,
    at: Schema.DateFromNumber,
    note: Schema.optional(Schema.String),
  }),
})

export const label = State.SQLite.table({
  schema: Schema.Struct({
    id: Schema.String.pipe(withPrimaryKey),
    name: Schema.String.pipe(withUnique),
    color: Schema.String.pipe(withDefault('#888888')),
    archived: Schema.Boolean.pipe(withDefault(false)),
    weight: Schema.Number.pipe(withColumnType('real'), withDefault(0.5)),
  }).annotations({ title: 'label' }),
})

export const comment = State.SQLite.table({
  name: 'comment',
  schema: Schema.Struct({
    id: Schema.String.pipe(withPrimaryKey),
    issueId: Schema.String,
    body: Schema.String,
    createdAt: Schema.Date,
    editedAt: Schema.NullOr(Schema.Date),
  }).annotations({ identifier: 'comment' }),
  indexes: [{ name: 'comment_issue', columns: ['issueId'] }],
})

export const filterState = State.SQLite.clientDocument({
  name: 'filter_state',
  schema: Schema.Struct({
    orderBy: Schema.Literal('priority', 'status', 'created', 'modified'),
    orderDirection: Schema.Literal('asc', 'desc'),
    status: Schema.optional(Schema.Array(StatusSchema)),
    priority: Schema.optional(Schema.Array(Priority)),
    query: Schema.optional(Schema.String),
  }),
  default: { value: { orderBy: 'created', orderDirection: 'desc' }, id: 'default' },
})

export const scrollState = State.SQLite.clientDocument({
  name: 'scroll_state',
  schema: Schema.Struct({ list: Schema.optional(Schema.Number), board: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Number })) }),
  default: { value: {} },
})

export const frontend = State.SQLite.clientDocument({
  name: 'frontend',
  schema: Schema.Struct({ theme: Schema.Union(Schema.Literal('light', 'dark', 'system')), user: Schema.NullOr(Schema.String) }),
  default: { id: 'default', value: { theme: 'system', user: null } },
  partialSet: false,
})
