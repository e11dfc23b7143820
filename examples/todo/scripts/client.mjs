// A real LiveStore client of one release of this app, driven by a script.
import './production.mjs'
import { makeAdapter } from '@livestore/adapter-node'
import { createStorePromise } from '@livestore/livestore'
import { makeWsSync } from '@livestore/sync-cf/client'
import { Deferred, Effect, LogLevel } from 'effect'
import { WebSocket } from 'undici'
import { loadRelease } from './load.mjs'

globalThis.WebSocket ??= WebSocket // Node 20 has none

const patience = 120_000 // beside other work a client that lost a race tries again for long

/**
 * Opens a client. With url it syncs, and is handed out once it knows what the backend has up to head; without, it is
 * offline. Its files lie in dir/storeId. headgate is what headgate's helper adds to the sync payload. onUnknownEvent takes the
 * place of what the release does with events that it does not know. generation is the value of the flag store.reset, for a
 * release with headgate's withReset. ended resolves when the store was shut down by itself, with the reason.
 */
export const openClient = async ({ version, dir, storeId, clientId, url, token, head = 0, headgate, sessionId, generation, onUnknownEvent, onBackendIdMismatch = 'shutdown' }) => {
  const { schema: released, events, tables, skippedEvents, withReset } = await loadRelease(version)
  const schema = onUnknownEvent === undefined ? released : { ...released, unknownEventHandling: { strategy: 'callback', onUnknownEvent } }
  const shutdownDeferred = Effect.runSync(Deferred.make())
  const storage = { type: 'fs', baseDirectory: dir }
  const adapterFor = (reset) =>
    makeAdapter({
      ...reset,
      storage,
      clientId,
      ...(sessionId === undefined ? {} : { sessionId }),
      sync: {
        ...(url === undefined ? {} : { backend: makeWsSync({ url }) }),
        onBackendIdMismatch,
        onSyncError: 'shutdown',
      },
    })
  const store = await createStorePromise({
    schema,
    storeId,
    disableDevtools: true,
    logLevel: LogLevel.None,
    shutdownDeferred,
    syncPayload: { authToken: token, ...(headgate === undefined ? {} : { headgate }) },
    adapter: generation === undefined || withReset === undefined ? adapterFor({}) : withReset(adapterFor, { storage, flag: { storeId, generation } }),
  })

  let gone // why its store was shut down by itself
  const ended = Effect.runPromise(Deferred.await(shutdownDeferred)).then(
    (cause) => (gone = cause.reason),
    (error) => (gone = String(error)),
  )
  const heads = async () => {
    const { leader, session } = await store._dev.syncStates()
    return {
      confirmed: leader.upstreamHead.global,
      local: leader.localHead.global,
      pending: leader.pending.filter((event) => event.seqNum.client === 0).length,
      settled:
        session.pending.length === 0 &&
        session.localHead.global === leader.localHead.global &&
        session.localHead.client === leader.localHead.client,
    }
  }
  const until = async (what, test) => {
    for (const end = Date.now() + patience; ; ) {
      if (test(await heads())) {
        // A session says that it has a page before its tables do: it writes them in the tasks that follow.
        for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve, 20))
      }
      const state = await heads()
      if (test(state)) return state
      if (gone !== undefined || Date.now() > end) {
        throw new Error(`${clientId} on ${version}: ${what} not reached: ${JSON.stringify(state)}${gone === undefined ? '' : `, shut down: ${gone}`}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  /** Waits until the client's leader has every commit and, when online, the backend too. */
  const settle = () =>
    until('all committed', (s) => s.settled && (url === undefined || (s.pending === 0 && s.confirmed >= head)))

  if (url !== undefined) await until(`head ${head}`, (s) => s.settled && s.confirmed >= head)

  return {
    version,
    clientId,
    schema,
    events,
    tables,
    store,
    settle,
    until,
    commit: (event) => store.commit(event),
    ended,
    skipped: () => skippedEvents?.() ?? {},
    close: async () => {
      const state = await settle()
      await store.shutdownPromise()
      return state
    },
  }
}
