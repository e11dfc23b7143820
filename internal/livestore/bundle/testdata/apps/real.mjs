// What LiveStore's own packages say, in Node, about the schemas that the tests give to the sandbox.
//
//   node real.mjs < {"packages": DIR, "apps": [{"dir", "entry", "export", "samples"}]} > [{…}, …]
import { readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'

const input = JSON.parse(readFileSync(0, 'utf8'))
const { build } = createRequire(join(input.packages, 'package.json'))('esbuild')

const driver = (app) => `
import * as app from ${JSON.stringify(join(app.dir, app.entry))}
import { getExecStatementsFromMaterializer, migrateTable } from '@livestore/common'
import { Effect, Schema } from '@livestore/utils/effect'
import { FileSystem } from '@livestore/utils/effect'
import { sqliteDbFactory } from '@livestore/sqlite-wasm/node'

const wire = (v) => {
  if (typeof v === 'boolean') return v ? 1 : 0
  if (typeof v === 'bigint') return { $: 'int', v: String(v) }
  if (v instanceof Uint8Array) return { $: 'blob', v: Buffer.from(v).toString('base64') }
  return v ?? null
}
const wireBinds = (b) => b === undefined ? null : Array.isArray(b) ? b.map(wire) : Object.fromEntries(Object.entries(b).map(([k, v]) => [k, wire(v)]))

export const answer = async (name, samples, sqlite3) => {
  const schema = app[name]
  const open = await Effect.runPromise(sqliteDbFactory({ sqlite3 }).pipe(Effect.provideService(FileSystem.FileSystem, {})))
  const db = await Effect.runPromise(open({ _tag: 'in-memory' }))
  const tables = [...schema.state.sqlite.tables.values()].filter((t) => !t.sqliteDef.name.startsWith('__livestore_'))
  const ddl = tables.map((t) => {
    const statements = []
    const spy = new Proxy(db, { get: (o, k) => k === 'execute' ? (sql, ...rest) => { statements.push(String(sql).trim()); return o.execute(sql, ...rest) } : k === 'prepare' ? (sql) => { statements.push(String(sql).trim()); return o.prepare(sql) } : o[k] })
    Effect.runSync(migrateTable({ db: spy, tableAst: t.sqliteDef.ast, behaviour: 'create-if-not-exists', skipMetaTable: true }))
    return { name: t.sqliteDef.name, ddl: statements }
  })
  const answers = samples.map((ev, i) => {
    const eventDef = schema.eventsDefsMap.get(ev.name)
    const materializer = schema.state.materializers.get(ev.name)
    if (eventDef === undefined || materializer === undefined) return { skipped: true }
    const seq = (n) => ({ global: n, client: 0, rebaseGeneration: 0 })
    const encoded = { name: ev.name, args: ev.args, seqNum: seq(i + 1), parentSeqNum: seq(i), clientId: 'client', sessionId: 'session' }
    let ops
    try {
      Schema.decodeUnknownSync(eventDef.schema)(ev.args)
    } catch (e) {
      return { failed: 'decode', message: String(e?.message ?? e) }
    }
    try {
      ops = getExecStatementsFromMaterializer({ eventDef, materializer, dbState: db, event: { decoded: undefined, encoded } })
    } catch (e) {
      return { failed: 'throw', message: String(e?.message ?? e) }
    }
    const out = { ops: ops.map((o) => ({ sql: o.statementSql, binds: wireBinds(o.bindValues) })) }
    try {
      for (const o of ops) db.execute(o.statementSql, o.bindValues)
    } catch (e) {
      out.failed = 'sql'
    }
    return out
  })
  const rows = {}
  for (const { name } of ddl) rows[name] = db.select('SELECT * FROM "' + name + '" ORDER BY rowid').map((r) => Object.values(r).map(wire))
  return {
    stateHash: String(schema.state.sqlite.hash),
    events: Object.fromEntries([...schema.eventsDefsMap.values()].map((e) => [e.name, String(Schema.hash(e.schema))])),
    materializers: [...schema.state.materializers.keys()].sort(),
    tables: ddl, samples: answers, rows,
  }
}
`
// What only exists in a native shell is a proxy that does nothing.
const native = {
  name: 'native',
  setup(b) {
    b.onResolve({ filter: /^(react-native|expo)($|[-\/])/ }, (a) => ({ path: a.path, namespace: 'native' }))
    b.onLoad({ filter: /.*/, namespace: 'native' }, () => ({ contents: 'const p = new Proxy(function () {}, { get: (_, k) => k === Symbol.toPrimitive ? () => "" : k === "then" ? undefined : k === "__esModule" ? true : p, getPrototypeOf: () => p, apply: () => p }); module.exports = p' }))
  },
}

const { loadSqlite3Wasm } = await import(pathToFileURL(join(input.packages, 'node_modules/@livestore/sqlite-wasm/dist/load-wasm/mod.node.js')))
const sqlite3 = await loadSqlite3Wasm()

const out = []
for (const [i, app] of input.apps.entries()) {
  const file = join(app.dir, `.real-${i}.mjs`)
  await build({
    stdin: { contents: driver(app), resolveDir: dirname(join(app.dir, app.entry)), loader: 'js' },
    absWorkingDir: app.dir, outfile: file, bundle: true, platform: 'node', format: 'esm', target: 'node20', logLevel: 'error',
    nodePaths: [join(input.packages, 'node_modules')],
    banner: { js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url)" },
    loader: { '.png': 'dataurl', '.svg': 'dataurl', '.css': 'empty' },
    define: { 'process.env.NODE_ENV': '"production"', 'import.meta.env': '{}' },
    jsx: 'automatic', plugins: [native],
  })
  const { answer } = await import(pathToFileURL(file))
  out.push(await answer(app.export, app.samples, sqlite3))
  rmSync(file)
}
process.stdout.write(JSON.stringify(out))
