import { Events, makeSchema, Schema, State } from '@livestore/livestore'
import { Effect } from 'effect'
import { withHeadgate } from './headgate.generated.ts'
import type { Variant } from './variant.ts'

type Migrations = NonNullable<Parameters<typeof State.SQLite.makeState>[0]['migrations']>
type Hooks = Required<NonNullable<Extract<Migrations, { strategy: 'auto' }>['hooks']>>
type Db = Parameters<Hooks['init']>[0]

/** What a proof watches from outside: called before each event is materialized, by the leader and by the session. */
export type Watch = { onEvent: (count: number) => void; onHook: (line: string) => void }

export const makeTables = (variant: Variant) => ({
  items: State.SQLite.table({
    name: 'items',
    columns: {
      id: State.SQLite.text({ primaryKey: true }),
      n: State.SQLite.integer({ default: 0 }),
      pad: State.SQLite.text({ default: '' }),
      ...(variant.column === true ? { extra: State.SQLite.integer({ default: 7 }) } : {}),
    },
  }),
  ui: State.SQLite.table({ name: 'ui', columns: { id: State.SQLite.text({ primaryKey: true }) } }),
})

const fields = Schema.Struct({ id: Schema.String, n: Schema.Number })
export const v1 = {
  itemAdded: Events.synced({ name: 'v1.ItemAdded', schema: fields }),
  uiSet: Events.clientOnly({ name: 'v1.UiSet', schema: Schema.Struct({ id: Schema.String }) }),
}
export const v2 = { ...v1, itemAdded2: Events.synced({ name: 'v2.ItemAdded', schema: fields }) }

const makeHooks = (variant: Variant, watch: Watch): Partial<Hooks> | undefined => {
  const rows = (db: Db) =>
    db.select<{ n: number }>("SELECT count(*) AS n FROM sqlite_master WHERE name = 'items'")[0]?.n
  const record = (name: string) => (db: Db) => watch.onHook(`${name} tables=${rows(db)}`)
  const all = { init: record('init'), pre: record('pre'), post: record('post') }
  switch (variant.hooks) {
    case 'record':
      return all
    case 'promise':
      return { ...all, post: async (db) => all.post(db) }
    case 'effect':
      return { ...all, post: (db) => Effect.sync(() => all.post(db)) }
    case 'throw-init':
      return { ...all, init: () => { throw new Error('the init hook of the app') } }
    case 'throw-post':
      return { ...all, post: () => { throw new Error('the post hook of the app') } }
    case 'begin':
      return { ...all, init: (db) => db.execute('BEGIN IMMEDIATE') }
    case 'foreign-keys':
      return { ...all, init: (db) => db.execute('PRAGMA foreign_keys = OFF') }
    default:
      return undefined
  }
}

export const makeAppSchema = (variant: Variant, watch: Watch) => {
  const tables = makeTables(variant)
  const { items, ui } = tables
  let count = 0
  const add = ({ id, n }: { readonly id: string; readonly n: number }) => {
    count++
    watch.onEvent(count)
    if (count === variant.throwAt) throw new Error('the materializer of the app')
    return items.insert({ id, n: variant.bug === true ? n * 10 : n, pad: 'x'.repeat(variant.pad ?? 0) })
  }
  const materializersV1 = State.SQLite.materializers(v1, {
    'v1.ItemAdded': add,
    'v1.UiSet': ({ id }) => ui.insert({ id }).onConflict('id', 'replace'),
  })
  const materializers =
    variant.v2 === true
      ? State.SQLite.materializers(v2, { ...materializersV1, 'v2.ItemAdded': add })
      : materializersV1
  const hooks = makeHooks(variant, watch)
  const auto = { strategy: 'auto', ...(hooks === undefined ? {} : { hooks }) } as const
  const manual = { strategy: 'manual', migrate: (old: Uint8Array<ArrayBuffer>) => old } as const
  const input = { tables, materializers, migrations: variant.manual === true ? (manual as unknown as typeof auto) : auto }
  return makeSchema({
    events: (variant.v2 === true ? v2 : v1) as typeof v2, // the proofs commit v2 only as a v2 release
    state: State.SQLite.makeState(variant.bare === true ? input : withHeadgate(input)),
    unknownEventHandling: { strategy: 'ignore' },
  })
}
