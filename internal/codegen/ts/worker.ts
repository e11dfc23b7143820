/* eslint-disable */
// biome-ignore-all lint: generated
// @ts-ignore the runtime's own module: only an app with Cloudflare's types knows it
import { env as bindings } from 'cloudflare:workers'
import * as sync from '@livestore/sync-cf/cf-worker'

// In place of '@livestore/sync-cf/cf-worker': the same functions with the same options, so that a backend is wrapped by
// its import. They tell headgate's server which releases read and write each store, and turn away those below the floor.
// Sync never waits for a report and never fails because of one.
//
//   HEADGATE_URL, HEADGATE_TOKEN   the server, and the secret that lets this Worker report to it; without both nothing is sent
//   HEADGATE_FLOOR                 a floor beside the server's: 1.1.0, or main=1.1.0,notes=2.0.0; the higher one counts
//   HEADGATE_FLOOR_UNKNOWN         open (default) or closed: what happens while no floor was ever heard from the server
//   HEADGATE_ADMIN_TOKEN           switches the admin route on: 16 characters or more
//   HEADGATE_FLOOR_MS              the server is asked for the floor once in this time: 10000
//   HEADGATE_SAMPLE_MS             a client's pulls, and its pushes, are reported once in this time: 60000

export { matchSyncRequest } from '@livestore/sync-cf/cf-worker'

/** The start of each refusal. The app's helper looks for it, so it never changes. */
const belowFloor = 'HEADGATE_BELOW_FLOOR'

const setting = (name: string): string => {
  const value = (bindings as { readonly [name: string]: unknown })[name]
  return typeof value === 'string' ? value : ''
}

const reports = (): boolean => setting('HEADGATE_URL') !== '' && setting('HEADGATE_TOKEN') !== ''

// ---- who it is

type Who = {
  readonly schema: string
  readonly clientId: string
  readonly release: string
  /** headgate's own writers and LiveStore's tools say so: they are neither reported nor held to the floor. */
  readonly tool: boolean
}

const short = (value: unknown, most: number): string =>
  typeof value === 'string' && value !== '' && value.length <= most && !/[\u0000-\u001f\u007f]/.test(value) ? value : 'none'

/** What the sync payload says; for a client without headgate's helper, what its events say. */
const whoIs = (payload: any, event?: { readonly clientId?: unknown; readonly sessionId?: unknown }): Who => {
  const said = typeof payload === 'object' && payload !== null ? payload.headgate : undefined
  const stamp = /\.(\d+)-(\d+)-(\d+)(?:-([0-9A-Za-z_-]+))?$/.exec(typeof event?.sessionId === 'string' ? event.sessionId : '')
  const stamped = stamp === null ? 'none' : `${stamp[1]}.${stamp[2]}.${stamp[3]}${stamp[4] === undefined ? '' : `-${stamp[4].replaceAll('_', '.')}`}`
  const release = short(said?.release, 64)
  const clientId = short(said?.clientId, 128)
  return {
    schema: short(said?.schema, 64),
    clientId: clientId === 'none' ? short(event?.clientId, 128) : clientId,
    release: release === 'none' ? stamped : release,
    tool: said?.tool === true,
  }
}

// ---- reports

type Kind = 'pull' | 'push' | 'rejected' | 'refused'
type Report = { readonly storeId: string; readonly schema: string; readonly clientId: string; readonly release: string; readonly kind: Kind; readonly count: number; readonly floor?: string }
type Background = { readonly waitUntil?: (promise: Promise<unknown>) => void } | undefined

const most = { queued: 1000, batch: 100, undelivered: 3, sampled: 10_000, exported: 4_000_000 }
const flushAfter = 1000
const sampled = new Map<string, { count: number; at: number }>()
const queue: Report[] = []
let dropped = 0
let failures = 0
let notBefore = 0
let armedUntil = 0

/** A setting in milliseconds. What is no number above 0 counts as not set. */
const millis = (name: string, otherwise: number): number => {
  const n = Number(setting(name) || otherwise)
  return Number.isFinite(n) && n >= 1 ? n : otherwise
}

