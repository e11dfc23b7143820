// A real LiveStore client of the example app, with headgate's generated helper and, from 1.1.0 on, the stock OpenFeature
// provider for OFREP. It stays, and does what it is told: a JSON line each on stdin, an answer each on stdout.
//
//   node client.mjs '{"app": DIR, "packages": DIR, "version": "1.1.0", "storeId": "team", "clientId": "ann", "dir": DIR,
//                     "sync": "ws://…", "server": "http://…", "token": "hg_…"}'
//
// says is the release that the build takes itself for, where that is not what it is.
//
//   {"add": "ID"}         commits a todo, in the version that the flag gives and the build knows
//   {"flag": "v2.…"}      waits until the flag has this value
//   {"head": N}           waits until it has N events of the backend
//   {"below": true}       waits until the backend says that the release is below its floor
//   {"skips": N}          waits until N events were skipped
//   {}                    only answers
//
// The answer is {"head", "pending", "connected", "flag", "emitted", "skipped", "todos", "below"}: skipped counts, by name, the
// events that the build does not know; below is the floor. The end of stdin ends it.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const { app, packages, version, says = version, storeId, clientId, dir, sync, server, token } = JSON.parse(process.argv[2])
const script = (name) => import(pathToFileURL(join(app, 'scripts', name)).href)
const { openClient } = await script('client.mjs')
const { load, release } = await script('load.mjs')
const { token: authToken } = await script('backend.mjs')
const fromApp = createRequire(join(app, 'package.json'))
const { Effect } = await import(pathToFileURL(fromApp.resolve('effect')).href)

const helper = await load(join(release(says), 'headgate.generated.ts'))
const identity = helper.identityOf(storeId, { clientId, sessionId: 'static' })
// What says that it is 1.0.0 was built before there was a server of headgate's: only its sync connection tells of it.
const reporter = helper.makeReporter({ url: says === '1.0.0' ? undefined : server, token, identity, after: 100 })

const skipped = new Map() // by number: LiveStore hands each over twice
const client = await reporter.opening(
  openClient({
    version, dir, storeId, clientId, url: sync, token: authToken, sessionId: identity.sessionId,
    headgate: helper.syncIdentity(identity).headgate,
    onUnknownEvent: ({ event }) => {
      if (skipped.has(event.seqNum.global)) return
      skipped.set(event.seqNum.global, event.name)
      reporter.unknownEvent(event)
    },
  }),
)

// A build of 1.0.0 knows of no flag: there was one version only.
let flags
if (client.events.todoCreatedV2 !== undefined) {
  const from = createRequire(join(packages, 'package.json'))
  const { EventSource } = from('undici')
  globalThis.EventSource = EventSource
  const { OFREPWebProvider } = from('@openfeature/ofrep-web-provider')
  const { OpenFeature } = from('@openfeature/web-sdk')
  await OpenFeature.setContext(helper.flagContext(identity))
  const headers = [['Authorization', `Bearer ${token}`]]
  await OpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl: server, pollInterval: 0, headers, cacheKeyGenerator: helper.cacheKeyGenerator }))
  flags = OpenFeature.getClient()
}
const flag = () => flags?.getStringValue('event.TodoCreated', 'v1.TodoCreated') ?? 'v1.TodoCreated'

const add = (id) => {
  const emitted = helper.emitVersion(client.schema, 'TodoCreated', flag())
  const todo = { id, text: `${id}, of ${clientId}`, createdAt: new Date() }
  client.commit(emitted === 'v2.TodoCreated' ? client.events.todoCreatedV2({ ...todo, priority: 'normal' }) : client.events.todoCreated(todo))
  if (flags !== undefined) reporter.flagSeen(emitted)
  return emitted
}

const isConnected = async () => (await Effect.runPromise(client.store.networkStatus.get)).isConnected
const eventually = async (what, holds) => {
  for (const end = Date.now() + 60_000; !(await holds()); await new Promise((resolve) => setTimeout(resolve, 20))) {
    if (Date.now() > end) throw new Error(`${clientId} in ${storeId}: ${what} did not come: ${JSON.stringify(await state())}`)
  }
}
let below
const turnedAway = async () => {
  const onChange = (floor) => (below = floor?.floor)
  const end = helper.watchFloor({ url: sync, syncPayload: { authToken, ...helper.syncIdentity(identity) }, identity, every: 200, onChange })
  await eventually('the floor', () => below !== undefined)
  end()
}
const count = (names) => names.reduce((counts, name) => ({ ...counts, [name]: (counts[name] ?? 0) + 1 }), {})
const state = async (emitted) => {
  const { leader } = await client.store._dev.syncStates()
  return {
    head: leader.upstreamHead.global,
    pending: leader.pending.filter((event) => event.seqNum.client === 0).length,
    connected: await isConnected(),
    flag: flag(),
    emitted,
    skipped: count([...skipped.values()]),
    todos: client.store.query(client.tables.todos.select('id').orderBy('id', 'asc')),
    below,
  }
}
const answer = async (emitted) => process.stdout.write(`${JSON.stringify(await state(emitted))}\n`)

await answer()
for await (const line of createInterface({ input: process.stdin })) {
  const wants = JSON.parse(line)
  const emitted = wants.add === undefined ? undefined : add(wants.add)
  if (emitted !== undefined) await client.until('in the log', (s) => s.settled)
  if (wants.flag !== undefined) await eventually(`the flag ${wants.flag}`, () => flag() === wants.flag)
  if (wants.below === true) await turnedAway()
  if (wants.head !== undefined) await client.until(`head ${wants.head}`, (s) => s.settled && s.confirmed >= wants.head)
  if (wants.skips !== undefined) await eventually(`${wants.skips} skipped events`, () => skipped.size >= wants.skips)
  await answer(emitted)
}
await reporter.flush()
process.exit(0)
