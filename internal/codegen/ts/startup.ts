
/** Where the adapter keeps its files: give `withStartupCheck` the same object as the adapter. */
export type HeadgateStorage =
  | { readonly type: 'in-memory' }
  | { readonly type: 'fs'; readonly baseDirectory?: string | undefined }
  | { readonly type: 'opfs'; readonly directory?: string | undefined }
  /** Another adapter (Expo, a Durable Object): a state that is behind is reported, and not rebuilt. */
  | { readonly type: 'other' }

/** What the start-up check found: only called when the state was behind the log. */
export type HeadgateReport = {
  readonly storeId: string
  /** The last event that the state holds, and the last one of the log, as LiveStore writes them: e12, e12.1. */
  readonly stateHead: string
  readonly logHead: string
  /** rebuilt: the state was made anew from the log. left: it could not be; the next start tries again. */
  readonly outcome: 'rebuilt' | 'left'
  readonly cause?: unknown
}

/**
 * Goes around the app's adapter:
 *
 *     const storage = { type: 'opfs' } as const
 *     const adapter = withStartupCheck(makePersistedAdapter({ ...headgateWebAdapterOptions, storage, … }), storage)
 *
 * LiveStore takes any state that has its system tables for a whole one. If a rebuild was cut short, by a version of
 * the app that had no headgate, rows are missing for good, and on the web what the app commits then is lost. This
 * compares the state with the log before the app gets the store. When the state lacks events at its end, the store is
 * closed again, the state file (never the log) is removed, and the store is opened anew, which replays the log.
 * A healthy start costs one question to the leader.
 */
export const withStartupCheck =
  (adapter: Adapter, storage: HeadgateStorage, report: (found: HeadgateReport) => void = warn): Adapter =>
  (args) =>
    Effect.gen(function* () {
      const first = yield* openForCheck(adapter, args)
      const found = yield* compareStateWithLog(args, first.session)
      if (found.missing === 'nothing') {
        yield* first.keep
        return found.session
      }
      const heads = { storeId: args.storeId, stateHead: showHead(found.stateHead), logHead: showHead(found.logHead) }
      const leads = (yield* first.session.lockStatus.get) === 'has-lock'
      if (!leads || storage.type === 'in-memory' || storage.type === 'other') {
        const cause = leads ? `storage '${storage.type}' can't be rebuilt from here` : 'another tab leads this store'
        report({ ...heads, outcome: 'left', cause })
        yield* first.keep
        return found.session
      }
      yield* first.close
      const removed = yield* Effect.either(
        Effect.tryPromise(() => removeState(storage, args.storeId, args.schema.state.sqlite.hash)),
      )
      const second = yield* openForCheck(adapter, args)
      const after = yield* compareStateWithLog(args, second.session)
      yield* second.keep
      const healed = removed._tag === 'Right' && after.missing === 'nothing'
      report(healed ? { ...heads, outcome: 'rebuilt' } : { ...heads, outcome: 'left', cause: removed })
      return after.session
    })

/** What is used of the platform, so that the app's own lib and types settings don't matter. */
const host = globalThis as unknown as {
  readonly console: { readonly warn: (...args: unknown[]) => void }
  readonly setTimeout: (run: () => void, ms: number) => unknown
  readonly navigator: { readonly storage: { readonly getDirectory: () => Promise<any> } }
  readonly process: { readonly getBuiltinModule: (name: string) => any }
}

const warn = (found: HeadgateReport): void =>
  host.console.warn(
    `headgate: the state of store '${found.storeId}' ended at ${found.stateHead}, its event log at ${found.logHead}: ` +
      (found.outcome === 'rebuilt' ? 'rebuilt from the log.' : 'not rebuilt, rows are missing.'),
    ...(found.cause === undefined ? [] : [found.cause]),
  )

type AdapterArgs = Parameters<Adapter>[0]
type BootStatus = AdapterArgs['bootStatusQueue'] extends Queue.Dequeue<infer T> ? T : never
type Head = { readonly global: number; readonly client: number }

const showHead = (head: Head): string => `e${head.global}${head.client === 0 ? '' : `.${head.client}`}`
const isAfter = (a: Head, b: Head): boolean => a.global > b.global || (a.global === b.global && a.client > b.client)

/** Opens the adapter in a scope of its own, so that it can be closed again without closing the app's store. */
const openForCheck = (adapter: Adapter, args: AdapterArgs) =>
  Effect.gen(function* () {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
    const kept = yield* Deferred.make<void>()
    let closing = false
    // LiveStore closes the queue when it reads "done", so that has to wait until this opening counts.
    const bootStatusQueue = yield* Effect.acquireRelease(
      Queue.unbounded<BootStatus>(),
      Queue.shutdown,
    )
    yield* Queue.take(bootStatusQueue).pipe(
      Effect.tap((status) => (status.stage === 'done' ? Deferred.await(kept) : Effect.void)),
      Effect.flatMap((status) => Queue.offer(args.bootStatusQueue, status)),
      Effect.forever,
      Effect.forkIn(scope),
    )
    const session = yield* adapter({
      ...args,
      bootStatusQueue,
      shutdown: (exit) => (closing ? Effect.void : args.shutdown(exit)),
    }).pipe(Scope.extend(scope))
    return {
      session,
      keep: Deferred.succeed(kept, undefined),
      close: Effect.suspend(() => {
        closing = true
        return Scope.close(scope, Exit.void)
      }),
    }
  })