const observe = (background: Background, storeId: string, who: Who, kind: Kind): void => {
  try {
    if (who.tool || storeId.length > 256 || !reports()) return
    const now = Date.now()
    const key = JSON.stringify([storeId, who.schema, who.clientId, who.release, kind])
    const sample = sampled.get(key) ?? { count: 0, at: 0 }
    sample.count++
    if (now - sample.at >= millis('HEADGATE_SAMPLE_MS', 60_000)) {
      if (queue.length >= most.queued) dropped++
      else queue.push({ storeId, schema: who.schema, clientId: who.clientId, release: who.release, kind, count: sample.count, floor: floorFor(who.schema) })
      sample.count = 0
      sample.at = now
    }
    sampled.delete(key)
    sampled.set(key, sample) // the one seen last stands last
    if (sampled.size > most.sampled) sampled.delete(sampled.keys().next().value!)
    // The timer dies with the request or the object that started it, so it counts for a while only.
    if (queue.length + undelivered.length === 0 || now < armedUntil || now < notBefore) return
    armedUntil = now + flushAfter + 10_000
    background?.waitUntil?.(wait(flushAfter).then(flush))
  } catch {
    // A report is never worth a sync.
  }
}

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

type Batch = { readonly name: string; readonly reports: readonly Report[]; readonly lost: number }

/** Those without an answer go out again as they are, by their names: they may have arrived. */
const undelivered: Batch[] = []

const nextBatch = (): Batch | undefined => {
  if (undelivered.length > 0 || queue.length === 0) return undelivered.shift()
  const batch = { name: crypto.randomUUID(), reports: queue.splice(0, most.batch), lost: dropped }
  dropped = 0
  return batch
}

const flush = async (): Promise<void> => {
  try {
    for (let batch = nextBatch(); batch !== undefined; batch = nextBatch()) {
      const { name, reports, lost } = batch
      const answer = await ask('/v1/reports', { method: 'POST', body: JSON.stringify({ version: 1, batch: name, dropped: lost, reports }) })
      if (answer.ok) {
        failures = 0
        continue
      }
      const never = [400, 413, 422].includes(answer.status) // it would be refused again
      if (never || undelivered.length >= most.undelivered) {
        dropped += lost + reports.length
        if (never) continue
      } else undelivered.push(batch)
      failures++
      notBefore = Date.now() + Math.min(60_000, 1000 * 2 ** failures)
      return
    }
  } finally {
    armedUntil = 0
  }
}

/** Asks headgate's server, for 5 seconds at most. A status of 0 is no answer. */
const ask = async (path: string, request: { readonly method: string; readonly body?: string }): Promise<{ ok: boolean; status: number; text: string }> => {
  try {
    const response = await fetch(setting('HEADGATE_URL').replace(/\/$/, '') + path, {
      ...request,
      headers: { authorization: `Bearer ${setting('HEADGATE_TOKEN')}`, 'content-type': 'application/json' },
      redirect: 'manual', // the token goes to this server alone
      signal: AbortSignal.timeout(5000),
    })
    const length = Number(response.headers.get('content-length') ?? 0)
    if (length > 65_536) {
      await response.body?.cancel()
      return { ok: false, status: response.status, text: '' }
    }
    return { ok: response.ok, status: response.status, text: await response.text() }
  } catch {
    return { ok: false, status: 0, text: '' }
  }
}

// ---- the floor

let known: ReadonlyMap<string, string> | undefined
let knownSince = Number.NEGATIVE_INFINITY
let askedAt = Number.NEGATIVE_INFINITY
let answering = false
let unanswered = 0
const floorPatience = 500

const floorIsDue = (): boolean => reports() && Date.now() - askedAt >= Math.min(300_000, millis('HEADGATE_FLOOR_MS', 10_000) * 2 ** unanswered)
/** Nothing was heard for so long that a sync waits for the answer. */
const floorIsStale = (): boolean => Date.now() - knownSince >= 60_000

/** The answer that a sync waits for is on its way: whoever comes meanwhile waits for the same one, to the same moment. */
const floorIsComing = (): boolean => answering && floorIsStale() && Date.now() - askedAt < floorPatience

/** Brings the floor up to date in the background. Only where it is a minute old does a sync wait, half a second at most. */
const freshFloor = async (background: Background): Promise<void> => {
  if (!floorIsDue()) {
    // Not for the promise: it belongs to another request.
    while (floorIsComing()) await wait(10)
    return
  }
  askedAt = Date.now()
  answering = true
  const heard = ask('/v1/floor', { method: 'GET' }).then(({ ok, text }) => {
    const floors = ok ? floorsOf(text) : undefined
    unanswered = floors === undefined ? Math.min(unanswered + 1, 10) : 0
    if (floors === undefined) return // the last one known goes on
    known = floors
    knownSince = Date.now()
  }).finally(() => {
    answering = false
  })
  background?.waitUntil?.(heard)
  if (floorIsStale()) await Promise.race([heard, wait(floorPatience)])
}

