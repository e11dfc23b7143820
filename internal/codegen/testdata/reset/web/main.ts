// One start of the app of reset_test.go in a browser's tab. window.proof is what tabs.mjs asks.
import { makePersistedAdapter } from '@livestore/adapter-web'
import SharedWorker from '@livestore/adapter-web/shared-worker?sharedworker'
import { createStorePromise } from '@livestore/livestore'
import { type HeadgateExport, type HeadgateResetReport, headgateWebAdapterOptions, recommitExported, withReset, withStartupCheck } from '../headgate.generated.ts'
import { events, items, schema } from '../schema.ts'
import LeaderWorker from './worker.ts?worker'

type Start = {
  readonly url: string
  readonly token: string
  readonly generation?: number
  readonly whenOffline?: 'wait' | 'export'
  readonly commit?: string[]
  readonly recommit?: boolean
  /** Opens no store: removes its directory, and lists what there was before and is afterwards. */
  readonly remove?: boolean
  /** The page is done when all is sent, and the backend's head is there. */
  readonly head?: number
}
const start = JSON.parse(decodeURIComponent(location.hash.slice(1))) as Start
let at = 'boot'

const names = async (when: string) => {
  const found: string[] = []
  for await (const name of (await navigator.storage.getDirectory()).keys()) found.push(`${when} ${name}`)
  return found
}

const run = async () => {
  if (start.remove === true) {
    const before = await names('before')
    const root = await navigator.storage.getDirectory()
    await root.removeEntry('livestore-s@6', { recursive: true })
    return { rows: [...before, ...(await names('after'))], pending: 0 }
  }
  const storage = { type: 'opfs' } as const
  const reports: HeadgateResetReport[] = []
  const adapter = withReset(
    (reset) =>
      makePersistedAdapter({
        ...headgateWebAdapterOptions, ...reset, storage,
        worker: ({ name }) => new LeaderWorker({ name: `${name}#${encodeURIComponent(JSON.stringify(start))}` }),
        sharedWorker: SharedWorker,
      }),
    {
      storage, timeLimit: 4000, whenOffline: start.whenOffline, report: (found) => reports.push(found),
      flag: start.generation === undefined ? undefined : { storeId: 's', generation: start.generation },
      onExport: (exported) => localStorage.setItem('exported', JSON.stringify(exported)),
    },
  )
  const store = await createStorePromise({
    schema, storeId: 's', syncPayload: { authToken: start.token }, disableDevtools: true, adapter: withStartupCheck(adapter, storage),
  })
  for (const id of start.commit ?? []) store.commit(events.itemAdded({ id, at: new Date(0) }))
  at = 'open'
  const exported = JSON.parse(localStorage.getItem('exported') ?? 'null') as HeadgateExport | null
  const recommitted = start.recommit === true && exported !== null ? await recommitExported(store, exported) : undefined
  for (;;) {
    const { leader, session } = await store._dev.syncStates()
    at = `e${session.localHead.global} of e${leader.localHead.global}, sent e${leader.upstreamHead.global}, ${leader.pending.length} pending`
    const settled = session.pending.length === 0 && session.localHead.global === leader.localHead.global
    if (settled && (start.head === undefined || (leader.pending.length === 0 && leader.upstreamHead.global >= start.head))) {
      const rows = store.query(items.select().orderBy('id', 'asc')).map(({ id, times }) => (times === 1 ? id : `${id}x${times}`))
      const mark = localStorage.getItem('headgate:reset:s') ?? ''
      return { rows, pending: leader.pending.length, confirmed: leader.upstreamHead.global, reports, recommitted, exported: exported?.events.length ?? 0, mark }
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const seen = run()
Object.assign(globalThis, { proof: { seen: () => seen, at: () => at, commits: () => 0 } })
