import { makePersistedAdapter } from '@livestore/adapter-web'
import { schema as mailbox } from '@stores/mailbox/schema'
import { threadSchema } from '@stores/thread/schema'

export const adapter = makePersistedAdapter({ storage: { type: 'opfs' }, worker: null as never, sharedWorker: null as never })
export const kinds = { mailbox, thread: threadSchema }
