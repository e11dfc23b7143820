// The page: window.helper is what drive.mjs calls.
import { makePersistedAdapter } from '@livestore/adapter-web'
import SharedWorker from '@livestore/adapter-web/shared-worker?sharedworker'
import { createStorePromise } from '@livestore/livestore'
import { headgateWebAdapterOptions, identityOf, withStartupCheck } from './headgate.generated.ts'
import { events, items, schema } from './schema.ts'
import LeaderWorker from './worker.ts?worker'

const identity = identityOf('s')
const { clientId, sessionId } = identity
const storage = { type: 'opfs' } as const
const adapter = makePersistedAdapter({ ...headgateWebAdapterOptions, clientId, sessionId, storage, worker: LeaderWorker, sharedWorker: SharedWorker })
const store = createStorePromise({ schema, storeId: 's', disableDevtools: true, adapter: withStartupCheck(adapter, storage) })

Object.assign(globalThis, {
  helper: async (id: string | undefined, rows: number) => {
    const s = await store
    if (id !== undefined) s.commit(events.added({ id }))
    for (const end = Date.now() + 30_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
      const { session, leader } = await s._dev.syncStates()
      const have = s.query(items.select('id').orderBy('id', 'asc'))
      if ((session.pending.length > 0 || leader.pending.length < rows || have.length < rows) && Date.now() < end) continue
      return { clientId: s.clientId, sessionId: s.sessionId, rows: have, events: leader.pending.map((e) => `${e.clientId}/${e.sessionId}`) }
    }
  },
})
