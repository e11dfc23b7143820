// Runs the sync backend in the background, filled with stores to try things on.
//
//   node scripts/serve.mjs start    starts it and prints an environment for headgate.yaml
//   node scripts/serve.mjs stop     ends it
//
// The stores lie in .data/backend: berlin holds all of data/demo/dump.json, tokyo its first half, madrid nothing yet.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { push, token } from './backend.mjs'
import { app } from './load.mjs'

const data = join(app, '.data', 'backend')
const pidFile = join(data, 'pid')
const log = join(data, 'log')

const start = async () => {
  if (existsSync(pidFile)) throw new Error('it runs already: node scripts/serve.mjs stop')
  rmSync(data, { recursive: true, force: true })
  mkdirSync(data, { recursive: true })
  const out = openSync(log, 'a')
  const child = spawn(process.execPath, ['start.mjs'], {
    cwd: join(app, 'backend'),
    env: { ...process.env, PORT: '0', SYNC_TOKEN: token, DATA_DIR: data },
    stdio: ['ignore', out, out],
    detached: true,
  })
  writeFileSync(pidFile, String(child.pid))
  child.unref()
  try {
    await fill()
  } catch (error) {
    stop()
    throw error
  }
}

/** Waits for the backend, fills its stores and prints the environment. */
const fill = async () => {
  let url
  for (const end = Date.now() + 30_000; url === undefined; ) {
    url = /^READY (\S+)$/m.exec(readFileSync(log, 'utf8'))?.[1]
    if (Date.now() > end) throw new Error(`the backend did not start:\n${readFileSync(log, 'utf8')}`)
    await new Promise((done) => setTimeout(done, 50))
  }
  const { events } = JSON.parse(readFileSync(join(app, 'data', 'demo', 'dump.json'), 'utf8'))
  for (const [storeId, count] of [
    ['berlin', events.length],
    ['tokyo', Math.floor(events.length / 2)],
  ]) {
    for (let i = 0; i < count; i += 50) await push({ url, token }, storeId, events.slice(i, Math.min(i + 50, count)))
  }
  console.log(`  staging:
    pace: 100ms
    auth: {payload: {authToken: ${token}}}
    stores:
      - {id: berlin, schema: main, log: "sync-cf:${url}"}
      - {id: tokyo, schema: main, log: "sync-cf:${url}"}
      - {id: madrid, schema: main, log: "sync-cf:${url}"}`)
}

const stop = () => {
  if (!existsSync(pidFile)) return
  try {
    process.kill(-Number(readFileSync(pidFile, 'utf8')), 'SIGTERM')
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
  rmSync(pidFile)
}

const command = { start, stop }[process.argv[2]]
if (command === undefined) {
  console.error('usage: node scripts/serve.mjs start|stop')
  process.exit(2)
}
try {
  await command()
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