const floorsOf = (text: string): ReadonlyMap<string, string> | undefined => {
  try {
    const floors = Object.entries(JSON.parse(text).floors as { readonly [schema: string]: unknown })
    return floors.every(([, floor]) => typeof floor === 'string' && versionOf(floor) !== undefined) ? new Map(floors as [string, string][]) : undefined
  } catch {
    return undefined
  }
}

const ownFloors = (): ReadonlyMap<string, string> =>
  new Map(
    setting('HEADGATE_FLOOR').split(',').filter((part) => part.trim() !== '').map((part) => {
      const [schema, floor] = part.includes('=') ? part.split('=') : ['*', part]
      return [schema!.trim(), floor!.trim()] as const
    }).filter(([, floor]) => versionOf(floor) !== undefined), // about says of the others that they are none
  )

/** The parts of HEADGATE_FLOOR that are no floor: nobody is held to them. */
const brokenFloors = (): string[] =>
  setting('HEADGATE_FLOOR').split(',').map((part) => part.trim()).filter((part) => part !== '' && versionOf(part.split('=').at(-1)!.trim()) === undefined)

const highestFloor = (applies: (schema: string) => boolean): string | undefined => {
  let highest: string | undefined
  for (const floors of [ownFloors(), known ?? new Map<string, string>()]) {
    for (const [schema, floor] of floors) {
      if (schema !== '*' && !applies(schema)) continue
      if (highest === undefined || isBelow(highest, floor)) highest = floor
    }
  }
  return highest
}

/** The floor that every client of a store of this schema has to reach. */
const floorFor = (schema: string): string | undefined => highestFloor((other) => other === schema)

/** Why a client may not sync, or undefined. */
const refusal = (who: Who): string | undefined => {
  if (who.tool) return undefined
  const closed = reports() && setting('HEADGATE_FLOOR_UNKNOWN') === 'closed'
  if (known === undefined && closed) return 'HEADGATE_FLOOR_UNKNOWN: the floor is not known yet, try again'
  // A client that does not say which schema it is has to reach every floor: it may be any old build.
  const highest = highestFloor((schema) => who.schema === 'none' || schema === who.schema)
  if (highest === undefined || !isBelow(who.release, highest)) return undefined
  return `${belowFloor}: release ${who.release} is below the floor ${highest}: please update`
}

type Version = { readonly numbers: readonly number[]; readonly pre: readonly string[] }

const versionOf = (text: string): Version | undefined => {
  const parts = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/.exec(text)
  return parts === null ? undefined : { numbers: parts.slice(1, 4).map(Number), pre: parts[4]?.split('.') ?? [] }
}

/** By semver's order; what is no version is below everything. */
const isBelow = (text: string, than: string): boolean => {
  const [a, b] = [versionOf(text), versionOf(than)]
  if (b === undefined) return false
  if (a === undefined) return true
  for (let i = 0; i < 3; i++) if (a.numbers[i] !== b.numbers[i]) return a.numbers[i]! < b.numbers[i]!
  if (a.pre.length === 0 || b.pre.length === 0) return a.pre.length > b.pre.length
  for (let i = 0; i < Math.min(a.pre.length, b.pre.length); i++) {
    const [x, y] = [a.pre[i]!, b.pre[i]!]
    if (x === y) continue
    const [n, m] = [/^\d+$/.test(x), /^\d+$/.test(y)]
    return n && m ? Number(x) < Number(y) : n !== m ? n : x < y
  }
  return a.pre.length < b.pre.length
}

// ---- the Worker

/** LiveStore's handleSyncRequest, with the floor behind the app's own validatePayload. */
export const handleSyncRequest: typeof sync.handleSyncRequest = async (options) => {
  const { storeId, payload } = options.searchParams
  let refused: string | undefined
  const response = await sync.handleSyncRequest({
    ...options,
    validatePayload: async (decoded, context) => {
      await options.validatePayload?.(decoded, context)
      await freshFloor(options.ctx)
      const who = whoIs(payload) // as it came: a syncPayloadSchema may drop what it does not know
      refused = refusal(who)
      if (refused === undefined) return
      observe(options.ctx, storeId, who, 'refused')
      throw new Error(refused)
    },
  })
  if (refused === undefined) return response
  // Any page may read why: the helper asks from the app's own origin.
  const headers = { ...(options.headers as Record<string, string> | undefined), 'content-type': 'text/plain', 'access-control-allow-origin': '*' }
  return new Response(refused, { status: 400, headers }) as never
}

