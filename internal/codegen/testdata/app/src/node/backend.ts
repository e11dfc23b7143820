// A sync backend in one JSON file, so that two clients, one after the other, share a log.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { IsOfflineError, type SyncBackend } from '@livestore/common'
import { Effect, Option, Stream, SubscriptionRef } from 'effect'

type Pushed = Parameters<SyncBackend.SyncBackend['push']>[0][number]

export const fileBackend = (path: string, online: boolean): SyncBackend.SyncBackendConstructor => () =>
  Effect.gen(function* () {
    const read = (): Pushed[] => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : [])
    const isConnected = yield* SubscriptionRef.make(online)
    const offline = new IsOfflineError({ cause: new Error('offline') })
    const whenOnline: Effect.Effect<void, IsOfflineError> = online ? Effect.void : Effect.fail(offline)
    return {
      isConnected,
      connect: whenOnline,
      ping: whenOnline,
      pull: (cursor) =>
        Stream.fromEffect(whenOnline).pipe(
          Stream.map(() => {
            const since = Option.match(cursor, { onNone: () => 0, onSome: (_) => _.eventSequenceNumber })
            const events = read().filter((event) => event.seqNum > since)
            return {
              batch: events.map((eventEncoded) => ({ eventEncoded, metadata: Option.none() })),
              pageInfo: { _tag: 'NoMore' as const },
            }
          }),
          Stream.concat(Stream.never),
        ),
      push: (batch) =>
        whenOnline.pipe(
          Effect.map(() => {
            const events = read()
            if (batch[0]?.parentSeqNum !== (events.at(-1)?.seqNum ?? 0)) throw new Error('the pusher is behind')
            writeFileSync(`${path}.new`, JSON.stringify([...events, ...batch]))
            renameSync(`${path}.new`, path)
          }),
        ),
      metadata: { name: 'file', description: 'a sync backend in one JSON file' },
      supports: { pullPageInfoKnown: true, pullLive: true },
    }
  })
