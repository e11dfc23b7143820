// node run.mjs '{…}' in a copy of examples/todo: one run of a real client of the app in history/9.9.9, printed as one line
// of JSON. See migrations_proof_test.go.
import { openClient } from './scripts/client.mjs'
import { pullAll } from './scripts/backend.mjs'
import { loadRelease } from './scripts/load.mjs'

const version = '9.9.9'
const run = JSON.parse(process.argv[2])
const print = (seen) => process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0))

if (run.pull === true) {
  print({ log: await pullAll(run, run.storeId) })
} else {
  const { pendingMigrations, runPendingMigrations } = await loadRelease(version)
  const client = await openClient({ version, ...run })
  const { store, events } = client
  for (const id of run.add ?? []) client.commit(events.noteAdded({ id, text: `note ${id}${'!'.repeat(id.length % 7)}` }))
  await client.settle()
  const seen = { pending: pendingMigrations(store), progress: [] }
  if (run.migrate !== undefined) {
    const signal = { aborted: false }
    const onProgress = (progress) => {
      seen.progress.push(progress)
      if (run.killAfter === seen.progress.length) process.kill(process.pid, 'SIGKILL')
      if (run.abortAfter === seen.progress.length) signal.aborted = true
    }
    // As in a browser, where the tabs of an app take turns.
    seen.locks = []
    const request = (name, run) => (seen.locks.push(name), run())
    if (run.locks === true) Object.defineProperty(globalThis, 'navigator', { value: { locks: { request } } })
    // An app whose start-up code runs twice must not run the migrations twice.
    const both = [0, 1].map(() => runPendingMigrations(store, { ...run.migrate, signal, onProgress }))
    seen.shared = both[0] === both[1]
    await Promise.all(both).then(
      ([runs]) => (seen.runs = runs),
      (error) => (seen.failed = error.message),
    )
  }
  const heads = await client.settle()
  seen.head = heads.local
  seen.unsent = heads.pending
  seen.left = pendingMigrations(store)
  seen.state = Object.fromEntries(
    ['notes', 'tags', 'migrations'].map((table) => [table, store.query({ query: `SELECT * FROM ${table} ORDER BY id`, bindValues: {} })]),
  )
  await store.shutdownPromise()
  print(seen)
}
