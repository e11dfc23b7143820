import { type Adapter, createStorePromise } from '@livestore/livestore'
import { type MigrationRun, pendingMigrations, runPendingMigrations } from './headgate.generated.ts'
import { schema } from './schema.ts'

/** The start of an app, as examples/client-migrations.md shows it. */
export const start = async (adapter: Adapter, signal: AbortSignal) => {
  const store = await createStorePromise({ schema, adapter, storeId: 'notes' })
  if (pendingMigrations(store).length > 0) {
    const runs: ReadonlyArray<MigrationRun> = await runPendingMigrations(store, { signal, onProgress: ({ due }) => console.log(due) })
    console.log(runs.map((run) => run.committed))
  }
  return store
}
