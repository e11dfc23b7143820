import { makeAdapter } from '@livestore/adapter-node'
import { makeWsSync } from '@livestore/sync-cf/client'

export type Place = { baseDirectory: string; clientId?: string | undefined; syncUrl?: string | undefined }

export const adapterFor = ({ baseDirectory, clientId, syncUrl }: Place) =>
  makeAdapter({
    storage: { type: 'fs', baseDirectory },
    ...(clientId === undefined ? {} : { clientId }),
    sync: {
      ...(syncUrl === undefined ? {} : { backend: makeWsSync({ url: syncUrl }) }),
      initialSyncOptions: { _tag: 'Blocking', timeout: 5000 },
    },
  })