/** LiveStore's makeWorker, with the floor and the admin route. */
export const makeWorker: typeof sync.makeWorker = (options) => {
  const inner = sync.makeWorker(options)
  return {
    fetch: async (request, env, ctx) => {
      const answer = await handleAdminRequest({ request, env, syncBackendBinding: options.syncBackendBinding })
      if (answer !== undefined) return answer as never
      const searchParams = sync.matchSyncRequest(request)
      if (searchParams === undefined || request.method === 'OPTIONS') return inner.fetch(request, env, ctx)
      const cors = {
        'Access-Control-Allow-Origin': '*',
        'Access-Control-Allow-Methods': 'GET, POST, OPTIONS',
        'Access-Control-Allow-Headers': request.headers.get('Access-Control-Request-Headers') ?? '*',
      }
      return handleSyncRequest<any, any, any, any>({
        request, searchParams, env, ctx,
        syncBackendBinding: options.syncBackendBinding,
        validatePayload: options.validatePayload,
        syncPayloadSchema: options.syncPayloadSchema,
        headers: options.enableCORS === true ? cors : {},
      })
    },
  }
}

// ---- the Durable Object

type State = {
  readonly storage: {
    readonly sql: { exec: (sql: string, ...binds: unknown[]) => Iterable<any> & { toArray: () => any[] } }
    readonly deleteAll: () => Promise<void>
    readonly sync: () => Promise<void>
  }
  readonly id: unknown
  readonly getWebSockets: () => Socket[]
  readonly waitUntil: (promise: Promise<unknown>) => void
  readonly abort: (reason: string) => void
}
type Socket = {
  readonly readyState: number
  readonly deserializeAttachment: () => unknown
  readonly serializeAttachment: (value: unknown) => void
  readonly close: (code: number, reason: string) => void
}

/** The objects that run in this isolate, by store: LiveStore's callbacks are not told which one calls. */
const objects = new Map<string, WeakRef<State>>()

const attachmentOf = (socket: Socket): any => {
  try {
    return JSON.parse(String(socket.deserializeAttachment()))
  } catch {
    return {}
  }
}

/** Who is about to receive what is pushed: every open socket. Those that the floor has passed by are closed first. */
const sweep = (state: State, storeId: string): void => {
  for (const socket of state.getWebSockets()) {
    try {
      const attachment = attachmentOf(socket)
      if ((attachment.pullRequestIds?.length ?? 0) === 0) continue
      const who = whoIs(attachment.payload)
      const reason = refusal(who)
      observe(state, storeId, who, reason === undefined ? 'pull' : 'refused')
      if (reason === undefined) continue
      socket.serializeAttachment(JSON.stringify({ ...attachment, pullRequestIds: [] })) // nothing is broadcast to it any more
      socket.close(4426, reason.slice(0, 120))
    } catch {
      // A socket that is closing already.
    }
  }
  const subscribed = subscriptions.get(state)?.()
  for (const [key, { payload }] of subscribed ?? []) {
    const who = whoIs(payload)
    const reason = refusal(who)
    observe(state, storeId, who, reason === undefined ? 'pull' : 'refused')
    if (reason !== undefined) subscribed!.delete(key)
  }
}

/** The other Durable Objects that an object sends on to what is pushed: LiveStore keeps them behind a symbol of its own. */
const subscriptions = new WeakMap<State, () => Map<string, { readonly payload?: unknown }> | undefined>()

const subscriptionsOf = (object: any) => () => {
  const cache = Object.getOwnPropertySymbols(object).find(({ description }) => description === 'Cache')
  const found = cache === undefined ? undefined : object[cache]?.rpcSubscriptions
  return found instanceof Map ? found : undefined
}

/** Objects that another Durable Object calls, until it is known of which store they are: the call says it in msgpack. */
type Nameless = { readonly isOf: (storeId: string) => boolean; readonly here: (storeId: string) => void }
const nameless = new Set<WeakRef<Nameless>>()

