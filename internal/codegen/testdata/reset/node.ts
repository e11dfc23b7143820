// One run of a real node client with withReset, told by one JSON argument; prints one JSON line. See reset_test.go.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { makeAdapter } from '@livestore/adapter-node'
import { createStorePromise } from '@livestore/livestore'
import { makeWsSync } from '@livestore/sync-cf/client'
import { Effect, LogLevel } from 'effect'
import { WebSocket } from 'undici'
import { type HeadgateExport, type HeadgateResetReport, recommitExported, withReset, withStartupCheck } from './headgate.generated.ts'
import { drafts, events, items, schema } from './schema.ts'

type Run = {
  dir: string
  clientId: string
  url: string
  token: string
  generation?: number
  flagStore?: string
  /** Where onExport writes; kill dies in it, fail rejects. */
  export?: string
  onExport?: 'kill' | 'fail'
  whenOffline?: 'wait' | 'export'
  timeLimit?: number
  /** SIGKILL before LiveStore removes anything, or when the new store is open and nothing says so yet. */
  kill?: 'before' | 'after'
  /** LiveStore's own option, without headgate. */
  resetPersistence?: boolean
  commit?: string[]
  draft?: string
  /** Commits what was exported to there. */
  recommit?: string
  /** Waits until all is sent and the backend's head is there. */
  head?: number
}
const run = JSON.parse(process.argv[2] ?? '{}') as Run
Object.assign(globalThis, { WebSocket })
const die = () => process.kill(process.pid, 'SIGKILL')
const print = (seen: object) => process.stdout.write(`${JSON.stringify({ reports, ...seen })}\n`, () => process.exit(0))

const storage = { type: 'fs', baseDirectory: run.dir } as const
const reports: HeadgateResetReport[] = []
const make = ({ resetPersistence }: { resetPersistence: boolean }) => {
  if (resetPersistence && run.kill === 'before') die()
  const adapter = makeAdapter({
    storage, clientId: run.clientId, resetPersistence,
    sync: { backend: makeWsSync({ url: run.url, ping: { requestTimeout: 1000 } }), onSyncError: 'ignore' },
  })
  if (!resetPersistence || run.kill !== 'after') return adapter
  return ((args) => Effect.tap(adapter(args), die)) satisfies typeof adapter
}
const keep = (to: string) => (exported: HeadgateExport) => {
  writeFileSync(to, JSON.stringify(exported))
  if (run.onExport === 'kill') die()
  if (run.onExport === 'fail') throw new Error('the disk is full')
}
const flag = run.generation === undefined ? undefined : { storeId: run.flagStore ?? 's', generation: run.generation }
const withFlag = withReset(make, {
  storage, flag, timeLimit: run.timeLimit ?? 4000, whenOffline: run.whenOffline, report: (found) => reports.push(found),
  onExport: run.export === undefined ? undefined : keep(run.export),
})
const adapter = run.resetPersistence === true ? make({ resetPersistence: true }) : withStartupCheck(withFlag, storage)
createStorePromise({ schema, adapter, storeId: 's', disableDevtools: true, logLevel: LogLevel.None, syncPayload: { authToken: run.token } }).then(
  async (store) => {
    for (const id of run.commit ?? []) store.commit(events.itemAdded({ id, at: new Date(0) }))
    if (run.draft !== undefined) store.commit(events.draftSet({ id: run.draft }))
    const settled = async (sent: boolean) => {
      for (const end = Date.now() + 20_000; ; ) {
        const { session, leader } = await store._dev.syncStates()
        const pending = leader.pending.filter(({ seqNum }) => seqNum.client === 0).length
        const settled = session.pending.length === 0 && session.localHead.global === leader.localHead.global
        if (settled && (!sent || (pending === 0 && leader.upstreamHead.global >= run.head!))) return { pending, confirmed: leader.upstreamHead.global }
        if (Date.now() > end) throw new Error(`timeout: ${pending} pending, confirmed ${leader.upstreamHead.global}`)
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    }
    await settled(false)
    const recommitted = run.recommit === undefined ? undefined : await recommitExported(store, JSON.parse(readFileSync(run.recommit, 'utf8')), { timeLimit: run.url.endsWith(':9') ? 500 : undefined })
    const heads = await settled(run.head !== undefined)
    const mark = `${run.dir}/s.headgate-reset.json`
    print({
      ...heads, recommitted,
      rows: store.query(items.select().orderBy('id', 'asc')).map(({ id, times }) => (times === 1 ? id : `${id}x${times}`)),
      drafts: store.query(drafts.select()).length,
      mark: existsSync(mark) ? readFileSync(mark, 'utf8') : '',
    })
  },
  (cause) => print({ failed: String(cause) }),
)
