import { Events, makeSchema, Schema, State } from '@livestore/livestore'
import { Address, snippet } from '@mail/shared'
import { MessageId } from '@mail/shared/ids'
import { stripHtml } from '@/lib/html'

export const tables = {
  messages: State.SQLite.table({
    name: 'messages',
    columns: {
      id: State.SQLite.text({ primaryKey: true }),
      from: State.SQLite.text(),
      to: State.SQLite.json({ schema: Schema.Array(Address) }),
      snippet: State.SQLite.text({ default: '' }),
      body: State.SQLite.blob({ nullable: true }),
      headers: State.SQLite.json({ schema: Schema.Record({ key: Schema.String, value: Schema.Array(Schema.String) }), nullable: true }),
      receivedAt: State.SQLite.datetime(),
    },
  }),
}

export const events = {
  messageReceived: Events.synced({
    name: 'v1.MessageReceived',
    schema: Schema.Struct({
      id: MessageId,
      from: Address,
      to: Schema.Array(Address),
      html: Schema.String,
      raw: Schema.Uint8ArrayFromBase64,
      headers: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Array(Schema.String) })),
      receivedAt: Schema.Date,
    }),
  }),
  messageDropped: Events.synced({ name: 'v1.MessageDropped', schema: Schema.Struct({ id: MessageId }), deprecated: 'threads are archived, not emptied' }),
}

const materializers = State.SQLite.materializers(events, {
  'v1.MessageReceived': ({ id, from, to, html, raw, headers, receivedAt }) =>
    tables.messages.insert({ id, from: String(from), to, snippet: snippet(stripHtml(html)), body: raw, headers: headers ?? null, receivedAt }),
  'v1.MessageDropped': ({ id }) => ({ sql: 'DELETE FROM messages WHERE id = ?', bindValues: [id] }),
})

export const threadSchema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })
