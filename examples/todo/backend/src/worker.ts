// The todo app's sync backend: LiveStore's Durable Object behind one shared token.
// headgate's wrapper of @livestore/sync-cf/cf-worker: the same functions, and headgate learns who reads and writes.
import { handleAdminRequest, handleSyncRequest, makeDurableObject, matchSyncRequest } from './headgate.worker.ts'

type Env = { TODO_SYNC: unknown; SYNC_TOKEN: string }

const check = (payload: unknown, token: string) => {
  const given = (payload as { authToken?: unknown } | null | undefined)?.authToken
  if (given !== token) throw new Error('invalid auth token')
}

// The options below are made before an object, and with it its environment, exists.
let token = ''

const Base = makeDurableObject({
  enabledTransports: new Set(['http', 'ws']),
  storage: { _tag: 'do-sqlite' },
  // Checked again on every push: a socket may outlive its token. Over HTTP, LiveStore 0.4.0 leaves context.payload
  // empty, and the message has it. The callback is async because only then its error reaches the client as it is.
  onPush: async (message, context) =>
    check(context.payload ?? (message as { payload?: unknown }).payload, token),
}) as unknown as new (state: unknown, env: Env) => object

export class TodoSync extends Base {
  constructor(state: unknown, env: Env) {
    super(state, env)
    token = env.SYNC_TOKEN
  }
}

export default {
  async fetch(request: any, env: Env, ctx: any) {
    if (new URL(request.url).pathname === '/healthz') return new Response('ok')
    const answer = await handleAdminRequest({ request, env, syncBackendBinding: 'TODO_SYNC' })
    if (answer !== undefined) return answer
    const searchParams = matchSyncRequest(request)
    if (searchParams === undefined) return new Response('not a sync request', { status: 404 })
    return handleSyncRequest({
      request,
      searchParams,
      env: env as never,
      ctx,
      syncBackendBinding: 'TODO_SYNC' as never,
      validatePayload: (payload) => check(payload, env.SYNC_TOKEN),
    })
  },
}
