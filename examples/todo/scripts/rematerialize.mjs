// Rebuilds the state of an event log with a real LiveStore client, offline, and keeps the state file it wrote.
//
//   node scripts/rematerialize.mjs LOG VERSION|SCHEMA.ts OUTDIR [--runs N]
//
// LOG is an eventlog@6.db; it is copied, never opened. VERSION is a release under history/; SCHEMA.ts any module that
// exports `schema`. OUTDIR gets state<HASH>@6.db. stdout has one JSON line per run:
//
//   {"ok":true,"schema":"1.0.0","stateHash":"…","stateFile":"…","events":120,"rebuildMs":98.1,"bootMs":240.7}
//   {"ok":false,"schema":"1.0.0","stateHash":"…","events":120,"error":"…"}      LiveStore refused to boot; exit 1
//
// rebuildMs is LiveStore's own measure of making the tables and replaying the log; bootMs is all of createStore.
import './production.mjs'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { countEvents } from './sqlite.mjs'
import { isMain, load, release } from './load.mjs'

const measure = '@livestore/common:leader-thread:recreateDb'

/** One rebuild of log under schema, inside dir, which the caller removes. */
export const rematerialize = async (schema, log, dir) => {
  const { makeAdapter } = await import('@livestore/adapter-node')
  const { createStorePromise } = await import('@livestore/livestore')
  const { LogLevel } = await import('effect')
  mkdirSync(join(dir, 'store'), { recursive: true })
  copyFileSync(log, join(dir, 'store', 'eventlog@6.db'))
  performance.clearMeasures(measure)
  const start = performance.now()
  const store = await createStorePromise({
    schema,
    storeId: 'store',
    disableDevtools: true,
    logLevel: LogLevel.None,
    adapter: makeAdapter({ storage: { type: 'fs', baseDirectory: dir }, clientId: 'rematerialize' }),
  })
  const bootMs = performance.now() - start
  await store.shutdownPromise()
  const files = readdirSync(join(dir, 'store')).filter((name) => name.startsWith('state'))
  if (files.length !== 1) throw new Error(`expected one state file, found ${files.join(', ') || 'none'}`)
  const [entry] = performance.getEntriesByName(measure)
  return { stateFile: join(dir, 'store', files[0]), rebuildMs: entry.duration, bootMs }
}

const main = async () => {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { runs: { type: 'string', default: '1' } } })
  const [log, which, outDir] = positionals
  if (outDir === undefined || positionals.length > 3 || !(Number(values.runs) >= 1)) {
    console.error('usage: node scripts/rematerialize.mjs LOG VERSION|SCHEMA.ts OUTDIR [--runs N]')
    return 2
  }
  const entry = existsSync(release(which)) ? join(release(which), 'schema.ts') : which
  for (const path of [log, entry]) {
    if (!existsSync(path)) {
      console.error(`rematerialize: ${path} does not exist`)
      return 2
    }
  }
  const { schema } = await load(entry)
  if (schema?.state?.sqlite === undefined) {
    console.error(`rematerialize: ${entry} exports no LiveStore schema named schema`)
    return 2
  }
  const stateHash = String(schema.state.sqlite.hash)
  const events = await countEvents(log).catch(() => undefined)
  if (events === undefined) {
    console.error(`rematerialize: ${log} is no event log of LiveStore's`)
    return 2
  }
  const round = (ms) => Math.round(ms * 10) / 10
  for (let run = 0; run < Number(values.runs); run++) {
    const dir = mkdtempSync(join(tmpdir(), 'rematerialize-'))
    try {
      const { stateFile, rebuildMs, bootMs } = await rematerialize(schema, log, dir)
      const name = stateFile.slice(stateFile.lastIndexOf('/') + 1)
      mkdirSync(outDir, { recursive: true })
      copyFileSync(stateFile, join(outDir, `${name}.new`))
      renameSync(join(outDir, `${name}.new`), join(outDir, name))
      const times = { rebuildMs: round(rebuildMs), bootMs: round(bootMs) }
      console.log(JSON.stringify({ ok: true, schema: which, stateHash, stateFile: join(outDir, name), events, ...times }))
    } catch (error) {
      console.log(JSON.stringify({ ok: false, schema: which, stateHash, events, error: String(error.message ?? error) }))
      return 1
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  }
  return 0
}

if (isMain(import.meta.url)) process.exit(await main())
