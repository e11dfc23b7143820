// A schema of what logs can hold that is hard to replay right, and of the classes of materializers that the
// benchmarks measure. It is copied beside the example app's packages by the tests.
import { Events, makeSchema, Schema, State } from '@livestore/livestore'

const { text, integer, real, boolean, blob, json, datetime } = State.SQLite
const Meta = Schema.Struct({ tags: Schema.Array(Schema.String), note: Schema.NullOr(Schema.String) })

const tables = {
  plain: State.SQLite.table({ name: 'plain', columns: { id: text({ primaryKey: true }), text: text(), list: text({ default: 'inbox' }) } }),
  five: State.SQLite.table({
    name: 'five',
    columns: {
      id: text({ primaryKey: true }),
      title: text(),
      position: real(),
      done: boolean({ default: false }),
      estimate: integer({ nullable: true }),
      meta: json({ schema: Meta }),
    },
    indexes: [{ name: 'five_position', columns: ['position', 'title'] }],
  }),
  dated: State.SQLite.table({
    name: 'dated',
    columns: { id: text({ primaryKey: true }), at: datetime(), due: integer({ nullable: true, schema: Schema.DateFromNumber }) },
    indexes: [{ name: 'dated_due', columns: ['due'] }],
  }),
  counters: State.SQLite.table({ name: 'counters', columns: { id: text({ primaryKey: true }), n: integer(), last: text({ nullable: true }) } }),
  awkward: State.SQLite.table({
    name: 'awkward',
    columns: {
      id: text({ primaryKey: true }),
      whole: integer({ nullable: true }),
      real: real({ nullable: true }),
      text: text({ nullable: true }),
      bytes: blob({ nullable: true }),
      flag: boolean({ default: false }),
      any: json({ nullable: true, schema: Schema.Any }),
    },
  }),
  ui: State.SQLite.clientDocument({
    name: 'ui',
    schema: Schema.Struct({ filter: Schema.String, open: Schema.NullOr(Schema.String) }),
    default: { id: 'main', value: { filter: 'all', open: null } },
  }),
  pairs: State.SQLite.table({ name: 'pairs', columns: { a: text({ primaryKey: true }), b: text({ primaryKey: true }), n: integer({ default: 0 }) } }),
}

const events = {
  plain: Events.synced({ name: 'v1.Plain', schema: Schema.Struct({ id: Schema.String, text: Schema.String }) }),
  plainV2: Events.synced({ name: 'v2.Plain', schema: Schema.Struct({ id: Schema.String, text: Schema.String, list: Schema.optional(Schema.String) }) }),
  five: Events.synced({
    name: 'v1.Five',
    schema: Schema.Struct({
      id: Schema.String, title: Schema.String, position: Schema.Number, done: Schema.Boolean,
      estimate: Schema.optional(Schema.NullOr(Schema.Number)), meta: Meta,
    }),
  }),
  dated: Events.synced({
    name: 'v1.Dated',
    schema: Schema.Struct({ id: Schema.String, at: Schema.Date, due: Schema.optional(Schema.NullOr(Schema.Date)) }),
  }),
  counted: Events.synced({ name: 'v1.Counted', schema: Schema.Struct({ id: Schema.String, by: Schema.Number }) }),
  awkward: Events.synced({
    name: 'v1.Awkward',
    schema: Schema.Struct({
      id: Schema.String,
      whole: Schema.optional(Schema.NullOr(Schema.Number)),
      real: Schema.optional(Schema.NullOr(Schema.Number)),
      text: Schema.optional(Schema.NullOr(Schema.String)),
      flag: Schema.optional(Schema.Boolean),
      any: Schema.optional(Schema.Any),
      bytes: Schema.optional(Schema.Array(Schema.Number)),
    }),
  }),
  changed: Events.synced({ name: 'v1.Changed', schema: Schema.Struct({ id: Schema.String, text: Schema.NullOr(Schema.String), flag: Schema.Boolean }) }),
  copied: Events.synced({ name: 'v1.Copied', schema: Schema.Struct({ from: Schema.String, to: Schema.String }) }),
  // What is decoded is more than what is there: a default, and a date that may be written in other ways.
  filed: Events.synced({
    name: 'v1.Filed',
    schema: Schema.Struct({
      id: Schema.String,
      list: Schema.optionalWith(Schema.String, { default: () => 'inbox' }),
      at: Schema.optional(Schema.Date),
      size: Schema.optional(Schema.NullOr(Schema.Number)),
      done: Schema.optional(Schema.Boolean),
      meta: Schema.optional(Meta),
    }),
  }),
  noted: Events.clientOnly({ name: 'v1.Noted', schema: Schema.Struct({ id: Schema.String, text: Schema.NullOr(Schema.String) }) }),
  uiSet: tables.ui.set,
  removed: Events.synced({ name: 'v1.Removed', schema: Schema.Struct({ id: Schema.String }) }),
  paired: Events.synced({ name: 'v1.Paired', schema: Schema.Struct({ a: Schema.String, b: Schema.String }) }),
  raw: Events.synced({ name: 'v1.Raw', schema: Schema.Struct({ id: Schema.String, text: Schema.String }) }),
  nothing: Events.synced({ name: 'v1.Nothing', schema: Schema.Struct({}) }),
  strict: Events.synced({ name: 'v1.Strict', schema: Schema.Struct({ id: Schema.String }) }),
  throwing: Events.synced({ name: 'v1.Throwing', schema: Schema.Struct({ id: Schema.String, secret: Schema.String }) }),
  quoted: Events.synced({ name: 'v1.Quoted', schema: Schema.Struct({ id: Schema.String }) }),
  badQuery: Events.synced({ name: 'v1.BadQuery', schema: Schema.Struct({ id: Schema.String }) }),
}

