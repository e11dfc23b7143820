import { makeAdapter } from '@livestore/adapter-node'
import { createStorePromise } from '@livestore/livestore'
import schema from './store'

export const start = () => createStorePromise({ schema, storeId: 'edge', adapter: makeAdapter({ storage: { type: 'fs', baseDirectory: 'data' } }) })
