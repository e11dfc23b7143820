import { Schema, State } from '@livestore/livestore'
import { Attachments } from './attachments.ts'

const { text, integer, json, datetime, boolean } = State.SQLite

export const messages = State.SQLite.table({
  name: 'messages',
  columns: {
    id: text({ primaryKey: true }),
    author: text(),
    body: text({ default: '' }),
    attachments: json({ schema: Attachments, default: [] }),
    mentions: json({ schema: Schema.Array(Schema.String), default: [] }),
    replyTo: text({ nullable: true }),
    threadRoot: text({ nullable: true }),
    createdAt: datetime(),
    editedAt: integer({ nullable: true, schema: Schema.DateFromNumber }),
    deleted: boolean({ default: false }),
    meta: json({ nullable: true }),
  },
  indexes: [
    { name: 'messages_created', columns: ['createdAt'] },
    { name: 'messages_author_created', columns: ['author', 'createdAt'] },
  ],
})

export const reactions = State.SQLite.table({
  name: 'reactions',
  columns: {
    id: text({ primaryKey: true }),
    message: text(),
    emoji: text(),
    by: text(),
  },
  indexes: [{ name: 'reactions_once', columns: ['message', 'emoji', 'by'], isUnique: true }],
})

export const readMarkers = State.SQLite.table({
  name: 'read_markers',
  columns: { user: text({ primaryKey: true }), message: text(), unread: integer({ default: 0 }) },
})

export const drafts = State.SQLite.table({ name: 'drafts', columns: { channel: text({ primaryKey: true }), text: text({ default: '' }) } })
