import { makePersistedAdapter } from '@livestore/adapter-expo'
import { makeWsSync } from '@livestore/sync-cf/client'
import { schema } from './livestore/schema'

export const adapter = makePersistedAdapter({ sync: { backend: makeWsSync({ url: process.env.EXPO_PUBLIC_SYNC_URL! }), onSyncError: 'shutdown' } })
export { schema }
