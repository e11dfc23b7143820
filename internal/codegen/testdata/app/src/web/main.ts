// The page. window.proof is what web.mjs drives.
import { makePersistedAdapter } from '@livestore/adapter-web'
import SharedWorker from '@livestore/adapter-web/shared-worker?sharedworker'
import { createStorePromise } from '@livestore/livestore'
import { type HeadgateReport, headgateWebAdapterOptions, withStartupCheck } from '../livestore/headgate.generated.ts'
import { makeAppSchema, makeTables, v2 } from '../livestore/schema.ts'
import type { Start } from './start.ts'
import LeaderWorker from './worker.ts?worker'

const start = JSON.parse(decodeURIComponent(location.hash.slice(1))) as Start
const storage = { type: 'opfs' } as const
const reports: HeadgateReport[] = []
const inner = makePersistedAdapter({
  ...(start.fastPath === true ? {} : headgateWebAdapterOptions),
  storage,
  worker: ({ name }) => new LeaderWorker({ name: `${name}#${encodeURIComponent(JSON.stringify(start))}` }),
  sharedWorker: SharedWorker,
})
const stopped = new Promise<string>((resolve) => {
  new BroadcastChannel('headgate-proof').onmessage = ({ data }) => resolve(data)
})
const statuses: string[] = []
const booted = performance.now()
const store = createStorePromise({
  schema: makeAppSchema(start.variant, { onEvent: () => {}, onHook: () => {} }),
  adapter: start.check === true ? withStartupCheck(inner, storage, (found) => reports.push(found)) : inner,
  storeId: 'proof',
  disableDevtools: true,
  onBootStatus: ({ stage }) => statuses.at(-1) !== stage && statuses.push(stage),
})
const bootMs = store.then(() => Math.round(performance.now() - booted))

const { items } = makeTables(start.variant)
const proof = {
  /** Resolves when the leader has blocked where it was told to. */
  stopped: () => stopped,
  commit: async (event: 'v1' | 'v2', first: number, count: number) => {
    const s = await store
    for (let i = first; i < first + count; i++) {
      const args = { id: `${event}-${String(i).padStart(6, '0')}`, n: i }
      s.commit(event === 'v1' ? v2.itemAdded(args) : v2.itemAdded2(args))
    }
  },
  /** Resolves when the leader has written all that the session committed. */
  flushed: async () => {
    const s = await store
    for (;;) {
      const { session, leader } = await s._dev.syncStates()
      if (session.pending.length === 0 && leader.localHead.global >= session.localHead.global) return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  },
  state: async () => {
    const s = await store
    const { session, leader } = await s._dev.syncStates()
    const rows = s.query(items.select('id', 'n'))
    return {
      rows: rows.length,
      sum: rows.reduce((sum, row) => sum + row.n, 0),
      sessionHead: session.localHead.global,
      leaderHead: leader.localHead.global,
      sessionPending: session.pending.length,
      reports,
      statuses,
      bootMs: await bootMs,
    }
  },
}
Object.assign(globalThis, { proof })
