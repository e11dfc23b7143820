/** The epoch: raise it with `headgate epoch bump` to have every client rebuild its state from its own event log. */
export const headgateEpoch: number = __EPOCH__

type StateInput = Parameters<typeof State.SQLite.makeState>[0]
type AutoMigrations = Extract<NonNullable<StateInput['migrations']>, { strategy: 'auto' }>
type Hooks = NonNullable<AutoMigrations['hooks']>
type HookResult = ReturnType<NonNullable<Hooks['init']>>

/**
 * Goes around what the app gives to `makeState`, once:
 *
 *     State.SQLite.makeState(withHeadgate({ tables, materializers }))
 *
 * It adds the epoch table and makes a rebuild of the state one transaction, so that a rebuild that is cut short
 * leaves an empty file, which LiveStore rebuilds at the next start, and never one that looks complete.
 */
export const withHeadgate = <T extends StateInput & { readonly migrations?: AutoMigrations | undefined }>(
  state: T,__EVENTS_PARAMETER__
): T & { readonly migrations: AutoMigrations } => {
  const given: AutoMigrations = state.migrations ?? { strategy: 'auto' }
  if (given.strategy !== 'auto') {
    throw new Error(
      `headgate: migrations.strategy '${String((given as { strategy: unknown }).strategy)}' can't be made safe: LiveStore never rebuilds such a state. Use the strategy 'auto', or leave withHeadgate out.`,
    )
  }
  return { ...state, tables: withEpochTable(state.tables),__CORRECTED__ migrations: { ...given, hooks: rebuildHooks(given.hooks) } }
}

/** One table per epoch. Its name moves LiveStore's state hash, and no earlier hash ever comes back. */
const withEpochTable = <T extends StateInput['tables']>(tables: T): T => {
  if (headgateEpoch === 0) return tables
  const name = `headgate_epoch_${headgateEpoch}`
  const epochTable = State.SQLite.table({ name, columns: { epoch: State.SQLite.integer({ primaryKey: true }) } })
  return (Array.isArray(tables) ? [...tables, epochTable] : { ...tables, [name]: epochTable }) as T
}

/**
 * LiveStore runs init on the empty database, creates its tables, runs pre, replays the log, and runs post: all on one
 * connection, and it opens no transaction of its own in between. The app's own hooks run inside the transaction.
 */
const rebuildHooks = (app: Partial<Hooks> = {}): Hooks => ({
  ...app,
  init: (db) => {
    // Without this a large state spills into the file before the commit; on the web a killed tab then leaves a file
    // that the next start can't read.
    db.execute('PRAGMA cache_spill=OFF')
    db.execute('BEGIN')
    return app.init?.(insideRebuild(db, 'init'))
  },
  pre: (db) => app.pre?.(insideRebuild(db, 'pre')),
  post: (db) => andThen(app.post?.(insideRebuild(db, 'post')), () => db.execute('COMMIT')),
})

const andThen = (result: HookResult, next: () => void): HookResult => {
  if (Effect.isEffect(result)) return Effect.map(result, next)
  if (result instanceof Promise) return result.then(next)
  return next()
}

/** What SQLite refuses, or silently ignores, inside a transaction gets an error that says why. */
const insideRebuild = <T extends { execute: (...args: never[]) => void }>(db: T, hook: string): T =>
  Object.create(db, {
    execute: {
      value: (sql: unknown, ...rest: unknown[]) => {
        const refused =
          typeof sql === 'string' &&
          /^\s*(begin|commit|end|rollback(?!\s+(?:transaction\s+)?to\b)|vacuum|pragma\s+(?:\w+\.)?(?:foreign_keys|journal_mode|synchronous)(?=\s*[=(]))\b/i.exec(sql)
        if (refused) {
          throw new Error(
            `headgate: the app's ${hook} hook runs ${refused[1]?.toUpperCase()}, which has no place here: withHeadgate already runs the whole rebuild in one transaction. Remove it from the hook.`,
          )
        }
        return (db.execute as (...args: unknown[]) => void)(sql, ...rest)
      },
    },
  }) as T

/**
 * For the web adapter: `makePersistedAdapter({ ...headgateWebAdapterOptions, storage, worker, sharedWorker })`.
 * The fast path reads the state file past SQLite and takes one that a killed tab left half written for a whole one.
 */
export const headgateWebAdapterOptions = { experimental: { disableFastPath: true } } as const
