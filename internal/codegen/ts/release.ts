
/** The release that this build is: the version of its schema. */
export const HEADGATE_RELEASE: string = __RELEASE__

/** Who this client is, towards the sync backend, the flags and headgate. */
export type HeadgateIdentity = { readonly storeId: string; readonly clientId: string; readonly sessionId: string }

/**
 * The ids for the adapter, `makePersistedAdapter({ ...identityOf(storeId), … })` or `makeAdapter(…)`: LiveStore's own, with
 * the release in the sessionId (`static.1-2-0`), so that every event names the release that wrote it. In a browser the clientId
 * is kept per installation and the session per tab, where LiveStore keeps them.
 */
export const identityOf = (storeId: string, given: { readonly clientId?: string | undefined; readonly sessionId?: string | undefined } = {}): HeadgateIdentity => {
  const { localStorage, sessionStorage, process } = globalThis as unknown as { localStorage?: Keeps; sessionStorage?: Keeps; process?: { getBuiltinModule?: (name: string) => any } }
  const inPage = typeof (globalThis as { document?: unknown }).document === 'object'
  const kept = (storage: Keeps | undefined, kind: string, otherwise: () => string): string => {
    if (!inPage || storage === undefined) return otherwise()
    const key = `livestore:${kind}:${storeId}`
    const id = storage.getItem(key) ?? randomId()
    storage.setItem(key, id)
    return id
  }
  const hostName = () => String(process?.getBuiltinModule?.('node:os').hostname() ?? randomId())
  const session = given.sessionId ?? kept(sessionStorage, 'sessionId', () => 'static')
  return {
    storeId,
    clientId: given.clientId ?? kept(localStorage, 'clientId', hostName),
    sessionId: `${session}.${stampOfRelease(HEADGATE_RELEASE)}`,
  }
}

/** 1.5.0-beta.1 as 1-5-0-beta_1: a dot ends the session, and a release has no underscore. */
const stampOfRelease = (release: string): string => {
  const [, numbers = release, prerelease = ''] = /^(\d+\.\d+\.\d+)([^+]*)/.exec(release) ?? []
  return numbers.replace(/\./g, '-') + prerelease.replace(/\./g, '_')
}

type Keeps = { readonly getItem: (key: string) => string | null; readonly setItem: (key: string, value: string) => void }

const randomId = (): string => Array.from({ length: 8 }, () => 'abcdefghijklmnopqrstuvwxyz0123456789'[Math.floor(Math.random() * 36)]).join('')

/**
 * Into the sync payload: `syncPayload: { authToken, ...syncIdentity(identity) }`. An app with a syncPayloadSchema adds the
 * field to it: `headgate: Schema.optional(Schema.JsonValue)`, or LiveStore drops it.
 */
export const syncIdentity = ({ clientId }: HeadgateIdentity) => ({ headgate: { schema: __SCHEMA__, clientId, release: HEADGATE_RELEASE } }) as const

/** OpenFeature's evaluation context: stores are the unit of a rollout, so that all replicas of one log switch together. */
export const flagContext = ({ storeId, clientId }: HeadgateIdentity) => ({ targetingKey: storeId, storeId, clientId, appVersion: HEADGATE_RELEASE }) as const

/** For `new OFREPWebProvider({ baseUrl, cacheKeyGenerator })`: its own key and the release, so that what an older release was told counts no more. */
export const cacheKeyGenerator = ({ url, auth, domain, targetingKey }: CacheKeyInput): string =>
  JSON.stringify(['headgate', HEADGATE_RELEASE, url, auth ?? '', domain ?? '', targetingKey ?? ''])

type CacheKeyInput = { readonly url: string; readonly auth?: string | undefined; readonly domain?: string | undefined; readonly targetingKey?: string | undefined }

/**
 * The event of a family to emit, where the flag's value says how new it may be: the newest version that this build
 * defines and materializes and that is not newer. `emitVersion(schema, 'TodoCreated', flag)` gives `v1.TodoCreated`.
 */
export const emitVersion = (schema: EmitSchema, family: string, flagValue: string): string => {
  const number = (name: string) => Number(/^v(\d+)\./.exec(name)?.[1] ?? 0)
  const versions = [...schema.eventsDefsMap.keys()]
    .filter((name) => name.replace(/^v\d+\./, '') === family && schema.state.materializers.has(name))
    .sort((a, b) => number(a) - number(b))
  const oldest = versions[0]
  if (oldest === undefined) throw new Error(`headgate: this build emits no version of ${family}`)
  const wanted = flagValue.replace(/^v\d+\./, '') === family ? number(flagValue) : 0
  return versions.filter((name) => number(name) <= wanted).slice(-1)[0] ?? oldest
}

/**
 * Whether a new event, one that has no older version to fall back to, may be emitted: the flag names a version of the family,
 * and this build defines and materializes one that is not newer. Where the flag says `off`, or can't be had, it may not.
 */
export const mayEmit = (schema: EmitSchema, family: string, flagValue: string): boolean => {
  const [, version, name] = /^v(\d+)\.(.+)$/.exec(flagValue) ?? []
  if (name !== family) return false
  return [...schema.eventsDefsMap.keys()].some((known) => {
    const [, own, of] = /^v(\d+)\.(.+)$/.exec(known) ?? []
    return of === family && Number(own) <= Number(version) && schema.state.materializers.has(known)
  })
}

type EmitSchema = {
  readonly eventsDefsMap: { readonly keys: () => Iterable<string> }
  readonly state: { readonly materializers: { readonly has: (name: string) => boolean } }
}
