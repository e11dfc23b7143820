import { makeWorker } from '@livestore/adapter-web/worker'
import { makeWsSync } from '@livestore/sync-cf/client'
import { schema } from '../livestore/schema.ts'
import type { Start } from './start.ts'

const { url } = JSON.parse(decodeURIComponent(self.name.split('#')[1] ?? '%7B%7D')) as Start
makeWorker({ schema, sync: url === undefined ? {} : { backend: makeWsSync({ url }) } })
