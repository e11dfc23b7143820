// Which version of an event this build emits. headgate exports the flags as a flagd file; the app asks it through
// OpenFeature, and never emits more than it was built with.
import { readFile } from 'node:fs/promises'
import { FlagdCore } from '@openfeature/flagd-core'
import { type Client, type EvaluationContext, type JsonValue, type Logger, OpenFeature, type Provider } from '@openfeature/server-sdk'
import type { commands } from './livestore/commands.ts'
import { events } from './livestore/events.ts'

/** The release that this build is; the flags hold it against their floors. */
export const appVersion = '1.2.0'

/** What this build can emit, oldest first. */
const compiled = { TodoCreated: ['v1.TodoCreated', 'v2.TodoCreated'] } as const
type Family = keyof typeof compiled

/** An OpenFeature provider of one flagd file, evaluated in this process. */
class FlagdFile implements Provider {
  readonly metadata = { name: 'flagd file' }
  readonly runsOn = 'server'
  readonly #path: string
  readonly #core = new FlagdCore()

  constructor(path: string) {
    this.#path = path
  }

  async initialize(): Promise<void> {
    this.#core.setConfigurations(await readFile(this.#path, 'utf8'))
  }

  async resolveStringEvaluation(key: string, fallback: string, context: EvaluationContext, logger: Logger) {
    return this.#core.resolveStringEvaluation(key, fallback, context, logger)
  }
  async resolveBooleanEvaluation(key: string, fallback: boolean, context: EvaluationContext, logger: Logger) {
    return this.#core.resolveBooleanEvaluation(key, fallback, context, logger)
  }
  async resolveNumberEvaluation(key: string, fallback: number, context: EvaluationContext, logger: Logger) {
    return this.#core.resolveNumberEvaluation(key, fallback, context, logger)
  }
  async resolveObjectEvaluation<T extends JsonValue>(key: string, fallback: T, context: EvaluationContext, logger: Logger) {
    return this.#core.resolveObjectEvaluation(key, fallback, context, logger)
  }
}

/** Reads the flags at path. Flags that can't be read are reported, and the oldest versions are emitted. */
export const openFlags = async (path: string, report: (problem: string) => void = console.error): Promise<Client> => {
  try {
    await OpenFeature.setProviderAndWait('flags', new FlagdFile(path))
  } catch (cause) {
    report(`no flags from ${path}, emitting the oldest versions of events: ${cause instanceof Error ? cause.message : cause}`)
  }
  return OpenFeature.getClient('flags')
}

const versionOf = (event: string) => Number(/^v(\d+)\./.exec(event)?.[1] ?? 0)

/** The newest of the versions that is not newer than what the flag wants; the oldest if there is none. */
export const clamp = (wanted: string, versions: readonly [string, ...string[]]): string =>
  versions.findLast((version) => versionOf(version) <= versionOf(wanted)) ?? versions[0]

/** The event of a family to emit in a store. */
export const emitVersion = async (flags: Client, family: Family, storeId: string): Promise<string> => {
  const versions = compiled[family]
  const wanted = await flags.getStringValue(`event.${family}`, versions[0], { targetingKey: storeId, storeId, appVersion })
  return clamp(wanted, versions)
}

/** What the app's commands commit. */
type Commit = ReturnType<(typeof commands)[keyof typeof commands]['run']>

/** What a command wants to commit, in the version that the store may get. */
export const emittable = async (flags: Client, storeId: string, event: Commit) => {
  if (event.name !== 'v2.TodoCreated') return event
  if ((await emitVersion(flags, 'TodoCreated', storeId)) === event.name) return event
  const { priority: _, ...rest } = event.args // v1 has none
  return events.todoCreated(rest)
}
