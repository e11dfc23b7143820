// What the compiler has to hold about the part of headgate.generated.ts that resets a store.
import { makePersistedAdapter, makeSingleTabAdapter } from '@livestore/adapter-web'
import { makeAdapter } from '@livestore/adapter-node'
import { createStorePromise } from '@livestore/livestore'
import { type HeadgateExport, headgateWebAdapterOptions, recommitExported, withReset, withStartupCheck } from './headgate.generated.ts'
import { schema } from './schema.ts'

const worker = () => null as never
const opfs = { type: 'opfs' } as const
const flag = { storeId: 's', generation: 1 }
const saved: HeadgateExport[] = []
export const web = withReset((reset) => makePersistedAdapter({ ...headgateWebAdapterOptions, ...reset, storage: opfs, worker, sharedWorker: worker }), {
  storage: opfs, flag,
  onExport: (exported) => void saved.push(exported),
  report: ({ outcome }) => outcome satisfies 'reset' | 'waiting' | 'refused',
})
export const single = withReset((reset) => makeSingleTabAdapter({ ...reset, storage: opfs, worker }), { storage: opfs, flag: undefined })
const fs = { type: 'fs', baseDirectory: 'data' } as const
export const node = withReset((reset) => makeAdapter({ ...reset, storage: fs }), { storage: fs, flag, whenOffline: 'export' })
export const other = withReset((reset) => makeAdapter({ ...reset, storage: fs }), {
  storage: { type: 'other' }, flag, marks: { read: () => null, write: async () => undefined },
})
export const recommitted = createStorePromise({ schema, storeId: 's', adapter: withStartupCheck(web, opfs) })
  .then((store) => recommitExported(store, saved[0]!))
  .then(({ left }) => left.map(({ name, why }) => `${name}: ${why}`))
// @ts-expect-error a flag without its store
withReset(() => node, { storage: fs, flag: { generation: 1 } })
