import { makeWorker } from '@livestore/adapter-web/worker'
import { makeWsSync } from '@livestore/sync-cf/client'
import { schema } from '../schema.ts'

const { url } = JSON.parse(decodeURIComponent(self.name.split('#')[1] ?? '%7B%7D')) as { url: string }
makeWorker({ schema, sync: { backend: makeWsSync({ url, ping: { requestTimeout: 1000 } }) } })