const objectOf = (storeId: string): State | undefined => {
  const state = objects.get(storeId)?.deref()
  if (state !== undefined) return state
  for (const ref of nameless) {
    const object = ref.deref()
    if (object === undefined) nameless.delete(ref)
    else if (object.isOf(storeId)) {
      nameless.delete(ref)
      object.here(storeId)
      return objects.get(storeId)?.deref()
    }
  }
  return undefined
}

type Options = NonNullable<Parameters<typeof sync.makeDurableObject>[0]>
type Callback = (message: any, context: any) => any

const watched = (kind: 'pull' | 'push', app: Callback | undefined): Callback => (message, context) => {
  const state = objectOf(context.storeId)
  if (floorIsStale() && (floorIsDue() || floorIsComing())) return freshFloor(state).then(() => admitted(kind, app, message, context, state))
  return admitted(kind, app, message, context, state)
}

const admitted = (kind: 'pull' | 'push', app: Callback | undefined, message: any, context: any, state: State | undefined): any => {
  const { storeId } = context
  // Over HTTP, LiveStore 0.4.0 leaves context.payload of a push empty, and the message has it.
  const who = whoIs(context.payload ?? message.payload, message.batch?.[0])
  const reason = refusal(who)
  if (reason !== undefined) {
    observe(state, storeId, who, 'refused')
    if (kind === 'push' && state !== undefined) setTimeout(() => sweep(state, storeId), 50) // after the answer
    return Promise.reject(new Error(reason))
  }
  if (kind === 'push' && !who.tool && state !== undefined && heldUntil(state) > Date.now()) {
    observe(state, storeId, who, 'rejected')
    return Promise.reject(new Error(`${held}: the store is being repaired, try again`))
  }
  const seen = () => {
    if (kind === 'push' && state !== undefined) sweep(state, storeId)
    observe(state, storeId, who, kind)
    if (state !== undefined) void freshFloor(state)
  }
  // What the app refuses is no pull and no push.
  const turnedAway = (cause: unknown): never => {
    if (kind === 'push') observe(state, storeId, who, 'rejected')
    throw cause
  }
  let result: any
  try {
    result = app?.(message, context)
  } catch (cause) {
    turnedAway(cause)
  }
  if (result instanceof Promise) {
    return result.then((value) => {
      seen()
      return value
    }, turnedAway)
  }
  seen()
  return result
}

// ---- a store that is being repaired

/** The start of what a push to a held store is told. LiveStore's client keeps the events, and tries again within 30 seconds. */
const held = 'HEADGATE_HELD'

const holds = new WeakMap<State, number>()

/** Until when a store takes no pushes but headgate's own, in milliseconds; 0 for a store that is not held. */
const heldUntil = (state: State): number => {
  let until = holds.get(state)
  if (until === undefined) {
    const { sql } = state.storage
    const there = sql.exec(`SELECT 1 FROM sqlite_master WHERE name = 'headgate_hold'`).toArray().length > 0
    until = there ? Number(sql.exec('SELECT until FROM headgate_hold').toArray()[0]?.until ?? 0) : 0
    holds.set(state, until)
  }
  return until
}

const hold = (state: State, until: number): void => {
  const { sql } = state.storage
  sql.exec('CREATE TABLE IF NOT EXISTS headgate_hold (id integer primary key, until integer not null) strict')
  sql.exec('INSERT INTO headgate_hold VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET until = excluded.until', until)
  holds.set(state, until)
}

const released = async (state: State): Promise<void> => {
  while (heldUntil(state) > Date.now()) await new Promise((resolve) => setTimeout(resolve, 250))
}

const open = 1 // WebSocket.OPEN

/**
 * The last message of each socket whose pull of a held store waits, with what came behind it. LiveStore sends a client what is
 * pushed as soon as it asked for pages, also before them; a client of 0.4.0 that gets an event twice never pulls again until it
 * is restarted. So nobody loads a store while it is filled.
 */
const waiting = new WeakMap<Socket, Promise<unknown>>()

const asksForPages = (message: unknown): boolean => typeof message === 'string' && message.includes('"SyncWsRpc.Pull"')

