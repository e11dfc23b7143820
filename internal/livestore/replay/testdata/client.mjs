// A real LiveStore client of the example app, for one session.
//
//   node client.mjs APP '{"version", "dir", "storeId", "clientId", "url"?, "token", "head"?, "commit": [{"event", "args"}], "hold": false}'
//
// Commits and prints "OPEN"; with hold it then waits for a line on stdin. It closes when all is settled, and prints its heads
// and its state file as JSON.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const [app, options] = process.argv.slice(2)
const { commit, hold, ...client } = JSON.parse(options)
const { openClient } = await import(join(app, 'scripts/client.mjs'))

const c = await openClient(client)
for (const { event, args } of commit ?? []) {
  for (const key of ['createdAt', 'deletedAt']) if (key in args) args[key] = new Date(args[key])
  c.commit(c.events[event](args))
}
await c.settle()
console.log('OPEN')
if (hold) {
  for await (const _ of createInterface({ input: process.stdin })) break
}
const { confirmed, local, pending } = await c.close()
const files = join(client.dir, client.storeId)
const state = join(files, `state${c.schema.state.sqlite.hash}@6.db`)
if (!existsSync(state)) throw new Error(`no ${state} among ${readdirSync(files)}`)
console.log(JSON.stringify({ confirmed, local, pending, state }))
// A store whose backend can't be reached keeps timers running after its shutdown: end the process.
process.exit()
