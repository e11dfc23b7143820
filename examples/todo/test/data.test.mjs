// Holds the committed data to what README.md says of it, by asking LiveStore again.
import '../scripts/production.mjs'
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { appTables, select } from '../scripts/sqlite.mjs'
import { app, load, release } from '../scripts/load.mjs'
import { rematerialize } from '../scripts/rematerialize.mjs'

const data = join(app, 'data')
const json = (file) => JSON.parse(readFileSync(join(data, file), 'utf8'))
const manifest = json('manifest.json')
const versions = readdirSync(join(app, 'history')).sort()
const schemaOf = async (version) => (await load(join(release(version), 'schema.ts'))).schema
const schemas = Object.fromEntries(await Promise.all(versions.map(async (v) => [v, await schemaOf(v)])))

const temp = mkdtempSync(join(tmpdir(), 'todo-test-'))
after(() => rmSync(temp, { recursive: true, force: true }))
const rebuild = async (log, version) =>
  (await rematerialize(schemas[version], join(data, log), mkdtempSync(join(temp, 'rebuild-')))).stateFile

test('the tables change with 1.1.0 and never again', () => {
  const [first, ...rest] = versions.map((v) => schemas[v].state.sqlite.hash)
  assert.equal(rest.length, 3)
  assert.notEqual(rest[0], first)
  assert.deepEqual(rest, [rest[0], rest[0], rest[0]])
})

test('the working tree is 1.2.0', () => {
  const read = (dir) => Object.fromEntries(readdirSync(dir).sort().map((f) => [f, readFileSync(join(dir, f), 'utf8')]))
  assert.deepEqual(read(join(app, 'src/livestore')), read(release('1.2.0')))
})

test('each kept state is what LiveStore makes of the kept log', async () => {
  let compared = 0
  for (const { log, states } of manifest.fidelity) {
    for (const { release: version, stateHash, file } of states) {
      assert.equal(stateHash, String(schemas[version].state.sqlite.hash))
      const kept = join(temp, 'kept.db')
      writeFileSync(kept, gunzipSync(readFileSync(join(data, file))))
      assert.deepEqual(await appTables(kept), await appTables(await rebuild(log, version)), file)
      compared++
    }
  }
  assert.ok(compared >= 8)
})

test('the demo client lacks what it skipped, and a rebuild has it', async () => {
  const { log, states, record } = manifest.demo
  const skipped = json(record).alice.skipped.byName['v1.TodoArchived']
  assert.ok(skipped > 0)
  const unread = await select(join(data, log), `SELECT name FROM eventlog WHERE schemaHash = -1`)
  assert.deepEqual(unread, Array(skipped).fill({ name: 'v1.TodoArchived' }))

  const state = states.find((s) => s.releases.includes('1.2.0'))
  const has = await appTables(join(data, state.file))
  const right = await appTables(await rebuild(log, '1.2.0'))
  const wrong = right.todos.rows.filter((row, i) => JSON.stringify(row) !== JSON.stringify(has.todos.rows[i])).length
  assert.ok(wrong > 0)
  assert.deepEqual(json(record).alice.wrongRows, { todos: wrong })
  assert.deepEqual({ ...has, todos: null }, { ...right, todos: null })
})

test('a record counts what its log holds', async () => {
  for (const { log, record } of [manifest.demo, ...manifest.fidelity]) {
    const counts = await select(join(data, log), 'SELECT name, count(*) AS n FROM eventlog GROUP BY name')
    assert.deepEqual(Object.fromEntries(counts.map(({ name, n }) => [name, n])), json(record).alice.log.byName)
  }
})

test('1.3.0 shortens long titles', async () => {
  const longest = async (version) => {
    const file = await rebuild(manifest.fidelity[0].log, version)
    return select(file, 'SELECT id, text FROM todos ORDER BY id')
  }
  const [before, now] = [await longest('1.2.0'), await longest('1.3.0')]
  const cut = now.filter(({ text }, i) => text !== before[i].text)
  assert.ok(cut.length > 0)
  for (const { text } of cut) assert.match(text, /…$/)
})

test('the data stays small and closed', () => {
  const files = readdirSync(data, { recursive: true }).map((f) => join(data, f)).filter((f) => statSync(f).isFile())
  assert.ok(files.reduce((sum, f) => sum + statSync(f).size, 0) < 1_000_000)
  assert.deepEqual(files.filter((f) => /-(journal|wal|shm)$/.test(f)), [])
})
