// The leader. Its name carries the release to run as, and where to stop: there it blocks for good, so that the proof
// kills the browser at exactly that point.
import { makeWorker } from '@livestore/adapter-web/worker'
import { makeAppSchema } from '../livestore/schema.ts'
import type { Start } from './start.ts'

const start = JSON.parse(decodeURIComponent(self.name.split('#')[1] ?? '%7B%7D')) as Start
const channel = new BroadcastChannel('headgate-proof')
const stop = (where: string) => {
  channel.postMessage(where)
  for (;;);
}

let committing = false
let writes = 0
const handle = (globalThis as unknown as { FileSystemSyncAccessHandle: { prototype: { write: Function } } })
  .FileSystemSyncAccessHandle.prototype
const { write } = handle
handle.write = function (data: Uint8Array, ...rest: unknown[]) {
  if (committing && ++writes === start.stopAtWrite) {
    write.call(this, data.subarray(0, data.byteLength >> 1), ...rest)
    stop(`write ${writes}`)
  }
  return write.call(this, data, ...rest)
}

makeWorker({
  schema: makeAppSchema(start.variant, {
    onEvent: (count) => {
      if (count === start.stopAtEvent) stop(`event ${count}`)
    },
    // The app's post hook is the last thing before the commit.
    onHook: (line) => {
      if (line.startsWith('post')) committing = true
    },
  }),
})
