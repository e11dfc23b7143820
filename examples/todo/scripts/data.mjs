// Makes everything under data/ again:  node scripts/data.mjs [OUTDIR]
//
// Each seed is lived once (seed.mjs) and kept from alice's side. For the fidelity seeds, every release then rebuilds her
// log with LiveStore; those state files are kept compressed, because SQLite files of small tables are mostly zeros.
import './production.mjs'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { app, load, release } from './load.mjs'
import { rematerialize } from './rematerialize.mjs'
import { seed } from './seed.mjs'

const demoSeed = 7
const fidelitySeeds = [1, 2, 3]
const steps = 120

const temp = mkdtempSync(join(tmpdir(), 'todo-data-'))
const data = join(temp, 'data')
const keep = (from, ...to) => {
  const file = join(data, ...to)
  mkdirSync(dirname(file), { recursive: true })
  cpSync(from, file)
  return join(...to)
}
const live = async (number, storeId) => {
  const out = join(temp, storeId)
  mkdirSync(out)
  const facts = await seed({ number, out, storeId, steps })
  console.error(`seed ${number}: ${facts.alice.log.events} events`)
  return { out, facts, store: join(out, 'alice', storeId) }
}
const hashOf = (name) => name.match(/^state(.+)@\d+\.db$/)[1]

try {
  const { out, facts, store } = await live(demoSeed, 'demo')
  const left = readdirSync(store).filter((name) => !/^(eventlog|state.+)@6\.db$/.test(name))
  if (left.length > 0) throw new Error(`LiveStore left ${left.join(', ')} behind`)
  const demo = {
    seed: demoSeed,
    record: keep(join(out, 'seed.json'), 'demo', 'seed.json'),
    dump: keep(join(out, 'dump.json'), 'demo', 'dump.json'),
    log: keep(join(store, 'eventlog@6.db'), 'demo', 'eventlog@6.db'),
    states: readdirSync(store)
      .filter((name) => name.startsWith('state'))
      .map((name) => ({
        stateHash: hashOf(name),
        releases: Object.keys(facts.stateHashes).filter((v) => facts.stateHashes[v] === hashOf(name)),
        file: keep(join(store, name), 'demo', name),
      })),
  }

  const fidelity = []
  for (const number of fidelitySeeds) {
    const { out, store } = await live(number, `fidelity-${number}`)
    const dir = join('fidelity', String(number))
    const states = []
    for (const version of readdirSync(join(app, 'history')).sort()) {
      const { schema } = await load(join(release(version), 'schema.ts'))
      const work = mkdtempSync(join(temp, 'rebuild-'))
      const { stateFile } = await rematerialize(schema, join(store, 'eventlog@6.db'), work)
      const file = join(dir, version, `${basename(stateFile)}.gz`)
      mkdirSync(join(data, dir, version), { recursive: true })
      writeFileSync(join(data, file), gzipSync(readFileSync(stateFile), { level: 9 }))
      states.push({ release: version, stateHash: hashOf(basename(stateFile)), file })
    }
    fidelity.push({
      seed: number,
      record: keep(join(out, 'seed.json'), dir, 'seed.json'),
      log: keep(join(store, 'eventlog@6.db'), dir, 'eventlog@6.db'),
      states,
    })
  }

  writeFileSync(join(data, 'manifest.json'), `${JSON.stringify({ demo, fidelity }, null, 2)}\n`)
  const target = resolve(process.argv[2] ?? join(app, 'data'))
  if (existsSync(target)) rmSync(target, { recursive: true })
  cpSync(data, target, { recursive: true })
  console.error(`wrote ${target}`)
} finally {
  rmSync(temp, { recursive: true, force: true })
}
process.exit(0)