export const refuse = (id: string, secret: string): never => {
  throw new TypeError(`no todo ${id} with ${secret}`)
}

const materializers = State.SQLite.materializers(events, {
  'v1.Plain': ({ id, text }) => tables.plain.insert({ id, text }).onConflict('id', 'ignore'),
  'v2.Plain': ({ id, text, list }) => tables.plain.insert({ id, text, list }).onConflict('id', 'update', { text, list: undefined }),
  'v1.Five': ({ id, title, position, done, estimate, meta }) =>
    tables.five.insert({ id, title, position, done, estimate, meta }).onConflict('id', 'replace'),
  'v1.Dated': ({ id, at, due }) => tables.dated.insert({ id, at, due }).onConflict('id', 'replace'),
  'v1.Counted': ({ id, by }, { query }) => {
    const row = query(tables.counters.where({ id }).first({ behaviour: 'undefined' }))
    const n = row === undefined ? 0 : row.n
    return tables.counters.insert({ id, n: n + by, last: row?.last ?? null }).onConflict('id', 'update', { n: n + by })
  },
  'v1.Awkward': ({ id, whole, real, text, flag, any, bytes }) => [
    tables.awkward
      .insert({ id, whole, real, text, flag, any, ...(bytes === undefined ? {} : { bytes: Uint8Array.from(bytes) }) })
      .onConflict('id', 'replace'),
    ...(text == null ? [] : [{ sql: 'INSERT INTO pairs (a, b) VALUES ($id, $text) ON CONFLICT DO UPDATE SET n = n + 1', bindValues: { id, text } }]),
  ],
  'v1.Changed': ({ id, text, flag }) => [
    tables.awkward.update({ text, flag }).where({ id }),
    tables.five.update({ done: flag, ...(text === null ? {} : { title: text }) }).where('id', '!=', id).where({ done: !flag }),
  ],
  // What a client reads back is not always what was written: text ends at a NUL, whole numbers may be large.
  'v1.Copied': ({ from, to }, { query }) => {
    const [row] = query({ query: 'SELECT whole, real, text, bytes, flag FROM awkward WHERE id = $from', bindValues: { from } }) as any[]
    if (row === undefined) return []
    return {
      sql: `INSERT OR REPLACE INTO awkward (id, whole, real, text, bytes, flag) VALUES (?, ?, ?, ?, ?, ?);
            INSERT INTO counters (id, n, last) VALUES (?, 1, ?) ON CONFLICT DO UPDATE SET n = n + 1`,
      bindValues: [to, row.whole, row.real, row.text, row.bytes, row.flag] as any,
    }
  },
  // It reads one table and writes three; the SQL turns numbers into texts.
  'v1.Filed': ({ id, list, at, size, done, meta }, { query }) => {
    const row = query(tables.plain.where({ id }).first({ behaviour: 'undefined' }))
    return [
      tables.plain.insert({ id, text: row?.text ?? 'filed', list }).onConflict('id', 'update', { list }),
      tables.awkward
        .insert({ id: `filed ${id}`, real: size ?? null, text: row?.list ?? null, flag: done ?? false, any: meta ?? null })
        .onConflict('id', 'replace'),
      {
        sql: `INSERT INTO counters (id, n, last) VALUES ($list, 1, 0.1 * 3 || '') ON CONFLICT DO UPDATE SET n = n + 1, last = (n / 7.0) || ' of ' || $list`,
        bindValues: { list },
      },
      ...(at === undefined ? [] : [tables.dated.insert({ id, at, due: null }).onConflict('id', 'replace')]),
    ]
  },
  'v1.Noted': ({ id, text }) => tables.counters.insert({ id, n: 1, last: text }).onConflict('id', 'update', { last: text }),
  'v1.Removed': ({ id }) => [tables.awkward.delete().where({ id }), tables.plain.delete().where({ id })],
  'v1.Paired': ({ a, b }) => tables.pairs.insert({ a, b }).onConflict(['a', 'b'], 'ignore'),
  'v1.Raw': ({ id, text }) => [
    { sql: 'UPDATE plain SET text = text || $text WHERE id = $id', bindValues: { id, text } },
    { sql: `INSERT OR IGNORE INTO plain (id, text) SELECT $id || char(0) || 'x', $text WHERE NOT EXISTS (SELECT 1 FROM plain WHERE id = $id)`, bindValues: { id, text } },
  ],
  'v1.Nothing': () => [],
  'v1.Strict': ({ id }) => ({ sql: "INSERT INTO counters (id, n) VALUES (?, 'secret')", bindValues: [id] }),
  'v1.Throwing': ({ id, secret }) => refuse(id, secret),
  'v1.Quoted': ({ id }) => ({ sql: 'INSERT INTO plain (id, text) VALUES ($id, "x")', bindValues: { id } }),
  'v1.BadQuery': ({ id }, { query }) => (query({ query: 'SELECT x FROM nowhere', bindValues: {} }), tables.plain.insert({ id, text: '' })),
})
// An event that has a definition and no materializer.
delete (materializers as any)['v1.Nothing']

const uncorrected = { withCorrectedEvents: (events: any) => events, withCorrections: (materializers: any, _events: any) => materializers }

export const make = (migrations?: any, unknownEventHandling: any = { strategy: 'ignore' }, more: any = { events: {}, materializers: {} }, corrections: any = uncorrected) =>
  makeSchema({
    events: corrections.withCorrectedEvents({ ...events, ...more.events }),
    state: State.SQLite.makeState({
      tables,
      materializers: corrections.withCorrections({ ...materializers, ...more.materializers }, events) as any,
      ...(migrations && { migrations }),
    }),
    unknownEventHandling,
  })
