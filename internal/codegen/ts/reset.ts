
// A remote reset: the flag store.reset is the store's generation. When it is one above the last that this client acted on,
// the client sends what it has not sent, hands what it can't send to the app, and loads the store from the backend anew.

/** The flag's value, and the store of the evaluation context that it was asked in: a value for another store counts for nothing. */
export type HeadgateResetFlag = { readonly storeId: string; readonly generation: number }

/** Keeps a short text beside the store, where a reset does not remove it. */
export type HeadgateMarks = {
  readonly read: () => string | null | undefined | Promise<string | null | undefined>
  readonly write: (text: string) => void | Promise<void>
}

/**
 * What could not be sent, as plain JSON. The app keeps it until `recommitExported` has nothing left of it. A later export of
 * the same generation takes the earlier one's place, also when it is empty: then all was sent after all.
 */
export type HeadgateExport = {
  readonly version: 1
  readonly storeId: string
  readonly generation: number
  readonly clientId: string
  /** The number up to which the backend had confirmed the client's log. */
  readonly confirmed: number
  readonly events: ReadonlyArray<ExportedEvent>
  /** Only where the store did not open any more: its log, SQLite files in base64. The events in it are for people to look at. */
  readonly files?: { readonly [name: string]: string }
}

export type ExportedEvent = { readonly name: string; readonly args: unknown; readonly sessionId: string; readonly seqNum: number }

/** What came of a generation that this client had not acted on. */
export type HeadgateResetReport = {
  readonly storeId: string
  readonly generation: number
  /** waiting: a later start tries again. refused: this generation is not acted on. */
  readonly outcome: 'reset' | 'waiting' | 'refused'
  readonly exported: number
  readonly why?: string
  readonly cause?: unknown
}

export type HeadgateResetOptions = {
  /** The same object as the adapter's. */
  readonly storage: HeadgateStorage
  /** Undefined where the flags are not known: nothing happens. */
  readonly flag: HeadgateResetFlag | undefined
  /** Takes what could not be sent, and resolves when it is kept. Without it such a client waits. */
  readonly onExport?: ((exported: HeadgateExport) => void | Promise<void>) | undefined
  /** The most milliseconds that a start waits until all is sent: 10,000 unless given. */
  readonly timeLimit?: number | undefined
  /**
   * Of a client that can't reach the backend: wait, unless given, leaves it alone until a later start. export hands its
   * events over and resets it all the same: its store is then empty until it is online.
   */
  readonly whenOffline?: 'wait' | 'export' | undefined
  /** localStorage where the storage is OPFS, a file beside the store's directory where it is files; another one needs it. */
  readonly marks?: HeadgateMarks | undefined
  readonly report?: ((report: HeadgateResetReport) => void) | undefined
}

/**
 * Makes the app's adapter, with LiveStore's option `resetPersistence` for a start that resets:
 *
 *     const adapter = withReset((reset) => makePersistedAdapter({ ...reset, storage, … }), {
 *       storage,
 *       flag: { storeId: context.storeId, generation: flags.getNumberValue('store.reset', 0) },
 *       onExport: (exported) => saveSomewhere(exported),
 *     })
 *
 * A start that has nothing to do costs nothing. One that resets opens the store twice: first to send what is pending, then
 * anew. Cut short at any moment, the next start goes on, and never removes what was not sent or handed over.
 */
export const withReset =
  (adapterFor: (reset: { readonly resetPersistence: boolean }) => Adapter, options: HeadgateResetOptions): Adapter =>
  (args) =>
    Effect.gen(function* () {
      const open = adapterFor({ resetPersistence: false })
      const { storage, flag } = options
      if (storage.type === 'in-memory') return yield* open(args)
      if (flag === undefined || flag.generation === 0) {
        yield* holdStore(storage, args.storeId, 'shared')
        return yield* open(args)
      }
      const client = resettingClient(args, options, flag)
      const due = yield* client.isDue
      const release = due ? yield* holdStore(storage, args.storeId, 'exclusive') : undefined
      if (release !== undefined) {
        const session = (yield* client.isDue) ? yield* resetStore(client, open, adapterFor) : yield* open(args)
        yield* release
        yield* holdStore(storage, args.storeId, 'shared')
        return session
      }
      yield* holdStore(storage, args.storeId, 'shared') // waits for a tab that resets
      if (due && (yield* client.isDue)) client.report('waiting', { why: 'another tab has the store open' })
      return yield* open(args)
    })

