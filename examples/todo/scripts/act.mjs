// Real clients of releases of this app: each opens its store, commits, says what it shows, and ends before the next one begins.
//
//   node scripts/act.mjs '{"version":"1.3.0","dir":"DIR","storeId":"berlin","clientId":"ann","sessionId":"s.1-3-0","url":"ws://…"}' \
//     '[["todoMoved", {"id": "a", "list": "inbox", "position": 0}]]' [OPTIONS COMMITS]…
//
// Without url it is offline. Its files stay in DIR, for the next run. With flags, a file of `headgate flags export`, it emits
// the versions that they say, and resets when they ask for it. Each prints a line {"pending", "confirmed", "todos", "drafts"}:
// events that the backend does not have, the backend's head as far as it knows, [id, list, text] of each todo, and how many
// drafts it has, which never leave a client.
import { join } from 'node:path'
import { pullAll, token } from './backend.mjs'
import { openClient } from './client.mjs'
import { app, load } from './load.mjs'

const times = (key, value) => (/At$/.test(key) && typeof value === 'string' ? new Date(value) : value)

const act = async (options, commits) => {
  const { url, storeId, flags: file } = options
  const log = url === undefined ? [] : await pullAll({ url: url.replace(/^ws/, 'http'), token }, storeId)
  const { openFlags, emittable } = file === undefined ? {} : await load(join(app, 'src', 'flags.ts'))
  const flags = await openFlags?.(file)
  const generation = await flags?.getNumberValue('store.reset', 0, { targetingKey: storeId, storeId })
  const client = await openClient({ token, head: log.at(-1)?.seqNum ?? 0, generation, ...options })
  for (const [event, args] of commits) {
    const wanted = client.events[event](args)
    client.commit(flags === undefined ? wanted : await emittable(flags, storeId, wanted))
  }
  const { pending, confirmed } = await client.settle()
  const { todos, drafts } = client.tables
  const shown = client.store.query(todos.orderBy('id', 'asc')).map(({ id, list, text }) => [id, list, text])
  const kept = client.store.query(drafts.select()).length
  await client.store.shutdownPromise()
  return { pending, confirmed, todos: shown, drafts: kept }
}

const lines = []
for (const args = process.argv.slice(2); args.length > 0; ) {
  const [options, commits = '[]'] = args.splice(0, 2)
  lines.push(JSON.stringify(await act(JSON.parse(options), JSON.parse(commits, times))))
}
process.stdout.write(`${lines.join('\n')}\n`, () => process.exit(0))
