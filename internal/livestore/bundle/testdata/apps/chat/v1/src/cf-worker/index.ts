import { makeDurableObject, makeWorker } from '@livestore/sync-cf/cf-worker'

export class SyncBackendDO extends makeDurableObject({
  onPush: async (message) => console.log('onPush', message.batch.length),
}) {}

export default makeWorker({
  syncBackendBinding: 'SYNC_BACKEND_DO',
  validatePayload: (payload: any) => {
    if (payload?.authToken === undefined) throw new Error('Invalid auth token')
  },
})