/** The last generation that the client acted on, and the one of which it handed events over. */
type ResetMark = { readonly done: number; readonly exported?: number }

type ResettingClient = ReturnType<typeof resettingClient>

const resettingClient = (args: AdapterArgs, options: HeadgateResetOptions, { storeId, generation }: HeadgateResetFlag) => {
  const { storage } = options
  const marks = options.marks ?? defaultMarks(storage, args.storeId)
  const readMark = Effect.tryPromise(async (): Promise<ResetMark | undefined> => {
    const text = await marks.read()
    return typeof text === 'string' && text !== '' ? (JSON.parse(text) as ResetMark) : undefined
  })
  const write = (mark: ResetMark) => Effect.tryPromise(async () => marks.write(JSON.stringify(mark)))
  const report = (outcome: HeadgateResetReport['outcome'], more: Partial<HeadgateResetReport> = {}): void =>
    (options.report ?? warnOfReset)({ storeId: args.storeId, generation, outcome, exported: 0, ...more })
  const refuse = (why: string): false => {
    report('refused', { why })
    return false
  }
  const follows = (done: number): boolean => {
    if (generation < done) return refuse(`this client is at generation ${done}`)
    if (generation > done + 1) return refuse(`this client is at generation ${done}, and none may be left out`)
    return generation > done
  }
  const isDue = Effect.gen(function* () {
    if (storeId !== args.storeId) return refuse(`the flag is for the store '${storeId}'`)
    if (!Number.isSafeInteger(generation) || generation < 0) return refuse('it is no generation')
    const mark = yield* readMark
    if (mark !== undefined) return follows(mark.done)
    const has = yield* Effect.tryPromise(() => hasLog(storage, args.storeId))
    if (has === false) yield* write({ done: generation }) // a new client has nothing to reset
    return has === undefined || (has && follows(0))
  }).pipe(
    Effect.catchAll((cause) => {
      report('refused', { why: 'the mark of the last generation can\'t be read or written', cause })
      return Effect.succeed(false)
    }),
  )
  return { args, options, generation, readMark, write, report, follows, isDue }
}

/** Opens the store to send what is pending, and then anew. What it can't do safely it leaves: the store opens as it is. */
const resetStore = (client: ResettingClient, open: Adapter, adapterFor: Parameters<typeof withReset>[0]) =>
  Effect.gen(function* () {
    const { args, generation, write, report } = client
    const { storage, onExport, timeLimit = 10_000, whenOffline = 'wait' } = client.options
    const mark = yield* Effect.orElseSucceed(client.readMark, () => undefined)
    const done = mark?.done ?? 0
    let first = yield* tryOpen(open, args)
    if (first._tag === 'Failure') {
      yield* Effect.promise(() => removeState(storage, args.storeId, args.schema.state.sqlite.hash).catch(() => undefined))
      first = yield* tryOpen(open, args) // from its log alone
    }
    let exported: HeadgateExport = { version: 1, storeId: args.storeId, generation, clientId: '', confirmed: 0, events: [] }
    if (first._tag === 'Success') {
      const { session, keep } = first.value
      const stay = (why?: string) => {
        if (why !== undefined) report('waiting', { why })
        return Effect.as(keep, session)
      }
      const isNew = mark === undefined && session.leaderThread.initialState.leaderHead.global === 0
      if (isNew) yield* Effect.ignore(write({ done: generation }))
      if (isNew || (mark === undefined && !client.follows(0))) return yield* stay()
      if (!(yield* comesToLead(session))) return yield* stay('another tab leads this store')
      const sent = yield* sendPending(args, session, timeLimit)
      if (!sent.connected && whenOffline === 'wait') return yield* stay("the backend can't be reached")
      if (sent.unsent.length > 0 && onExport === undefined) return yield* stay(`${sent.unsent.length} events can't be sent, and nobody takes them (onExport)`)
      const events = sent.unsent.map(({ name, args, sessionId, seqNum }) => ({ name, args: args as unknown, sessionId, seqNum: seqNum.global }))
      exported = { ...exported, clientId: session.clientId, confirmed: sent.confirmed, events }
    } else {
      const files = yield* Effect.promise(() => readLogFiles(storage, args.storeId).catch(() => undefined))
      exported = { ...exported, ...(files === undefined ? {} : { files }) }
      if (files === undefined || onExport === undefined) {
        report('waiting', { why: 'the store does not open, and nobody takes its log (onExport)', cause: first.cause })
        return yield* Effect.failCause(first.cause)
      }
    }
    // An export that was handed over before a crash may have been sent since: an empty one takes its place.
    const handsOver = exported.events.length > 0 || exported.files !== undefined || mark?.exported === generation
    const kept = yield* Effect.either(
      Effect.andThen(
        write(handsOver ? { done, exported: generation } : { done }),
        handsOver ? Effect.tryPromise(async () => onExport?.(exported)) : Effect.void,
      ),
    )
    if (kept._tag === 'Left') {
      report('waiting', { why: "what can't be sent was not kept", cause: kept.left })
      if (first._tag === 'Failure') return yield* Effect.failCause(first.cause)
      return yield* Effect.as(first.value.keep, first.value.session)
    }
    if (first._tag === 'Success') yield* first.value.close
    const second = yield* tryOpen(adapterFor({ resetPersistence: true }), args)
    if (second._tag === 'Failure') return yield* Effect.failCause(second.cause)
    const marked = yield* Effect.either(write({ done: generation }))
    yield* second.value.keep
    report('reset', { exported: exported.events.length, ...(marked._tag === 'Left' ? { cause: marked.left } : {}) })
    return second.value.session
  })

