// A real client of one release of this app that opens its store, commits, and says what it shows.
//
//   node scripts/act.mjs '{"version":"1.3.0","dir":"DIR","storeId":"berlin","clientId":"ann","sessionId":"s.1-3-0","url":"ws://…"}' \
//     '[["todoMoved", {"id": "a", "list": "inbox", "position": 0}]]'
//
// Without url it is offline. Its files stay in DIR, for the next run. It prints {"pending", "confirmed", "todos"}: events that
// the backend does not have, the backend's head as far as it knows, and [id, list, text] of each todo.
import { pullAll, token } from './backend.mjs'
import { openClient } from './client.mjs'

const [text, commits = '[]'] = process.argv.slice(2)
const options = JSON.parse(text)
const { url, storeId } = options
const log = url === undefined ? [] : await pullAll({ url: url.replace(/^ws/, 'http'), token }, storeId)
const client = await openClient({ token, head: log.at(-1)?.seqNum ?? 0, ...options })
const times = (key, value) => (/At$/.test(key) && typeof value === 'string' ? new Date(value) : value)
for (const [event, args] of JSON.parse(commits, times)) client.commit(client.events[event](args))
const { pending, confirmed } = await client.settle()
const { todos } = client.tables
const shown = client.store.query(todos.orderBy('id', 'asc')).map(({ id, list, text }) => [id, list, text])
await client.store.shutdownPromise()
process.stdout.write(`${JSON.stringify({ pending, confirmed, todos: shown })}\n`, () => process.exit(0))