/** Whether events of the log are missing at the end of the state that the session was given. */
const compareStateWithLog = (args: AdapterArgs, session: ClientSession) =>
  Effect.gen(function* () {
    const { leaderThread, sqliteDb } = session
    const row = sqliteDb.select<Head>(
      'SELECT seqNumGlobal AS global, seqNumClient AS client FROM __livestore_session_changeset ORDER BY seqNumGlobal DESC, seqNumClient DESC LIMIT 1',
    )[0]
    const stateHead = row ?? { global: 0, client: 0 }
    const leader = yield* leaderThread.syncState.get
    const whole = { missing: 'nothing' as const, session }
    // Node reads its first head from the log, the web from the state.
    const stated = leaderThread.initialState.leaderHead
    let logHead = isAfter(stated, stateHead) ? stated : leader.localHead
    if (!isAfter(logHead, stateHead)) return whole

    const isKnown = (name: string) => args.schema.eventsDefsMap.has(name) && args.schema.state.materializers.has(name)
    const findKnown = (until: Head) =>
      Effect.gen(function* () {
        const isMissing = (event: { readonly name: string; readonly seqNum: Head }) =>
          isKnown(event.name) && isAfter(event.seqNum, stateHead) && !isAfter(event.seqNum, until)
        if (leader.pending.some(isMissing)) return true
        const end = Math.min(until.global, leader.upstreamHead.global)
        if (end <= stateHead.global) return false
        const found = yield* leaderThread.events
          .stream({ since: composite(stateHead), until: composite({ global: end, client: 0 }) })
          .pipe(Stream.filter(isMissing), Stream.runHead)
        return Option.isSome(found)
      })

    // LiveStore trims the rows that tell the state's head, down to none when the last pulled event is unknown to this
    // release. A state that holds nothing else either was cut short before its first event.
    const startAtLog = () => withHead(session, logHead)
    if (row === undefined && holdsRows(args, session)) return { missing: 'nothing' as const, session: startAtLog() }

    // An event that this release does not know leaves no trace in the state: nothing is missing, but a session on the
    // web would start before it, and lose what it commits.
    if (!(yield* findKnown(logHead))) return { missing: 'nothing' as const, session: startAtLog() }

    if (logHead === leader.localHead) {
      // Events that the leader took in after it booted are on their way to the session.
      const sinceBoot = yield* leaderThread.events.pull({ cursor: composite(stateHead) }).pipe(
        Stream.map(({ payload }) => payload.newEvents[0]),
        Stream.filter((event) => event !== undefined),
        Stream.runHead,
        Effect.timeoutOption('3 seconds'),
        Effect.map(Option.flatten),
      )
      if (Option.isSome(sinceBoot)) {
        const parent = sinceBoot.value.parentSeqNum
        if (!isAfter(parent, stateHead)) return whole
        logHead = parent
        if (!(yield* findKnown(logHead))) return { missing: 'nothing' as const, session: startAtLog() }
      }
    }
    return { missing: 'events' as const, session: startAtLog(), stateHead, logHead }
  })

const holdsRows = (args: AdapterArgs, session: ClientSession): boolean =>
  [...args.schema.state.sqlite.tables.keys()]
    .filter((table) => !table.startsWith('__livestore_') && !table.startsWith('headgate_epoch_'))
    .some((table) => session.sqliteDb.select(`SELECT 1 AS one FROM "${table}" LIMIT 1`).length > 0)

type Composite = ClientSession['leaderThread']['initialState']['leaderHead']
const composite = (head: Head): Composite => ({ rebaseGeneration: 0, ...head }) as Composite

const withHead = (session: ClientSession, head: Head): ClientSession => ({
  ...session,
  leaderThread: {
    ...session.leaderThread,
    initialState: { ...session.leaderThread.initialState, leaderHead: composite(head) },
  },
})

/** Removes the state's file, then its journal, which SQLite drops when the file is empty; the log is not touched. */
const removeState = async (storage: HeadgateStorage, storeId: string, hash: number): Promise<void> => {
  if (storage.type === 'fs') {
    const fs = host.process.getBuiltinModule('node:fs')
    const path = host.process.getBuiltinModule('node:path')
    const directory = path.join(storage.baseDirectory ?? '', storeId)
    const file = `state${hash}@__STORAGE_FORMAT__.db`
    for (const name of [file, `${file}-journal`]) fs.rmSync(path.join(directory, name), { force: true })
  }
  if (storage.type === 'opfs') {
    const given = storage.directory ?? ''
    const directory = given === '' || given === '/' ? `livestore-${storeId}` : given
    const root = await host.navigator.storage.getDirectory()
    const pool = await root.getDirectoryHandle(`${directory}@__STORAGE_FORMAT__`)
    const handles = new Map<string, any>()
    for await (const handle of pool.values()) {
      if (handle.kind !== 'file') continue
      const header = new Uint8Array(await (await handle.getFile()).slice(0, 512).arrayBuffer())
      handles.set(String.fromCharCode(...header).split('\0')[0] ?? '', handle)
    }
    for (const name of [`/state${hash}.db`, `/state${hash}.db-journal`]) {
      const handle = handles.get(name)
      if (handle !== undefined) await freePoolFile(handle)
    }
  }
}

/** Frees a file of LiveStore's OPFS pool: a header without a path is the pool's own mark of a free file. */
const freePoolFile = async (handle: any): Promise<void> => {
  for (let tries = 0; ; tries++) {
    try {
      const file = await handle.createWritable()
      await file.write(new Uint8Array(4096))
      await file.close()
      return
    } catch (cause) {
      // The closed session's worker holds the file until the browser has ended it.
      if (tries === 100) throw cause
      await new Promise<void>((resolve) => host.setTimeout(resolve, 50))
    }
  }
}
