// One start of the app of testdata/clientrun in a browser's tab. window.proof is what tabs.mjs asks.
import { makePersistedAdapter } from '@livestore/adapter-web'
import SharedWorker from '@livestore/adapter-web/shared-worker?sharedworker'
import { createStorePromise } from '@livestore/livestore'
import { headgateWebAdapterOptions, pendingMigrations, runPendingMigrations } from '../livestore/headgate.generated.ts'
import { schema } from '../livestore/schema.ts'
import type { Start } from './start.ts'
import LeaderWorker from './worker.ts?worker'

const start = JSON.parse(decodeURIComponent(location.hash.slice(1))) as Start
const progress: unknown[] = []
let at = 'boot'

const run = async () => {
  const store = await createStorePromise({
    schema,
    adapter: makePersistedAdapter({
      ...headgateWebAdapterOptions,
      storage: { type: 'opfs' },
      worker: ({ name }) => new LeaderWorker({ name: `${name}#${encodeURIComponent(JSON.stringify(start))}` }),
      sharedWorker: SharedWorker,
    }),
    storeId: start.storeId,
    syncPayload: { authToken: start.token },
    disableDevtools: true,
  })
  const until = async (head: number) => {
    for (;;) {
      const { leader, session } = await store._dev.syncStates()
      at = `e${session.localHead.global} of e${leader.localHead.global}, sent e${leader.upstreamHead.global}, ${leader.pending.length} pending`
      const unsent = leader.pending.filter(({ seqNum }) => seqNum.client === 0).length
      const settled = session.pending.length === 0 && session.localHead.global === leader.localHead.global
      const synced = start.url === undefined || (unsent === 0 && leader.upstreamHead.global >= head)
      if (settled && synced) return { head: leader.localHead.global, unsent }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  await until(start.head ?? 0)
  const pending = pendingMigrations(store)
  const outcome: { runs?: unknown; failed?: string } = {}
  if (start.migrate !== undefined) {
    at = 'migrations'
    await runPendingMigrations(store, { ...start.migrate, onProgress: (now) => progress.push(now) }).then(
      (runs) => (outcome.runs = runs),
      (error) => (outcome.failed = String(error)),
    )
  }
  const heads = await until(start.head ?? 0)
  const rows = (table: string) => store.query({ query: `SELECT * FROM ${table} ORDER BY id`, bindValues: {} })
  const state = Object.fromEntries(['notes', 'tags', 'migrations'].map((table) => [table, rows(table)]))
  return { ...outcome, ...heads, pending, left: pendingMigrations(store), progress, state }
}

const seen = run()
Object.assign(globalThis, { proof: { seen: () => seen, commits: () => progress.length, at: () => at } })
