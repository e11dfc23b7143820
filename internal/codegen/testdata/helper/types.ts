// What the compiler has to hold about the part of headgate.generated.ts that says which release the app is.
import { makePersistedAdapter } from '@livestore/adapter-web'
import { makeWsSync } from '@livestore/sync-cf/client'
import { createStorePromise, Events, makeSchema, Schema, State } from '@livestore/livestore'
import {
  belowFloor, cacheKeyGenerator, emitVersion, flagContext, mayEmit, HEADGATE_RELEASE, headgateWebAdapterOptions, identityOf, makeReporter,
  syncIdentity, timePull, watchFloor, withHeadgate,
} from './headgate.generated.ts'

const events = { added: Events.synced({ name: 'v1.Added', schema: Schema.Struct({ id: Schema.String }) }) }
const items = State.SQLite.table({ name: 'items', columns: { id: State.SQLite.text({ primaryKey: true }) } })
const identity = identityOf('s')
const reporter = makeReporter({ url: 'https://headgate.example', identity })
const materializers = reporter.watchMaterializers(State.SQLite.materializers(events, { 'v1.Added': ({ id }) => items.insert({ id }) }))
const schema = makeSchema({
  events,
  state: State.SQLite.makeState(withHeadgate({ tables: { items }, materializers })),
  unknownEventHandling: { strategy: 'callback', onUnknownEvent: ({ event }) => reporter.unknownEvent(event) },
})
const syncPayload = { authToken: 't', ...syncIdentity(identity) }
const worker = () => null as never
const { clientId, sessionId } = identity
export const store = reporter.opening(
  createStorePromise({
    schema,
    storeId: identity.storeId,
    syncPayload,
    adapter: makePersistedAdapter({ ...headgateWebAdapterOptions, clientId, sessionId, storage: { type: 'opfs' }, worker, sharedWorker: worker }),
  }),
).then((opened) => opened.commit(events.added({ id: HEADGATE_RELEASE })))

export const backend: ReturnType<typeof makeWsSync> = timePull(makeWsSync({ url: 'wss://x' }))
export const shared: boolean = mayEmit(schema, 'Added', 'off')
export const wanted: string = emitVersion(schema, 'Added', 'v2.Added')
export const below: { readonly floor: string } | undefined = belowFloor(new Error())
export const end: () => void = watchFloor({ url: 'wss://x', syncPayload, identity, onChange: (now) => now?.floor })

// OpenFeature's own types: EvaluationContext of @openfeature/core, CacheKeyGenerator of @openfeature/ofrep-web-provider 0.4.3.
type EvaluationContext = { targetingKey?: string } & Record<string, string | number | boolean | null>
export const context: EvaluationContext = flagContext(identity)
type CacheKeyGenerator = (input: { url: string; auth?: string; domain?: string; targetingKey?: string; context: EvaluationContext }) => string
export const generator: CacheKeyGenerator = cacheKeyGenerator