/** Opens the adapter; until it is kept, what ends it does not end the store. */
const tryOpen = (adapter: Adapter, args: AdapterArgs) =>
  Effect.gen(function* () {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
    let kept = false
    const shutdown: AdapterArgs['shutdown'] = (exit) => (kept ? args.shutdown(exit) : Effect.void)
    const opened = yield* Effect.exit(openForCheck(adapter, { ...args, shutdown }).pipe(Scope.extend(scope)))
    if (Exit.isFailure(opened)) yield* Scope.close(scope, opened)
    return Exit.map(opened, ({ session, keep, close }) => ({
      session,
      keep: Effect.suspend(() => {
        kept = true
        return keep
      }),
      close: Effect.andThen(close, Scope.close(scope, Exit.void)),
    }))
  })

/** A page that was reloaded leads once the page before it is gone. */
const comesToLead = (session: ClientSession) =>
  Effect.gen(function* () {
    for (let tries = 0; tries < 40; tries++) {
      if ((yield* session.lockStatus.get) === 'has-lock') return true
      yield* Effect.sleep('50 millis')
    }
    return false
  })

/** Waits until the backend has confirmed all. Client-only events are not for it. */
const sendPending = (args: AdapterArgs, session: ClientSession, timeLimit: number) =>
  Effect.gen(function* () {
    const isLocal = (name: string) => args.schema.eventsDefsMap.get(name)?.options.clientOnly === true
    for (const end = Date.now() + timeLimit; ; ) {
      const state = yield* session.leaderThread.syncState.get
      const unsent = state.pending.filter(({ name }) => !isLocal(name))
      const { isConnected } = yield* session.leaderThread.networkStatus.get
      const sent = { unsent, connected: isConnected, confirmed: state.upstreamHead.global }
      if ((isConnected && unsent.length === 0) || Date.now() >= end) return sent
      yield* Effect.sleep('50 millis')
    }
  })

const warnOfReset = ({ storeId, generation, outcome, exported, why, cause }: HeadgateResetReport): void =>
  host.console.warn(
    `headgate: reset ${generation} of store '${storeId}': ${outcome}${exported > 0 ? `, ${exported} events handed over` : ''}${why === undefined ? '' : `: ${why}`}`,
    ...(cause === undefined ? [] : [cause]),
  )

const browser = globalThis as unknown as {
  readonly localStorage: { readonly getItem: (key: string) => string | null; readonly setItem: (key: string, text: string) => void }
  readonly btoa: (binary: string) => string
  readonly navigator?: {
    readonly locks?: { readonly request: (name: string, options: object, run: (lock: unknown) => Promise<void> | undefined) => Promise<unknown> }
  }
}

/**
 * Each tab holds the store as long as it has it open; one that resets it, alone. Undefined where that can't be had. Other
 * adapters than the web's have one client per store.
 */
