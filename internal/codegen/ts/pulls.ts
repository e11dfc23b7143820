
// How long a pull takes, as a span. Over a WebSocket, LiveStore's own span of a pull lasts as long as the connection.

/**
 * Goes around the app's sync backend: `sync: { backend: timePull(makeWsSync({ url })) }`. The span `headgate:pull` lasts from the first
 * pull until the client has what the backend had, and goes where LiveStore's spans go: to the tracer of `otelOptions`, in a browser
 * that of the worker. A start that finds no connection at once has none, and no later pull: those begin while the connection is away.
 */
export const timePull = <T extends (...args: any[]) => Effect.Effect<any, any, any>>(backend: T): T =>
  ((...args: any[]) =>
    Effect.map(backend(...args), (inner: PulledFrom) => {
      let first = true
      const pull: PulledFrom['pull'] = (...asked) => {
        if (!first) return inner.pull(...asked)
        first = false
        return Effect.gen(function* () {
          const span = yield* Effect.makeSpan('headgate:pull')
          let ended = false
          // Each attempt to connect that fails says false, also where it was false.
          yield* inner.isConnected.changes.pipe(
            Stream.drop(1),
            Stream.takeUntil((connected) => !connected),
            Stream.runForEach((connected) => Effect.sync(() => (ended ||= !connected))),
            Effect.forkScoped,
          )
          const end = (now: bigint) => {
            if (!ended) span.end(now, Exit.void)
            ended = true
          }
          return Stream.tap(inner.pull(...asked), ({ pageInfo }) =>
            pageInfo._tag === 'NoMore' ? Effect.clockWith((clock) => Effect.map(clock.currentTimeNanos, end)) : Effect.void,
          )
        }).pipe(Stream.unwrapScoped)
      }
      return { ...inner, pull }
    })) as T

type PulledFrom = {
  readonly isConnected: { readonly changes: Stream.Stream<boolean> }
  readonly pull: (...asked: any[]) => Stream.Stream<{ readonly pageInfo: { readonly _tag: string } }, any, any>
}
