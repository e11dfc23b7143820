
// Reports to headgate: which events this release did not know, which materializers threw, which stores did not open.
// They go out in small batches, never hold the app up, and are dropped, and counted, where they can't be sent.

export type HeadgateReporter = {
  /** For `unknownEventHandling: { strategy: 'callback', onUnknownEvent: ({ event }) => reporter.unknownEvent(event) }`. */
  readonly unknownEvent: (event: { readonly name: string }) => void
  /** Goes around the app's materializers: what one of them throws is reported, and thrown on. */
  readonly watchMaterializers: <T extends { readonly [event: string]: (...args: any[]) => any }>(materializers: T) => T
  /** Goes around createStorePromise: `await reporter.opening(createStorePromise({ … }))`. A rejection is reported, and stays one. */
  readonly opening: <T>(store: Promise<T>) => Promise<T>
  /**
   * The flag's value for an event's family that the app has just acted on, and `flagMetadata.version` of its evaluation:
   * how an abort is known to have arrived.
   */
  readonly flagSeen: (eventVersion: string, revision?: string | number | boolean | undefined) => void
  /** The app learned that it is below the floor. */
  readonly mustUpdate: () => void
  /** Sends what waits. It never fails; what could not be sent waits for the next time. */
  readonly flush: () => Promise<void>
  /** What waits, and what was dropped since the last batch that arrived. */
  readonly standing: () => { readonly waiting: number; readonly dropped: number }
}

export type ReporterOptions = {
  /** headgate's server, and a token of the role client. Without a url nothing is collected. */
  readonly url?: string | undefined
  readonly token?: string | undefined
  readonly identity: HeadgateIdentity
  /** Milliseconds from the first report to its batch: 5000 unless given. */
  readonly after?: number | undefined
}

type ReportItem = { readonly kind: 'started' | 'flag' | 'unknown_event' | 'materializer' | 'open_failed' | 'must_update'; readonly event: string; readonly revision?: number }

type ReportBatch = { readonly name: string; readonly items: readonly (ReportItem & { readonly count: number })[]; readonly lost: number }