/** LiveStore's makeDurableObject, whose object tells who pulls and pushes and can be asked by the admin route. */
export const makeDurableObject: typeof sync.makeDurableObject = (options?: Options) => {
  const Base = sync.makeDurableObject({
    ...options,
    onPull: watched('pull', options?.onPull),
    onPush: watched('push', options?.onPush),
  }) as unknown as new (state: any, env: any) => any
  const class_ = class extends Base {
    readonly #called: () => Nameless

    constructor(state: State, env: unknown) {
      super(state, env)
      const { fetch, webSocketMessage } = this
      let storeId: string | undefined
      const here = (id: unknown) => {
        if (typeof id !== 'string') return
        storeId ??= id
        if (objects.get(storeId)?.deref() === state) return
        if (objects.size > most.sampled) objects.clear() // those that live come back with their next message
        objects.set(storeId, new WeakRef(state))
      }
      subscriptions.set(state, subscriptionsOf(this))
      // LiveStore's objects have their store's id for a name.
      const spaces = Object.values((env ?? {}) as Record<string, any>).filter((binding) => typeof binding?.idFromName === 'function')
      const object: Nameless = { here, isOf: (id) => spaces.some((space) => String(space.idFromName(id)) === String(state.id)) }
      const ref = new WeakRef(object)
      this.#called = () => {
        if (storeId !== undefined) here(storeId)
        else if (nameless.size < most.sampled) nameless.add(ref)
        return object // which lives as long as this
      }
      this.fetch = (request: { readonly url: string }) => {
        here(new URL(request.url).searchParams.get('storeId'))
        return fetch.call(this, request)
      }
      // After it slept, the object is woken by a message.
      if (webSocketMessage !== undefined) {
        const arrive = (socket: Socket, message: unknown) => webSocketMessage.call(this, socket, message)
        this.webSocketMessage = (socket: Socket, message: unknown) => {
          const { storeId: id, payload } = attachmentOf(socket)
          here(storeId ?? id)
          const before = waiting.get(socket)
          if (before === undefined && !(asksForPages(message) && heldUntil(state) > Date.now() && !whoIs(payload).tool)) return arrive(socket, message)
          const next = () => (socket.readyState === open ? arrive(socket, message) : undefined)
          const turn: Promise<unknown> = (before ?? released(state)).then(next, next)
          const done = () => waiting.get(socket) === turn && waiting.delete(socket)
          waiting.set(socket, turn)
          turn.then(done, done)
          return turn
        }
      }
    }

    /** LiveStore's transport from one Durable Object to another. */
    rpc(call: Uint8Array) {
      this.#called()
      return super['rpc'](call)
    }

    headgateInfo(storeId: string) {
      return infoOf(this['ctx'], storeId)
    }

    headgateExport(storeId: string, after: number, limit: number) {
      const info = infoOf(this['ctx'], storeId)
      if (!info.exists || options?.storage?._tag === 'd1') return { ...info, events: [] }
      const { sql } = (this['ctx'] as State).storage
      const events: unknown[] = []
      let length = 0
      for (const { args, ...event } of sql.exec(`SELECT * FROM "${eventTable(storeId)}" WHERE seqNum > ? ORDER BY seqNum LIMIT ?`, after, limit)) {
        length += String(args).length
        if (events.length > 0 && length > most.exported) break
        events.push({ ...event, args: args === null ? null : JSON.parse(args) })
      }
      return { ...info, events }
    }

    /** Has clients' pushes wait for that many seconds from now on; 0 lets them in again. What is no store stays none. */
    headgateHold(storeId: string, seconds: number) {
      const state = this['ctx'] as State
      const info = infoOf(state, storeId)
      if (!info.exists && info.heldUntil === 0) return info
      hold(state, seconds === 0 ? 0 : Date.now() + seconds * 1000)
      return infoOf(state, storeId)
    }

    /**
     * Forgets the store, if it still is the one that the caller looked at: nothing is left of its events. Then it ends the object,
     * which keeps the head and the backend id in memory, with its sockets; so the call of a reset that was done always fails.
     */
    async headgateReset(storeId: string, backendId: string, head: number, seconds: number) {
      const state = this['ctx'] as State
      const info = infoOf(state, storeId)
      if (options?.storage?._tag === 'd1') return { done: false, why: 'the events lie in D1, which this object does not own', info }
      if (!info.exists || info.backendId !== backendId || info.head !== head) return { done: false, why: 'the store is not what it was', info }
      await state.storage.deleteAll()
      if (seconds > 0) hold(state, Date.now() + seconds * 1000)
      await state.storage.sync()
      state.abort('headgate: the store was reset')
      return { done: true, info }
    }
  }
  return class_ as never
}

const eventTable = (storeId: string) => `eventlog_7_${storeId.replace(/[^a-zA-Z0-9]/g, '_')}`