const holdStore = (storage: HeadgateStorage, storeId: string, mode: 'shared' | 'exclusive'): Effect.Effect<Effect.Effect<void> | undefined, never, Scope.Scope> => {
  const locks = storage.type === 'opfs' ? browser.navigator?.locks : undefined
  if (locks === undefined) return Effect.succeed(Effect.void)
  const ask = () =>
    new Promise<(() => void) | undefined>((resolve) => {
      const held = locks.request(`headgate-store-${storeId}`, { mode, ifAvailable: mode === 'exclusive' }, (lock) => {
        if (lock !== null) return new Promise<void>((release) => resolve(release))
        resolve(undefined)
        return undefined
      })
      held.catch(() => resolve(() => undefined)) // a page that may have no locks
    })
  const hold = async () => {
    for (let tries = 0; ; tries++) {
      const release = await ask()
      if (release !== undefined || tries === 20) return release
      await pause(50) // a page that was reloaded lets go a little later
    }
  }
  return Effect.acquireRelease(Effect.promise(hold), (release) => Effect.sync(() => release?.())).pipe(
    Effect.map((release) => (release === undefined ? undefined : Effect.sync(release))),
  )
}

const defaultMarks = (storage: HeadgateStorage, storeId: string): HeadgateMarks => {
  if (storage.type === 'opfs') {
    const key = `headgate:reset:${storeId}`
    return { read: () => browser.localStorage.getItem(key), write: (text) => browser.localStorage.setItem(key, text) }
  }
  if (storage.type !== 'fs') throw new Error("headgate: withReset has no place for its marks with this storage: give it the option 'marks'")
  const fs = host.process.getBuiltinModule('node:fs')
  const file = `${storeDirectory(storage, storeId)}.headgate-reset.json`
  return {
    read: () => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : undefined),
    write: (text) => {
      fs.mkdirSync(host.process.getBuiltinModule('node:path').dirname(file), { recursive: true })
      fs.writeFileSync(`${file}.new`, text, { flush: true })
      fs.renameSync(`${file}.new`, file)
    },
  }
}

const storeDirectory = (storage: { readonly baseDirectory?: string | undefined }, storeId: string): string =>
  host.process.getBuiltinModule('node:path').join(storage.baseDirectory ?? '', storeId)

const logFileNames = (name: string) => [name, `${name}-journal`]

/** Whether the client ever opened the store; undefined where that can't be known. */
const hasLog = async (storage: HeadgateStorage, storeId: string): Promise<boolean | undefined> => {
  if (storage.type === 'fs') return host.process.getBuiltinModule('node:fs').existsSync(`${storeDirectory(storage, storeId)}/eventlog@__STORAGE_FORMAT__.db`)
  if (storage.type === 'opfs') return (await openPool(storage, storeId)) !== undefined
  return undefined
}

const openPool = async (storage: { readonly directory?: string | undefined }, storeId: string): Promise<any> => {
  const given = storage.directory ?? ''
  const directory = given === '' || given === '/' ? `livestore-${storeId}` : given
  const root = await host.navigator.storage.getDirectory()
  return root.getDirectoryHandle(`${directory}@__STORAGE_FORMAT__`).catch(() => undefined)
}

/** The log's files as they are, for a client that can't open them. Undefined where they can't be read from here. */
const readLogFiles = async (storage: HeadgateStorage, storeId: string): Promise<Record<string, string> | undefined> => {
  const files: Record<string, string> = {}
  if (storage.type === 'fs') {
    const fs = host.process.getBuiltinModule('node:fs')
    for (const name of logFileNames('eventlog@__STORAGE_FORMAT__.db')) {
      const file = `${storeDirectory(storage, storeId)}/${name}`
      if (fs.existsSync(file)) files[name] = base64(fs.readFileSync(file))
    }
    return files
  }
  const pool = storage.type === 'opfs' ? await openPool(storage, storeId) : undefined
  if (pool === undefined) return undefined
  for await (const handle of pool.values()) {
    if (handle.kind !== 'file') continue
    const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer())
    const name = (String.fromCharCode(...bytes.subarray(0, 512)).split('\0')[0] ?? '').slice(1)
    if (logFileNames('eventlog.db').includes(name)) files[name] = base64(bytes.subarray(4096)) // behind the pool's own header
  }
  return files
}

const base64 = (bytes: Uint8Array): string => {
  const parts: string[] = []
  for (let at = 0; at < bytes.length; at += 0x8000) parts.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)))
  return browser.btoa(parts.join(''))
}

/** What came of events that were handed over. */
export type Recommitted = {
  /** Events that this call committed, and events that the log had already: some had been sent after all, or by an earlier call. */
  readonly committed: number
  readonly already: number
  /** Events that are not in the log yet; when there are none, the app may forget the export. */
  readonly left: ReadonlyArray<ExportedEvent & { readonly why: string }>
}

