// Runs the sync backend on workerd, reachable from this machine only.
//
//   PORT=8787 SYNC_TOKEN=… DATA_DIR=.data node start.mjs
//
//   PORT        default 8787; 0 takes a free one
//   SYNC_TOKEN  what a client's authToken has to be (default "todo")
//   DATA_DIR    where the stores lie, one SQLite file each, and what workerd runs (default .data here)
//   WORKER      another module in place of src/worker.ts; DATA_DIR/worker.mjs is run as it is
//   HEADGATE_…  settings of src/headgate.worker.ts, handed on to it
//
// Prints "READY http://127.0.0.1:PORT" once it answers. SIGINT and SIGTERM end it.
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import workerd from 'workerd'

const here = dirname(fileURLToPath(import.meta.url))
const { PORT = '8787', SYNC_TOKEN = 'todo', DATA_DIR = join(here, '.data'), WORKER = join(here, 'src/worker.ts') } = process.env
const data = resolve(DATA_DIR)
const stores = join(data, 'stores')
mkdirSync(stores, { recursive: true })

const bundle = join(data, 'worker.mjs')
if (resolve(WORKER) !== bundle)
  await build({
    entryPoints: [WORKER],
    outfile: bundle,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    platform: 'browser', // workerd is no Node: take the packages' browser builds
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*', 'node:*'],
    logLevel: 'warning',
  })

const quote = (text) => JSON.stringify(text)
const settings = Object.entries(process.env).filter(([name]) => /^HEADGATE_(URL|TOKEN|FLOOR|FLOOR_UNKNOWN|FLOOR_MS|ADMIN_TOKEN|SAMPLE_MS)$/.test(name))
const config = join(data, 'workerd.capnp')
writeFileSync(
  config,
  `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  sockets = [(name = "http", address = ${quote(`127.0.0.1:${PORT}`)}, http = (), service = "worker")],
  services = [
    (name = "worker", worker = .worker),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
    (name = "disk", disk = (path = ${quote(stores)}, writable = true)),
  ],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.mjs", esModule = embed "worker.mjs")],
  compatibilityDate = "2025-11-18",
  compatibilityFlags = ["nodejs_compat", "enable_request_signal"],
  durableObjectNamespaces = [(className = "TodoSync", uniqueKey = "todo-sync", enableSql = true)],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [
    (name = "TODO_SYNC", durableObjectNamespace = "TodoSync"),
    (name = "SYNC_TOKEN", text = ${quote(SYNC_TOKEN)}),
${settings.map(([name, text]) => `    (name = ${quote(name)}, text = ${quote(text)}),\n`).join('')}  ],
);
`,
)

const bin = typeof workerd === 'string' ? workerd : workerd.default
const child = spawn(bin, ['serve', '--experimental', '--control-fd=3', config], {
  stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
})
let stopping = false
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    stopping = true
    child.kill('SIGTERM')
  })
}
child.on('error', (error) => {
  console.error(`backend: ${error.message}`)
  process.exit(1)
})
child.on('exit', (code) => process.exit(stopping ? 0 : (code ?? 1)))

// workerd says on the control descriptor which port it listens on.
for await (const line of createInterface({ input: child.stdio[3] })) {
  const { event, port } = JSON.parse(line)
  if (event !== 'listen') continue
  const url = `http://127.0.0.1:${port}`
  if (!(await fetch(`${url}/healthz`)).ok) throw new Error('the worker does not answer')
  console.log(`READY ${url}`)
}
