// Runs a Worker whose one Durable Object is a LiveStore client, beside the sync backend's, on workerd.
//
//   WORKER    its module, bundled with the packages of PACKAGES
//   WORKERD   where the package workerd is
//   DATA_DIR  where the objects' SQLite files lie, and what workerd runs
//
// Prints "READY http://127.0.0.1:PORT" once it listens. SIGTERM ends it.
import { spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const { WORKER, PACKAGES, WORKERD, DATA_DIR } = process.env
const { build } = createRequire(join(PACKAGES, '/'))('esbuild')
const workerd = createRequire(join(WORKERD, '/'))('workerd')
const stores = join(DATA_DIR, 'stores')
mkdirSync(stores)

/** workerd takes SQLite as a module of its own. */
const sqlite = {
  name: 'sqlite',
  setup: (b) => b.onResolve({ filter: /\.wasm$/ }, async ({ path, pluginData, ...from }) => {
    if (pluginData === sqlite) return
    copyFileSync((await b.resolve(path, { kind: from.kind, importer: from.importer, resolveDir: from.resolveDir, pluginData: sqlite })).path, join(DATA_DIR, 'sqlite.wasm'))
    return { path: './sqlite.wasm', external: true }
  }),
}

await build({
  entryPoints: [WORKER],
  outfile: join(DATA_DIR, 'worker.mjs'),
  nodePaths: [PACKAGES],
  bundle: true,
  format: 'esm',
  target: 'es2022',
  platform: 'browser',
  conditions: ['workerd', 'worker', 'browser'],
  external: ['cloudflare:*', 'node:*'],
  plugins: [sqlite],
  logLevel: 'warning',
})

const config = join(DATA_DIR, 'workerd.capnp')
writeFileSync(
  config,
  `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "worker")],
  services = [(name = "worker", worker = .worker), (name = "disk", disk = (path = ${JSON.stringify(stores)}, writable = true))],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.mjs", esModule = embed "worker.mjs"), (name = "sqlite.wasm", wasm = embed "sqlite.wasm")],
  compatibilityDate = "2025-11-18",
  compatibilityFlags = ["nodejs_compat"],
  durableObjectNamespaces = [
    (className = "Sync", uniqueKey = "sync", enableSql = true),
    (className = "Client", uniqueKey = "client", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [(name = "SYNC", durableObjectNamespace = "Sync"), (name = "CLIENT", durableObjectNamespace = "Client")],
);
`,
)

const child = spawn(typeof workerd === 'string' ? workerd : workerd.default, ['serve', '--experimental', '--control-fd=3', config], {
  stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
})
process.on('SIGTERM', () => child.kill('SIGTERM'))
child.on('exit', (code) => process.exit(code ?? 0))
for await (const line of createInterface({ input: child.stdio[3] })) {
  const { event, port } = JSON.parse(line)
  if (event === 'listen') console.log(`READY http://127.0.0.1:${port}`)
}