export const makeReporter = ({ url, token, identity, after = 5000 }: ReporterOptions): HeadgateReporter => {
  const web = globalThis as unknown as ReportingHost
  const waiting = new Map<string, ReportItem & { count: number }>()
  let dropped = 0
  let failures = 0
  let timer: unknown
  let sending: Promise<void> | undefined
  let unanswered: ReportBatch | undefined
  // A batch has as many different reports as the server takes; the same one again only counts.
  const most = 100

  const report = (kind: ReportItem['kind'], event = '', revision?: number): void => {
    if (url === undefined || url === '') return
    const reported: ReportItem = { kind, event: event.slice(0, 200), ...(revision === undefined ? {} : { revision }) }
    const key = `${kind} ${reported.event} ${revision ?? ''}`
    const item = waiting.get(key)
    if (item !== undefined) item.count = Math.min(item.count + 1, 1_000_000)
    else if (waiting.size >= most) dropped++
    else waiting.set(key, { ...reported, count: 1 })
    arm(after)
  }

  const arm = (ms: number): void => {
    if (timer !== undefined) return
    timer = web.setTimeout(() => {
      timer = undefined
      void flush()
    }, ms)
    ;(timer as { readonly unref?: () => void }).unref?.() // a report does not keep a program running
  }

  const flush = (): Promise<void> => (sending ??= send().finally(() => (sending = undefined)))

  // A batch without an answer goes out again as it is, by its name: it may have arrived.
  const send = async (): Promise<void> => {
    while (waiting.size > 0 || unanswered !== undefined) {
      const batch = (unanswered ??= nextBatch())
      const status = await post(batch)
      const arrived = status >= 200 && status < 300
      if (!arrived && ![400, 413, 422].includes(status)) {
        failures++
        return arm(Math.min(300_000, after * 2 ** failures))
      }
      if (arrived) failures = 0
      else dropped += batch.lost + batch.items.reduce((sum, { count }) => sum + count, 0) // it would be refused again
      unanswered = undefined
    }
  }

  const nextBatch = (): ReportBatch => {
    const batch = { name: `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`, items: [...waiting.values()], lost: dropped }
    waiting.clear()
    dropped = 0
    return batch
  }

  /** The answer's status; 0 for none. */
  const post = async ({ name, items, lost }: ReportBatch): Promise<number> => {
    try {
      const response = await web.fetch(`${url!.replace(/\/$/, '')}/v1/telemetry`, {
        method: 'POST',
        keepalive: true, // goes out even when the page is closed
        credentials: 'omit',
        headers: { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
        body: JSON.stringify({
          version: 1, batch: name, dropped: lost, storeId: identity.storeId, schema: __SCHEMA__, clientId: identity.clientId, release: HEADGATE_RELEASE, items,
        }),
        ...(web.AbortSignal?.timeout === undefined ? {} : { signal: web.AbortSignal.timeout(10_000) }),
      })
      return response.status
    } catch {
      return 0 // Offline, or the server is away.
    }
  }

  web.addEventListener?.('pagehide', () => void flush())
  return {
    unknownEvent: ({ name }) => report('unknown_event', name),
    watchMaterializers: (materializers) =>
      Object.fromEntries(
        Object.entries(materializers).map(([event, run]) => {
          const watched = (...args: any[]) => {
            try {
              return run(...args)
            } catch (cause) {
              report('materializer', event)
              throw cause
            }
          }
          return [event, Object.assign(watched, run)]
        }),
      ) as typeof materializers,
    opening: async (store) => {
      try {
        const opened = await store
        report('started')
        return opened
      } catch (cause) {
        report('open_failed')
        throw cause
      }
    },
    flagSeen: (eventVersion, revision) => {
      const known = Number(revision)
      report('flag', eventVersion, Number.isSafeInteger(known) && known > 0 && revision !== true ? known : undefined)
    },
    mustUpdate: () => report('must_update'),
    flush,
    standing: () => ({ waiting: waiting.size + (unanswered?.items.length ?? 0), dropped: dropped + (unanswered?.lost ?? 0) }),
  }
}

type ReportingHost = {
  readonly setTimeout: (run: () => void, ms: number) => unknown
  readonly clearTimeout: (timer: unknown) => void
  readonly fetch: (url: string, request: object) => Promise<{ readonly status: number; readonly text: () => Promise<string> }>
  readonly AbortSignal?: { readonly timeout?: (ms: number) => unknown }
  readonly addEventListener?: (event: string, run: () => void) => void
}

/** The floor that an error or an answer of the sync backend names, or undefined when it is about something else. */
export const belowFloor = (cause: unknown): { readonly floor: string } | undefined => {
  const [, floor] = /HEADGATE_BELOW_FLOOR: release \S+ is below the floor (\S+):/.exec(String(cause)) ?? []
  return floor === undefined ? undefined : { floor }
}

export type FloorWatch = {
  /** The sync backend's address, as the app's sync has it: ws and wss will do. */
  readonly url: string
  /** The sync payload that the store was opened with. */
  readonly syncPayload: unknown
  readonly identity: HeadgateIdentity
  /** Called with the floor when the backend turns this release away: show "please update"; and with undefined when it no longer does. */
  readonly onChange: (below: { readonly floor: string } | undefined) => void
  /** Milliseconds between two questions: 30000 unless given, with up to half as much added at random. */
  readonly every?: number | undefined
  /** `() => store.networkStatus…isConnected`, where the app has it at hand: while true, nothing is asked. */
  readonly isConnected?: (() => boolean) | undefined
}

/**
 * Asks the sync backend whether this release may still sync: a WebSocket that is refused tells a page nothing but that it
 * failed, and LiveStore goes on as if offline. What the user does meanwhile stays in the log, and is pushed by the next release.
 * Returns what ends it.
 */
export const watchFloor = ({ url, syncPayload, identity, onChange, every = 30_000, isConnected }: FloorWatch): (() => void) => {
  const web = globalThis as unknown as ReportingHost
  let ended = false
  let below: string | undefined
  let timer: unknown
  const payload = encodeURIComponent(encodeURIComponent(JSON.stringify(syncPayload)))
  const ping = `${url.replace(/^ws/, 'http')}?storeId=${encodeURIComponent(identity.storeId)}&transport=http&payload=${payload}`
  const look = async (): Promise<void> => {
    if (isConnected?.() === true) return settle(undefined)
    try {
      const body = { _tag: 'Request', id: '0', tag: 'SyncHttpRpc.Ping', payload: { storeId: identity.storeId, payload: syncPayload }, headers: [] }
      // Plain text: a page of another origin may send it without asking first.
      const response = await web.fetch(ping, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: JSON.stringify(body) })
      const found = response.status === 400 ? belowFloor(await response.text()) : undefined
      if (response.status === 200 || found !== undefined) settle(found) // anything else says nothing of the floor
    } catch {
      // Offline, or let in: an answer that is no refusal may not be for other origins to read. Nothing is known.
    }
  }
  const settle = (found: { readonly floor: string } | undefined): void => {
    if (ended || found?.floor === below) return
    below = found?.floor
    onChange(found)
  }
  const next = async (): Promise<void> => {
    await look()
    if (ended) return
    timer = web.setTimeout(() => void next(), every * (1 + Math.random() / 2))
    ;(timer as { readonly unref?: () => void }).unref?.()
  }
  void next()
  return () => {
    ended = true
    web.clearTimeout(timer)
  }
}
