import { Events, makeSchema, Schema, SessionIdSymbol, State } from '@livestore/livestore'
import { Address, Flags, Label, ThreadId } from '@mail/shared'

const threads = State.SQLite.table({
  name: 'threads',
  columns: {
    id: State.SQLite.text({ primaryKey: true, schema: ThreadId }),
    subject: State.SQLite.text({ default: '(no subject)' }),
    from: State.SQLite.json({ schema: Address }),
    domain: State.SQLite.text({ default: '' }),
    labels: State.SQLite.json({ schema: Schema.Array(Schema.Enums(Label)), default: [] }),
    flags: State.SQLite.integer({ default: 0 }),
    unread: State.SQLite.boolean({ default: true }),
    lastAt: State.SQLite.integer({ schema: Schema.DateFromNumber }),
    size: State.SQLite.real({ nullable: true }),
  },
  indexes: [{ name: 'threads_last', columns: ['lastAt'] }],
})

const threadLabels = State.SQLite.table({
  name: 'threadLabels',
  columns: { threadId: State.SQLite.text({ primaryKey: true }), label: State.SQLite.text({ primaryKey: true }) },
})

const ui = State.SQLite.clientDocument({
  name: 'mailboxUi',
  schema: Schema.Struct({ label: Schema.Enums(Label), search: Schema.optional(Schema.String), width: Schema.Number }),
  default: { id: SessionIdSymbol, value: { label: Label.Inbox, width: 320 } },
})

export const tables = { threads, threadLabels, ui }

export const events = {
  threadIndexed: Events.synced({
    name: 'v1.ThreadIndexed',
    schema: Schema.Struct({ threadId: ThreadId, subject: Schema.NullOr(Schema.String), from: Address, lastAt: Schema.Date, size: Schema.optional(Schema.Number) }),
  }),
  threadLabelled: Events.synced({ name: 'v1.ThreadLabelled', schema: Schema.Struct({ threadId: ThreadId, label: Schema.Enums(Label) }) }),
  threadFlagged: Events.synced({ name: 'v1.ThreadFlagged', schema: Schema.Struct({ threadId: ThreadId, flag: Schema.Literal(1, 2, 4) }) }),
  uiSet: ui.set,
}

const materializers = State.SQLite.materializers(events, {
  'v1.ThreadIndexed': ({ threadId, subject, from, lastAt, size }) =>
    threads
      .insert({ id: threadId, ...(subject === null ? {} : { subject }), from, domain: from.domain, lastAt, size: size ?? null })
      .onConflict('id', 'update', { lastAt, unread: true }),
  'v1.ThreadLabelled': ({ threadId, label }, { query }) => {
    const row = query(threads.where({ id: threadId }).first({ fallback: () => undefined }))
    return [
      threadLabels.insert({ threadId, label }).onConflict(['threadId', 'label'], 'ignore'),
      threads.update({ labels: [...new Set([...(row?.labels ?? []), label])].sort() }).where({ id: threadId }),
    ]
  },
  'v1.ThreadFlagged': ({ threadId, flag }, { query }) => {
    const { flags } = query(threads.select('flags').where('id', '=', threadId).first({ fallback: () => 0 as never })) as unknown as { flags: number } ?? { flags: 0 }
    return threads.update({ flags: (flags ?? 0) | flag, unread: !Flags.has(flag, Flags.Seen) }).where('id', '=', threadId)
  },
})

export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }), devtools: { alias: 'mailbox' } })