/**
 * Commits what a reset handed over, once each, in its order. It waits until the store knows what the backend has, for at most
 * timeLimit milliseconds (10,000 unless given); where it does not get there, all is left for a later call.
 */
export const recommitExported = async (
  store: Store<any, any>,
  exported: HeadgateExport,
  { timeLimit = 10_000 }: { readonly timeLimit?: number | undefined } = {},
): Promise<Recommitted> => {
  if (exported.storeId !== store.storeId) throw new Error(`headgate: these events are of the store '${exported.storeId}', not of '${store.storeId}'`)
  const leave = (why: string) => ({ committed: 0, already: 0, left: exported.events.map((event) => ({ ...event, why })) })
  if (exported.events.length === 0) return leave('')
  const head = await settledHead(store, exported.confirmed, timeLimit)
  if (head === undefined) return leave('the store does not know yet what the backend has')

  const left: Array<ExportedEvent & { readonly why: string }> = []
  const wanted: Array<{ readonly key: string; readonly event: { readonly name: string; readonly args: unknown } }> = []
  for (const event of exported.events) {
    const schema = store.schema.eventsDefsMap.get(event.name)?.schema
    const decoded = schema === undefined ? undefined : Schema.decodeUnknownEither(schema)(event.args)
    if (schema === undefined) left.push({ ...event, why: `this build does not define ${event.name}` })
    else if (decoded?._tag === 'Left') left.push({ ...event, why: String(decoded.left) })
    else if (decoded !== undefined) wanted.push({ key: eventKey(store, event.name, decoded.right), event: { name: event.name, args: decoded.right } })
  }
  const there = await ownEvents(store, exported, new Set(wanted.map(({ event }) => event.name)), head)
  const missing = wanted.filter(({ key }) => {
    const n = there.get(key) ?? 0
    there.set(key, n - 1)
    return n <= 0
  })
  if (missing.length > 0) store.commit(...(missing.map(({ event }) => event) as never[]))
  for (const end = Date.now() + timeLimit; !store.syncStatus().isSynced && Date.now() < end; ) await pause(20) // until the log has them
  return { committed: missing.length, already: wanted.length - missing.length, left }
}

const pause = (ms: number) => new Promise<void>((resolve) => host.setTimeout(resolve, ms))

/** The confirmed head, once it has come to what it was before the reset and stands still for a second. */
const settledHead = async (store: Store<any, any>, confirmed: number, timeLimit: number): Promise<number | undefined> => {
  let head = -1
  let since = Date.now()
  for (const end = Date.now() + timeLimit; Date.now() < end; await pause(50)) {
    const { leader, session } = await store._dev.syncStates()
    const { isConnected } = await Effect.runPromise(store.networkStatus.get)
    const now = leader.upstreamHead.global
    if (now !== head || !isConnected || session.localHead.global < now) {
      head = now
      since = Date.now()
    }
    if (head >= confirmed && Date.now() - since >= 1000) return head
  }
  return undefined
}

const eventKey = (store: Store<any, any>, name: string, args: unknown): string => {
  const encoded = Schema.encodeUnknownSync(store.schema.eventsDefsMap.get(name)!.schema)(args)
  const sorted = (_: string, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value
  return `${name} ${JSON.stringify(encoded, sorted)}`
}

/** How often this client wrote which event after what had been confirmed before the reset. */
const ownEvents = async (store: Store<any, any>, { clientId, confirmed }: HeadgateExport, names: ReadonlySet<string>, head: number): Promise<Map<string, number>> => {
  const found = new Map<string, number>()
  const add = (name: string, args: unknown) => {
    const key = eventKey(store, name, args)
    found.set(key, (found.get(key) ?? 0) + 1)
  }
  const at = (global: number) => composite({ global, client: 0 })
  if (head > confirmed) {
    const sent = store.events({ since: at(confirmed), until: at(head), clientIds: [clientId], filter: [...names] })
    for await (const event of sent) add(event.name, event.args)
  }
  const { leader, session } = await store._dev.syncStates()
  const unsent = new Map([...leader.pending, ...session.pending].map((event) => [showHead(event.seqNum), event]))
  for (const { name, args, clientId: writer } of unsent.values()) {
    if (writer === clientId && names.has(name)) add(name, Schema.decodeUnknownSync(store.schema.eventsDefsMap.get(name)!.schema)(args))
  }
  return found
}
