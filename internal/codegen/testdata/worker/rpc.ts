// The example's backend, with LiveStore's transport between Durable Objects switched on. Any other POST, with ?to=S, calls the
// object of a store as another object would, with the message in the body, and answers with what it gets. ?id=S is that
// object's id, ?got=S how often it was sent something as a subscriber.
// @ts-ignore LiveStore's own encoder of such calls
import { Packr } from '../../../../examples/todo/backend/node_modules/msgpackr/index.js'
import { handleSyncRequest, makeDurableObject, matchSyncRequest } from '../../../../examples/todo/backend/src/headgate.worker.ts'

export class TodoSync extends (makeDurableObject({ enabledTransports: new Set(['http', 'ws', 'do-rpc']) }) as any) {
  got = 0

  /** How LiveStore sends on what was pushed to an object that subscribed. */
  syncUpdateRpc() {
    this.got++
  }

  howMany() {
    return this.got
  }
}

export default {
  async fetch(request: any, env: any, ctx: any) {
    const url = new URL(request.url)
    if (url.pathname === '/healthz') return new Response('ok')
    const searchParams = matchSyncRequest(request)
    if (searchParams !== undefined) return handleSyncRequest({ request, searchParams, env, ctx, syncBackendBinding: 'TODO_SYNC' as never })
    if (url.searchParams.has('id')) return new Response(String(env.TODO_SYNC.idFromName(url.searchParams.get('id'))))
    if (url.searchParams.has('got')) return new Response(String(await env.TODO_SYNC.get(env.TODO_SYNC.idFromName(url.searchParams.get('got'))).howMany()))
    const object = env.TODO_SYNC.get(env.TODO_SYNC.idFromName(url.searchParams.get('to')))
    return new Response(await object.rpc(new Uint8Array(new Packr({ useRecords: true }).pack([await request.json()]))))
  },
}
