// The new release; compare-old.ts is the old one. What differs is in each event's name.
import { Events, makeSchema, Schema, State } from '@livestore/livestore'

const rows = State.SQLite.table({
  name: 'rows',
  columns: { id: State.SQLite.text({ primaryKey: true }), text: State.SQLite.text({ default: '' }), n: State.SQLite.real({ default: 0 }) },
})
const Args = Schema.Struct({ id: Schema.String, text: Schema.String })
const events = {
  same: Events.synced({ name: 'v1.Same', schema: Args }),
  additive: Events.synced({ name: 'v1.Additive', schema: Schema.Struct({ id: Schema.String, text: Schema.String, n: Schema.optional(Schema.Number) }) }),
  titled: Events.synced({ name: 'v1.Titled', schema: Args.annotations({ title: 'A title' }) }),
  rewritten: Events.synced({ name: 'v1.Rewritten', schema: Args }),
  refactored: Events.synced({ name: 'v1.Refactored', schema: Args }),
  word: Events.synced({ name: 'v1.Word', schema: Args }),
  threshold: Events.synced({ name: 'v1.Threshold', schema: Schema.Struct({ id: Schema.String, n: Schema.Int }) }),
  throws: Events.synced({ name: 'v1.Throws', schema: Schema.Struct({ id: Schema.String, text: Schema.NullOr(Schema.String) }) }),
  renamed: Events.synced({ name: 'v1.Renamed', schema: Args }),
  stricter: Events.synced({ name: 'v1.Stricter', schema: Schema.Struct({ id: Schema.String, text: Schema.NonEmptyString }) }),
  defaulted: Events.synced({ name: 'v1.Defaulted', schema: Schema.Struct({ id: Schema.String, text: Schema.optionalWith(Schema.String, { default: () => 'b' }) }) }),
  hidden: Events.synced({ name: 'v1.Hidden', schema: Args }),
  numbered: Events.synced({ name: 'v1.Numbered', schema: Args }),
  fixed: Events.synced({ name: 'v1.Fixed', schema: Schema.Struct({ id: Schema.String, text: Schema.NullOr(Schema.String) }) }),
}
const put = ({ id, text }: { id: string; text: string }) => rows.insert({ id, text }).onConflict('id', 'replace')
const materializers = State.SQLite.materializers(events, {
  'v1.Same': put,
  'v1.Additive': ({ id, text, n }) => rows.insert({ id, text, n }).onConflict('id', 'replace'),
  'v1.Titled': ({ id, text }) => rows.insert({ id, text }).onConflict('id', 'replace'),
  'v1.Rewritten': ({ id, text }) => ({ sql: 'REPLACE INTO rows (id, text) VALUES (?, ?)', bindValues: [id, text] as any }),
  'v1.Refactored': (args) => put(args),
  'v1.Word': ({ id, text }) => rows.insert({ id, text: text === 'urgent' ? '!' : text }).onConflict('id', 'replace'),
  'v1.Threshold': ({ id, n }) => rows.insert({ id, n: Math.min(n, 2500) + 1 - 1 }).onConflict('id', 'replace'),
  'v1.Throws': ({ id, text }) => rows.insert({ id, text: text!.valueOf() }).onConflict('id', 'replace'),
  'v1.Renamed': ({ id, text }) => rows.update({ text: text.toUpperCase() }).where({ id }),
  'v1.Stricter': ({ id, text }) => rows.insert({ id, text }).onConflict('id', 'replace'),
  'v1.Defaulted': ({ id, text }) => rows.insert({ id, text }).onConflict('id', 'replace'),
  'v1.Hidden': ({ id, text }) => rows.update({ text: text.startsWith(['xy', 'zzy'].join('')) ? '' : text }).where({ id }),
  'v1.Numbered': ({ id, text }, { event }) => rows.insert({ id, text, n: event.seqNum.global }).onConflict('id', 'replace'),
  'v1.Fixed': ({ id, text }) => rows.insert({ id, text: (text ?? '').trim() }).onConflict('id', 'replace'),
})

export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables: { rows }, materializers }) })
