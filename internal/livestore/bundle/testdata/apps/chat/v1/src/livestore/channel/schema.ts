import { defineMaterializer, makeSchema, sql, State } from '@livestore/livestore'
import { emojiOnly, mentionsOf } from '../lib/text.ts'
import * as events from './events.ts'
import * as tables from './tables.ts'

const onReadMarker = defineMaterializer(events.readMarkerMoved, ({ by, message }, ctx) => {
  const [target] = ctx.query(tables.messages.select('createdAt').where({ id: message }).limit(1))
  const unread = target === undefined ? 0 : ctx.query(tables.messages.where({ createdAt: { op: '>', value: target }, deleted: false }).count())
  return tables.readMarkers.insert({ user: by, message, unread }).onConflict('user', 'replace')
})

export const materializers = {
  [events.messageCreated.name]: defineMaterializer(events.messageCreated, ({ id, by, at, text, attachments, replyTo }) =>
    tables.messages.insert({
      id, author: by, body: text, attachments, replyTo, createdAt: at,
      mentions: mentionsOf(text),
      meta: emojiOnly(text) ? { big: true } : null,
    }),
  ),
  [events.messageEdited.name]: defineMaterializer(events.messageEdited, ({ id, text, at }) =>
    tables.messages.update({ body: text, mentions: mentionsOf(text), editedAt: at }).where({ id }),
  ),
  [events.messageDeleted.name]: defineMaterializer(events.messageDeleted, ({ id }) => [
    tables.messages.update({ deleted: true, body: '' }).where({ id }),
    { sql: sql`DELETE FROM reactions WHERE message = $id`, bindValues: { id }, writeTables: new Set(['reactions']) },
  ]),
  [events.reactionAdded.name]: defineMaterializer(events.reactionAdded, ({ id, message, emoji, by }, { query }) => {
    const gone = query({ query: 'SELECT deleted FROM messages WHERE id = $message', bindValues: { message } as any }) as unknown as { deleted: number }[]
    if (gone[0]?.deleted === 1) return []
    return tables.reactions.insert({ id, message, emoji, by }).onConflict(['message', 'emoji', 'by'], 'ignore')
  }),
  [events.reactionRemoved.name]: defineMaterializer(events.reactionRemoved, ({ message, emoji, by }) =>
    tables.reactions.delete().where({ message, emoji, by }),
  ),
  [events.readMarkerMoved.name]: onReadMarker,
  [events.draftChanged.name]: defineMaterializer(events.draftChanged, ({ channel, text }) =>
    text === '' ? tables.drafts.delete().where({ channel }) : tables.drafts.insert({ channel, text }).onConflict('channel', 'replace'),
  ),
}

export const channelSchema = makeSchema({
  events,
  state: State.SQLite.makeState({ tables, materializers }),
  unknownEventHandling: { strategy: 'ignore' },
})
