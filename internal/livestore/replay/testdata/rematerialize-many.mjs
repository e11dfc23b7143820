// Runs LiveStore's own rebuild for many logs in one process, by the example app's script.
//
//   node rematerialize-many.mjs APP PLAN.json     PLAN: [{"log", "entry", "out"}], stdout: one JSON line each, in order
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const [app, planFile] = process.argv.slice(2)
await import(join(app, 'scripts/production.mjs'))
const { rematerialize } = await import(join(app, 'scripts/rematerialize.mjs'))
const { load } = await import(join(app, 'scripts/load.mjs'))

const schemas = new Map()
for (const { log, entry, out } of JSON.parse(readFileSync(planFile, 'utf8'))) {
  if (!schemas.has(entry)) schemas.set(entry, (await load(entry)).schema)
  const dir = mkdtempSync(join(tmpdir(), 'rematerialize-'))
  const cpu = process.cpuUsage()
  try {
    const { stateFile, rebuildMs } = await rematerialize(schemas.get(entry), log, dir)
    const { user, system } = process.cpuUsage(cpu)
    if (out !== '') copyFileSync(stateFile, out)
    console.log(JSON.stringify({ ok: true, rebuildMs, cpuMs: (user + system) / 1000 }))
  } catch (error) {
    console.log(JSON.stringify({ ok: false, error: String(error.message ?? error).slice(0, 300) }))
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
process.exit(0)
