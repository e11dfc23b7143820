// A real LiveStore client whose spans a stock OpenTelemetry exporter sends to headgate:
//   node spans.mjs APP HEADGATE_URL TOKEN SYNC_URL SYNC_TOKEN STORE json|proto ws|http HELPER DATA_DIR
// HELPER is the app's headgate.generated.ts, which times pulls, or none.
// It commits three todos, waits until the backend has them, reads them in a second client, and flushes.
import { OTLPTraceExporter as Json } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as Proto } from '@opentelemetry/exporter-trace-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [app, headgate, token, syncUrl, authToken, storeId, encoding, transport, helper, baseDirectory] = process.argv.slice(2)
// LiveStore loads undici, whose dispatcher Node 20's own fetch can't use: the one that comes first stays.
await fetch('data:,')
const fromApp = (path) => import(pathToFileURL(join(app, path)).href)
const require = createRequire(join(app, 'package.json'))
const { load, loadRelease } = await fromApp('scripts/load.mjs')
const { makeAdapter } = await import(pathToFileURL(require.resolve('@livestore/adapter-node')).href)
const { createStorePromise } = await import(pathToFileURL(require.resolve('@livestore/livestore')).href)
const { makeWsSync, makeHttpSync } = await import(pathToFileURL(require.resolve('@livestore/sync-cf/client')).href)
const { WebSocket } = await import(pathToFileURL(require.resolve('undici')).href)
globalThis.WebSocket ??= WebSocket

const Exporter = encoding === 'json' ? Json : Proto
const exporter = new Exporter({ url: `${headgate}/v1/traces`, headers: { authorization: `Bearer ${token}` }, compression: 'gzip' })
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'todo', 'service.version': '1.1.0', 'headgate.storeId': storeId, 'headgate.schema': 'main' }),
  spanProcessors: [new BatchSpanProcessor(exporter)],
})

const { timePull } = helper === 'none' ? { timePull: (backend) => backend } : await load(helper)
const backend = timePull(transport === 'ws' ? makeWsSync({ url: syncUrl }) : makeHttpSync({ url: syncUrl, livePull: { pollInterval: 300 } }))
const { schema, events } = await loadRelease('1.1.0')
const open = (clientId) =>
  createStorePromise({
    schema,
    storeId,
    disableDevtools: true,
    syncPayload: { authToken },
    otelOptions: { tracer: provider.getTracer('todo') },
    adapter: makeAdapter({ storage: { type: 'fs', baseDirectory: join(baseDirectory, clientId) }, clientId, sync: { backend } }),
  })
const until = async (what, holds) => {
  for (const end = Date.now() + 20_000; !(await holds()); ) {
    if (Date.now() > end) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
const ann = await open('ann')
for (const id of ['1', '2', '3']) {
  ann.commit(events.todoCreated({ id, text: `todo ${id}`, createdAt: new Date() }))
}
await until('the backend has what was committed', async () => (await ann._dev.syncStates()).leader.upstreamHead.global >= 3)
const ben = await open('ben')
await until('the other client has it', async () => (await ben._dev.syncStates()).leader.upstreamHead.global >= 3)
await Promise.all([ann.shutdownPromise?.(), ben.shutdownPromise?.()])
await provider.forceFlush()
await new Promise((resolve) => process.stdout.write('done\n', () => resolve()))
process.exit(0)
