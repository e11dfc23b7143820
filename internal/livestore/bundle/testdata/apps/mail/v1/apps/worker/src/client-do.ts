import { createStoreDoPromise } from '@livestore/adapter-cloudflare'
import { makeDurableObject } from '@livestore/sync-cf/cf-worker'
import { schema } from '../../web/src/stores/mailbox/schema.js'

export class SyncBackendDO extends makeDurableObject() {}
export const open = (env: any, ctx: any) =>
  createStoreDoPromise({ schema, storeId: 'mailbox', clientId: 'indexer', sessionId: 'static', durableObject: { ctx, env, bindingName: 'CLIENT_DO' } as never, syncBackendStub: env.SYNC } as never)
