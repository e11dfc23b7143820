// One run of a real LiveStore node client, told by one JSON argument; prints one JSON line. See proof_test.go.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { makeAdapter, makeWorkerAdapter } from '@livestore/adapter-node'
import { createStorePromise } from '@livestore/livestore'
import { type HeadgateReport, headgateEpoch, withStartupCheck } from '../livestore/headgate.generated.ts'
import { makeAppSchema, makeTables, v2 } from '../livestore/schema.ts'
import type { Variant } from '../livestore/variant.ts'
import { fileBackend } from './backend.ts'

type Run = {
  dir: string
  clientId: string
  variant: Variant
  check?: 'fs' | 'other'
  /** Runs the leader in a worker thread. */
  worker?: string
  backend?: string
  online?: boolean
  /** Commits this many events, numbered from first, then waits until the leader has them. */
  commit?: { event: 'v1' | 'v2' | 'ui'; first: number; count: number }
  /** SIGKILL before the nth event is materialized, or at the nth write to the state's files. */
  killAtEvent?: number
  killAtWrite?: number
  /** Waits until the backend has confirmed all, or the leader's confirmed head is there. */
  waitHead?: number
}
const run = JSON.parse(process.argv[2] ?? '{}') as Run
const die = () => process.kill(process.pid, 'SIGKILL')

// LiveStore's file system asks node:fs for each page: count, and die in the middle of a write.
let writes = 0
const stateFiles = new Set<number>()
const { openSync, writeSync, closeSync } = fs
fs.openSync = ((path: string, ...rest: [string]) => {
  const fd = openSync(path, ...rest)
  if (/[/\\]state[^/\\]*$/.test(path)) stateFiles.add(fd)
  return fd
}) as typeof fs.openSync
fs.closeSync = (fd) => {
  stateFiles.delete(fd)
  closeSync(fd)
}
fs.writeSync = ((fd: number, data: Buffer, offset: number, length: number, position: number) => {
  if (stateFiles.has(fd) && ++writes === run.killAtWrite) {
    writeSync(fd, data, offset, length >> 1, position)
    die()
  }
  return writeSync(fd, data, offset, length, position)
}) as typeof fs.writeSync
syncBuiltinESMExports()

const hookLines: string[] = []
const schema = makeAppSchema(run.variant, {
  onEvent: (count) => count === run.killAtEvent && die(),
  onHook: (line) => hookLines.push(line),
})
const storage = { type: 'fs', baseDirectory: run.dir } as const
const common = { storage, clientId: run.clientId, sessionId: 'static' }
const inner =
  run.worker === undefined
    ? makeAdapter({
        ...common,
        ...(run.backend === undefined
          ? {}
          : { sync: { backend: fileBackend(run.backend, run.online === true), onSyncError: 'ignore' as const } }),
      })
    : makeWorkerAdapter({ ...common, workerUrl: new URL(run.worker), workerExtraArgs: JSON.parse(JSON.stringify(run.variant)) })
const reports: HeadgateReport[] = []
const checked = run.check === 'other' ? ({ type: 'other' } as const) : storage
const adapter = run.check === undefined ? inner : withStartupCheck(inner, checked, (found) => reports.push(found))

const started = performance.now()
const statuses: string[] = []
let store
try {
  store = await createStorePromise({
    schema,
    adapter,
    storeId: 'proof',
    disableDevtools: true,
    onBootStatus: (status) => statuses.push(status.stage),
  })
} catch (cause) {
  console.log(JSON.stringify({ failed: String(cause), hooks: hookLines, writes }))
  process.exit(0)
}
const bootMs = Math.round(performance.now() - started)

const syncStates = () => store._dev.syncStates()
const until = async (what: string, holds: (s: Awaited<ReturnType<typeof syncStates>>) => boolean) => {
  const end = Date.now() + 20_000
  while (!holds(await syncStates())) {
    if (Date.now() > end) throw new Error(`timeout: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
if (run.commit !== undefined) {
  const { event, first, count } = run.commit
  for (let i = first; i < first + count; i++) {
    const id = `${event}-${String(i).padStart(6, '0')}`
    if (event === 'v1') store.commit(v2.itemAdded({ id, n: i }))
    if (event === 'v2') store.commit(v2.itemAdded2({ id, n: i }))
    if (event === 'ui') store.commit(v2.uiSet({ id }))
  }
  await until('commit', ({ session, leader }) => session.pending.length === 0 && leader.localHead.global >= session.localHead.global)
}
if (run.waitHead !== undefined) await until('head', ({ leader, session }) => leader.upstreamHead.global >= run.waitHead! && session.localHead.global >= run.waitHead!)
const { session, leader } = await syncStates()
const { items, ui } = makeTables(run.variant)
const rows = store.query(items.select('id', 'n').orderBy('id', 'asc'))
await new Promise((resolve) => setTimeout(resolve, 0))
console.log(
  JSON.stringify({
    epoch: headgateEpoch,
    stateFile: `state${schema.state.sqlite.hash}@6.db`,
    rows: rows.length,
    sum: rows.reduce((sum, row) => sum + row.n, 0),
    ui: store.query(ui.select()).length,
    sessionHead: session.localHead.global,
    leaderHead: leader.localHead.global,
    confirmed: leader.upstreamHead.global,
    pending: leader.pending.filter((event) => event.seqNum.client === 0).length,
    hooks: hookLines,
    statuses,
    reports,
    writes,
    bootMs,
  }),
)
await store.shutdownPromise()
process.exit(0)
