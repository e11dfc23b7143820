import { makePersistedAdapter } from '@livestore/adapter-web'
import { createStorePromise } from '@livestore/livestore'
import { channelSchema } from './livestore/channel/schema.ts'
import { workspaceSchema } from './livestore/workspace/schema.ts'

const adapter = makePersistedAdapter({ storage: { type: 'opfs' }, worker: {} as never, sharedWorker: {} as never })
export const workspace = createStorePromise({ schema: workspaceSchema, adapter, storeId: 'workspace' })
export const channel = (id: string) => createStorePromise({ schema: channelSchema, adapter, storeId: `channel-${id}`, sync: { onBackendIdMismatch: 'shutdown' } } as never)
