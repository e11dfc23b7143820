// A sync backend in one JSON file, so that two clients, one after the other, share a log.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { SyncBackend } from '@livestore/common'
import { Effect, Option, Queue, Stream, SubscriptionRef } from 'effect'

type Pushed = Parameters<SyncBackend.SyncBackend['push']>[0][number]

export const fileBackend = (path: string, online: boolean): SyncBackend.SyncBackendConstructor => () =>
  Effect.gen(function* () {
    const read = (): Pushed[] => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : [])
    const pushed = yield* Queue.unbounded<ReadonlyArray<Pushed>>()
    const isConnected = yield* SubscriptionRef.make(online)
    // Offline, nothing ever comes back.
    const whenOnline = online ? Effect.void : Effect.never
    return {
      isConnected,
      connect: whenOnline,
      ping: whenOnline,
      pull: (cursor) =>
        Stream.fromEffect(whenOnline).pipe(
          Stream.map(() => {
            const since = Option.match(cursor, { onNone: () => 0, onSome: (_) => _.eventSequenceNumber })
            return read().filter((event) => event.seqNum > since)
          }),
          Stream.concat(Stream.fromQueue(pushed)),
          Stream.map((events) => ({
            batch: events.map((eventEncoded) => ({ eventEncoded, metadata: Option.none() })),
            pageInfo: { _tag: 'NoMore' as const },
          })),
        ),
      push: (batch) =>
        whenOnline.pipe(
          Effect.map(() => {
            const events = read()
            if (batch[0]?.parentSeqNum !== (events.at(-1)?.seqNum ?? 0)) throw new Error('the pusher is behind')
            writeFileSync(`${path}.new`, JSON.stringify([...events, ...batch]))
            renameSync(`${path}.new`, path)
          }),
          Effect.andThen(() => Queue.offer(pushed, batch)),
        ),
      metadata: { name: 'file', description: 'a sync backend in one JSON file' },
      supports: { pullPageInfoKnown: true, pullLive: true },
    }
  })