const infoOf = (state: State, storeId: string) => {
  const { sql } = state.storage
  const there = sql.exec(`SELECT 1 FROM sqlite_master WHERE name = 'context_7'`).toArray().length > 0
  const row = there ? sql.exec('SELECT currentHead, backendId FROM context_7 WHERE storeId = ?', storeId).toArray()[0] : undefined
  return {
    storeId,
    exists: row !== undefined,
    head: Number(row?.currentHead ?? 0),
    backendId: String(row?.backendId ?? ''),
    sockets: state.getWebSockets().length,
    heldUntil: heldUntil(state),
  }
}

// ---- the admin route

const sha256 = async (text: string) => new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))

/** In a time that tells nothing about where two texts differ. */
const same = async (a: string, b: string): Promise<boolean> => {
  const [x, y] = [await sha256(a), await sha256(b)]
  let differ = 0
  for (let i = 0; i < x.length; i++) differ |= x[i]! ^ y[i]!
  return differ === 0
}

const mayHold = (seconds: unknown) => Number.isSafeInteger(seconds) && (seconds as number) >= 0 && (seconds as number) <= 3600

/**
 * `GET /headgate/about`, which says that the backend is wrapped, and `POST /headgate/admin/info|hold|export|reset`, which is there
 * only with a HEADGATE_ADMIN_TOKEN. Undefined for other requests. A Worker with a fetch of its own asks it first; makeWorker above does.
 */
export const handleAdminRequest = async ({ request, env, syncBackendBinding }: { request: any; env: any; syncBackendBinding: PropertyKey }): Promise<Response | undefined> => {
  const path = new URL(request.url).pathname
  if (path === '/headgate/about') {
    return Response.json({ wrapped: true, livestore: '0.4.0', reports: reports(), admin: setting('HEADGATE_ADMIN_TOKEN').length >= 16, brokenFloors: brokenFloors() })
  }
  const secret = setting('HEADGATE_ADMIN_TOKEN')
  if (!path.startsWith('/headgate/admin/') || secret.length < 16) return undefined
  const say = (status: number, body: unknown) => Response.json(body, { status, headers: { 'cache-control': 'no-store' } })
  const [, token = ''] = /^Bearer (.+)$/.exec(request.headers.get('authorization') ?? '') ?? []
  if (!(await same(token, secret))) return say(401, { error: 'the admin token is missing or wrong' })
  if (request.method !== 'POST') return say(405, { error: 'use POST' })
  if (Number(request.headers.get('content-length') ?? 0) > 4096) return say(413, { error: 'the body is too long' })
  let body: any
  try {
    body = JSON.parse(await request.text())
  } catch {
    return say(400, { error: 'the body is not JSON' })
  }
  const storeId = body?.storeId
  if (typeof storeId !== 'string' || !/^[\w-]{1,256}$/.test(storeId)) return say(400, { error: 'storeId is missing or is none' })
  const namespace = env[syncBackendBinding]
  const object = namespace.get(namespace.idFromName(storeId))
  switch (path) {
    case '/headgate/admin/info':
      return say(200, await object.headgateInfo(storeId))
    case '/headgate/admin/export': {
      const { after = 0, limit = 1000 } = body
      const whole = Number.isSafeInteger(after) && after >= 0 && Number.isSafeInteger(limit) && limit >= 1 && limit <= 1000
      return whole ? say(200, await object.headgateExport(storeId, after, limit)) : say(400, { error: 'after is 0 or more, limit is 1 to 1000' })
    }
    case '/headgate/admin/hold':
      return mayHold(body.seconds) ? say(200, await object.headgateHold(storeId, body.seconds)) : say(400, { error: 'seconds is 0 to 3600' })
    case '/headgate/admin/reset': {
      const { backendId, head, hold: seconds = 0 } = body
      if (typeof backendId !== 'string' || !Number.isSafeInteger(head)) return say(400, { error: 'a reset names the backendId and the head that info gave' })
      if (!mayHold(seconds)) return say(400, { error: 'hold is 0 to 3600 seconds' })
      const result = await object.headgateReset(storeId, backendId, head, seconds).catch(() => undefined)
      if (result !== undefined) return say(409, result)
      const info = await namespace.get(namespace.idFromName(storeId)).headgateInfo(storeId)
      const done = info.backendId !== backendId
      return say(done ? 200 : 500, { done, info })
    }
  }
  return say(404, { error: 'no such operation' })
}
