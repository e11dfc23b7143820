// Starts the sync backend of backend/ for a script, and reads a store from it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fetch } from 'undici'
import { app } from './load.mjs'

export const token = 'todo'

/** A running backend that keeps its stores in dataDir. */
export const startBackend = async (dataDir) => {
  const dir = join(app, 'backend')
  if (!existsSync(join(dir, 'node_modules'))) throw new Error(`run "npm ci" in ${dir} first`)
  mkdirSync(dataDir, { recursive: true })
  const log = join(dataDir, 'log') // workerd reports every refused push, which is normal life for a sync backend
  const child = spawn(process.execPath, ['start.mjs'], {
    cwd: dir,
    env: { ...process.env, PORT: '0', SYNC_TOKEN: token, DATA_DIR: dataDir },
    stdio: ['ignore', 'pipe', openSync(log, 'a')],
  })
  const stop = async () => {
    if (child.exitCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('READY ')) return { url: line.slice('READY '.length), token, stop }
  }
  throw new Error(`the backend ended before it was ready:\n${readFileSync(log, 'utf8')}`)
}

/** Calls the backend over HTTP, as a tool and no client of the app, and gives its answer's messages. */
const call = async ({ url, token }, storeId, tag, more) => {
  const payload = { authToken: token, headgate: { tool: true } }
  const query = new URLSearchParams({ storeId, transport: 'http', payload: encodeURIComponent(JSON.stringify(payload)) })
  const response = await fetch(`${url}/?${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ _tag: 'Request', id: '0', tag, payload: { storeId, payload, ...more }, headers: [] }),
  })
  const messages = await response.json()
  const exit = messages.find((message) => message._tag === 'Exit')
  if (exit?.exit._tag !== 'Success') throw new Error(`${tag} refused: ${JSON.stringify(messages)}`)
  return messages
}

/** All events of a store, in order, as the backend has them. */
export const pullAll = async (backend, storeId) => {
  const messages = await call(backend, storeId, 'SyncHttpRpc.Pull', { cursor: { _tag: 'None' } })
  return messages
    .filter((message) => message._tag === 'Chunk')
    .flatMap((chunk) => chunk.values.flatMap((page) => page.batch.map((item) => item.eventEncoded)))
}

/** Pushes events, numbered as the backend wants them. */
export const push = (backend, storeId, batch) =>
  call(backend, storeId, 'SyncHttpRpc.Push', { batch, backendId: { _tag: 'None' } })
