// A LiveStore client in a Durable Object, which does what it is asked over HTTP. The test puts the guide's own commands in.
import '@livestore/adapter-cloudflare/polyfill'
import { createStoreDoPromise as createStoreDo } from '@livestore/adapter-cloudflare'
import { Events, makeSchema, Schema, State } from '@livestore/livestore'
import { makeDurableObject } from '@livestore/sync-cf/cf-worker'
import { handleSyncUpdateRpc } from '@livestore/sync-cf/client'
import { DurableObject } from 'cloudflare:workers'

const items = State.SQLite.table({ name: 'items', columns: { id: State.SQLite.text({ primaryKey: true }), n: State.SQLite.integer() } })
const more = State.SQLite.table({ name: 'more', columns: { id: State.SQLite.text({ primaryKey: true }) } })
const events = { added: Events.synced({ name: 'v1.Added', schema: Schema.Struct({ id: Schema.String, n: Schema.Number }) }) }

/** A release: what its materializer multiplies by, and whether it has another table, so that its state hash is another. */
const schemaOf = ({ times = 1, table = false }) =>
  makeSchema({
    events,
    state: State.SQLite.makeState({
      tables: table ? { items, more } : { items },
      materializers: State.SQLite.materializers(events, { 'v1.Added': ({ id, n }) => items.insert({ id, n: n * times }) }),
    }),
  })

export class Sync extends (makeDurableObject({ storage: { _tag: 'do-sqlite' } }) as any) {}

export class Client extends (DurableObject as any) {
  store: any

  async ask({ sql, reset, restart, release, commit, options }: any) {
    if (sql !== undefined) return this.ctx.storage.sql.exec(sql).toArray().map((row: any) => Object.values(row))
    if (restart) this.ctx.abort('restart')
    if (reset === 'state-only') { __STATE_ONLY__ }
    if (reset === 'full-reset') { __FULL_RESET__ }
    if (release === undefined) return []
    this.store ??= await createStoreDo({
      schema: schemaOf(release), storeId: 's', clientId: 'object', sessionId: 'static',
      durableObject: { ctx: this.ctx, env: this.env, bindingName: 'CLIENT' }, syncBackendStub: this.env.SYNC.get(this.env.SYNC.idFromName('s')),
      ...options,
    } as any)
    for (const [id, n] of commit ?? []) this.store.commit(events.added({ id, n }))
    return this.store.query(items.orderBy('id', 'asc')).map(({ id, n }: any) => [id, n])
  }

  async syncUpdateRpc(payload: any) {
    await handleSyncUpdateRpc(payload)
  }
}

export default {
  async fetch(request: Request, env: any) {
    try {
      return Response.json({ rows: await env.CLIENT.get(env.CLIENT.idFromName(new URL(request.url).pathname)).ask(await request.json()) })
    } catch (cause) {
      return Response.json({ failed: String(cause) })
    }
  },
}
