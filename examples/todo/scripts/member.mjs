// One real client of a store that stays and does what it is told, a JSON line each on stdin and an answer each on stdout.
//
//   node scripts/member.mjs '{"version":"1.0.0","dir":"DIR","storeId":"s","clientId":"ann","url":"ws://…","token":"todo",
//                             "headgate":{"schema":"main","clientId":"ann","release":"1.0.0"}}'
//
//   {"commit": ["ID", "TEXT"]}   commits a todo        {"head": N}   waits until the backend has confirmed N events
//   {}                           only answers                  {"ended": true}  waits until its store is shut down
//
// The answer is {"confirmed", "local", "pending", "connected", "todos"}, or {"ended"} with the reason. The end of stdin ends it.
import { createInterface } from 'node:readline'
import { Effect } from 'effect'
import { openClient } from './client.mjs'

const client = await openClient(JSON.parse(process.argv[2]))
const todos = client.store.query.bind(client.store)
const answer = async () => {
  const { leader } = await client.store._dev.syncStates()
  const { isConnected } = await Effect.runPromise(client.store.networkStatus.get)
  console.log(JSON.stringify({
    confirmed: leader.upstreamHead.global,
    local: leader.localHead.global,
    pending: leader.pending.filter((event) => event.seqNum.client === 0).length,
    connected: isConnected,
    todos: todos(client.tables.todos.select('id').orderBy('id', 'asc')),
  }))
}
await answer()
for await (const line of createInterface({ input: process.stdin })) {
  const { commit, head, ended } = JSON.parse(line)
  if (ended) {
    console.log(JSON.stringify({ ended: await client.ended }))
    continue
  }
  if (commit !== undefined) {
    client.commit(client.events.todoCreated({ id: commit[0], text: commit[1], createdAt: new Date() }))
    await client.until('in the log', (s) => s.settled)
  }
  if (head !== undefined) await client.until(`head ${head}`, (s) => s.settled && s.confirmed >= head)
  await answer()
}
process.exit()
