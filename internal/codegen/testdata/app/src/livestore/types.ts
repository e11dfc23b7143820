// What the compiler has to hold about headgate.generated.ts.
import { makePersistedAdapter } from '@livestore/adapter-web'
import { State } from '@livestore/livestore'
import { headgateWebAdapterOptions, withHeadgate, withStartupCheck } from './headgate.generated.ts'
import { makeTables, v1 } from './schema.ts'

const tables = makeTables({})
const materializers = State.SQLite.materializers(v1, { 'v1.ItemAdded': () => [], 'v1.UiSet': () => [] })
const manual = { strategy: 'manual', migrate: (old: Uint8Array<ArrayBuffer>) => old } as const

const input = withHeadgate({ tables, materializers })
export const keepsTheTable: typeof tables.items = input.tables.items
export const takesARecord = State.SQLite.makeState(input)
export const takesAList = State.SQLite.makeState(withHeadgate({ tables: Object.values(tables), materializers }))
export const typesTheHooks = withHeadgate({
  tables,
  materializers,
  migrations: { strategy: 'auto', hooks: { init: (db) => db.execute('SELECT 1') } },
})
// @ts-expect-error a state that LiveStore never rebuilds
withHeadgate({ tables, materializers, migrations: manual })

const storage = { type: 'opfs' } as const
const worker = () => null as never
export const adapter = withStartupCheck(
  makePersistedAdapter({ ...headgateWebAdapterOptions, storage, worker, sharedWorker: worker }),
  storage,
  ({ outcome }) => outcome satisfies 'rebuilt' | 'left',
)
// @ts-expect-error no such storage
withStartupCheck(adapter, { type: 'indexeddb' })
