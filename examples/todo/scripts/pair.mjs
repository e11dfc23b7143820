// Two real clients type into one store, one event each per interval, and stay until they are told where the log ends.
//
//   node scripts/pair.mjs '{"url":"ws://…","token":"todo","storeId":"s","version":"1.3.0","dir":"DIR",
//                           "events":20,"interval":1000,"head":40}'
//
// Prints "OPEN" when both have all events up to head, and "TYPED" when all is typed. A line "SYNC" on stdin is answered with
// "SYNCED" when the backend has all of it. A line "END n" says that the log goes to n: they sync up to there, close, and the
// result is printed as JSON: per client its heads, what is pending, and its state file.
//
// A client of 0.4.0 whose first pull meets somebody's push may get a page that overlaps with what it has; its pull then
// ends for good, until it is restarted. So nothing should be pushed before "OPEN".
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openClient } from './client.mjs'

const { url, token, storeId, version, dir, events, interval, head = 0 } = JSON.parse(process.argv[2])
const pause = (ms) => new Promise((done) => setTimeout(done, ms))

const open = (clientId) => openClient({ version, clientId, storeId, dir: join(dir, clientId), url, token, head })
const clients = [await open('ann'), await open('ben')]
console.log('OPEN')
for (let i = 0; i < events; i++) {
  for (const [k, client] of clients.entries()) {
    const id = `${client.clientId}-${i}`
    client.commit(client.events.todoCreated({ id, text: `typed ${i}`, createdAt: new Date(Date.UTC(2026, 0, 1, 0, k, i)) }))
    await pause(interval / clients.length)
  }
}
console.log('TYPED')

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'SYNC') {
    for (const client of clients) await client.settle()
    console.log('SYNCED')
  }
  const end = Number(/^END (\d+)$/.exec(line)?.[1])
  if (Number.isNaN(end)) continue
  const result = []
  for (const client of clients) {
    await client.until(`head ${end}`, (s) => s.settled && s.pending === 0 && s.confirmed >= end)
  }
  for (const client of clients) {
    const { confirmed, local, pending } = await client.close()
    const files = join(dir, client.clientId, storeId)
    const name = `state${client.schema.state.sqlite.hash}@6.db`
    if (!existsSync(join(files, name))) throw new Error(`${name} is not among ${readdirSync(files)}`)
    result.push({ client: client.clientId, confirmed, local, pending, state: join(files, name), skipped: client.skipped() })
  }
  console.log(JSON.stringify(result))
  break
}
// A store whose backend can't be reached keeps timers running after its shutdown: end the process.
process.exit()
