// A node client of the example with headgate's helper, run by helper_test.go: prints what it saw as one line of JSON.
import { createStorePromise, makeSchema, State } from '@livestore/livestore'
import { makeAdapter } from '@livestore/adapter-node'
import { makeWsSync } from '@livestore/sync-cf/client'
import { OpenFeature } from '@openfeature/server-sdk'
import { LogLevel } from 'effect'
import { fetch, WebSocket } from 'undici'
import { events } from './livestore/events.ts'
import {
  belowFloor, emitVersion, flagContext, HEADGATE_RELEASE, identityOf, makeReporter, mayEmit, syncIdentity, watchFloor, withHeadgate,
} from './livestore/headgate.generated.ts'
import { materializers } from './livestore/materializers.ts'
import { tables } from './livestore/tables.ts'

Object.assign(globalThis, { WebSocket, fetch }) // Node 20's own fetch fails beside undici 7
const { dir, url, token, headgate, commit } = JSON.parse(process.env['HELPER'] ?? '')
const identity = identityOf('s', { clientId: 'ann' })
const reporter = makeReporter({ url: headgate, token: 'the-token-of-the-worker', identity, after: 50 })
const broken = { ...materializers, 'v1.ListCleared': () => { throw new Error('the app has a bug') } }
const schema = makeSchema({
  events,
  state: State.SQLite.makeState(withHeadgate({ tables, materializers: reporter.watchMaterializers(broken as typeof materializers) })),
  unknownEventHandling: { strategy: 'callback', onUnknownEvent: ({ event }) => reporter.unknownEvent(event) },
})
const syncPayload = { authToken: token, ...syncIdentity(identity) }
const { clientId, sessionId } = identity
const store = await reporter.opening(
  createStorePromise({
    schema, storeId: 's', disableDevtools: true, logLevel: LogLevel.None, syncPayload,
    adapter: makeAdapter({
      storage: { type: 'fs', baseDirectory: dir }, clientId, sessionId,
      sync: { backend: makeWsSync({ url }), initialSyncOptions: { _tag: 'Blocking', timeout: 3000 } },
    }),
  }),
)
let below: string | undefined
const end = watchFloor({ url, syncPayload, identity, every: 50, onChange: (found) => { below = found?.floor; if (found !== undefined) reporter.mustUpdate() } })
const until = async (holds: () => Promise<boolean> | boolean) => {
  for (const stop = Date.now() + 30_000; !(await holds()); ) {
    if (Date.now() > stop) throw new Error('timeout')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
store.commit(events.todoCreated({ id: commit, text: commit, createdAt: new Date(0) }))
let pending = -1
await until(async () => {
  const { session, leader } = await store._dev.syncStates()
  pending = leader.pending.length
  return session.pending.length === 0 && (pending === 0 || below !== undefined)
})
// A store that does not open, and a materializer that throws.
await reporter.opening(Promise.reject(new Error('it does not open'))).catch(() => undefined)
let thrown = ''
try {
  ;(reporter.watchMaterializers(broken) as any)['v1.ListCleared']({})
} catch (cause) {
  thrown = String(cause)
}
const flags = OpenFeature.getClient()
const wanted = await flags.getStringValue('event.TodoCreated', 'v9.TodoCreated', flagContext(identity))
reporter.flagSeen(emitVersion(schema, 'TodoCreated', wanted))
await reporter.flush()
const away = makeReporter({ url: 'http://127.0.0.1:1', identity, after: 1 })
const began = performance.now()
for (let i = 0; i < 1000; i++) away.unknownEvent({ name: `v1.Name${i}` })
const took = performance.now() - began
await away.flush()
end()
console.log(JSON.stringify({
  release: HEADGATE_RELEASE, sessionId, context: flagContext(identity), below, pending, thrown, took, standing: reporter.standing(), away: away.standing(),
  emits: ['v1.TodoCreated', 'v2.TodoCreated', 'v9.TodoCreated', 'garbage', 'v2.Other'].map((flag) => emitVersion(schema, 'TodoCreated', flag)),
  mayEmit: ['off', 'v1.TodoCreated', 'v9.TodoCreated', 'v0.TodoCreated', 'v1.TodoShared', ''].map((flag) => mayEmit(schema, 'TodoCreated', flag)),
  told: belowFloor(new Error('x', { cause: 1 })) ?? belowFloor('Error: HEADGATE_BELOW_FLOOR: release 1.0.0 is below the floor 1.1.0: please update'),
  todos: store.query(tables.todos.select('id').orderBy('id', 'asc')),
}))
process.exit()
