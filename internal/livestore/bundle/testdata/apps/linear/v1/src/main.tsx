import { makeInMemoryAdapter, makePersistedAdapter } from '@livestore/adapter-web'
import { schema } from '@/lib/livestore/schema'
import './index.css'

const fallback = makeInMemoryAdapter()
export const adapter = makePersistedAdapter({ storage: { type: 'opfs' }, worker: null as never, sharedWorker: null as never, ...(fallback && {}) })
export default schema
