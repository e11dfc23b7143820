import { makeAdapter } from '@livestore/adapter-node'
import { makeWsSync } from '@livestore/sync-cf/client'
import { withStartupCheck } from './headgate.generated.ts'

export type Place = { baseDirectory: string; clientId?: string | undefined; syncUrl?: string | undefined }

export const adapterFor = ({ baseDirectory, clientId, syncUrl }: Place) => {
  const storage = { type: 'fs', baseDirectory } as const
  const adapter = makeAdapter({
    storage,
    ...(clientId === undefined ? {} : { clientId }),
    sync: {
      ...(syncUrl === undefined ? {} : { backend: makeWsSync({ url: syncUrl }) }),
      // A backend that forgot its events must not take ours along, and a sync that stopped must be seen.
      onBackendIdMismatch: 'shutdown',
      onSyncError: 'shutdown',
      initialSyncOptions: { _tag: 'Blocking', timeout: 5000 },
    },
  })
  return withStartupCheck(adapter, storage)
}
