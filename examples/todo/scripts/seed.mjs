// Lives the life of a small team of todo users on real LiveStore clients and a real sync backend, from a seed number.
//
//   node scripts/seed.mjs --seed 7 --out DIR [--store ID] [--steps N]
//
// The same seed commits the same events; client ids, numbers and heads are the same too, only the backend's id and its
// times differ. DIR gets one folder per client with the files LiveStore wrote (DIR/<client>/<store>/…), dump.json (the
// store as `livestore sync export` writes it) and seed.json, the record of what was done: see README.md.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { random, values } from './awkward.mjs'
import { pullAll, startBackend } from './backend.mjs'
import { openClient } from './client.mjs'
import { isMain } from './load.mjs'
import { rematerialize } from './rematerialize.mjs'
import { appTables, select } from './sqlite.mjs'

// Real clients of 0.4.0 that write at the same time get stuck unless they take it slowly.
const turn = 400

/** Commits steps random events, of the kinds that the client's release has. */
const work = (client, rnd, v, steps, record) => {
  const { events, tables, store } = client
  const ids = (table) => store.query(table.select('id').orderBy('id', 'asc'))
  const some = (table) => (rnd.chance(0.05) ? 'nobody-knows-it' : (rnd.pick(ids(table)) ?? 'nobody-knows-it'))
  const todo = () => some(tables.todos)
  const fields = () => ({
    id: v.id('t'),
    text: v.text(),
    createdAt: v.date(),
    list: v.optionalList(),
    position: v.optionalReal(),
    estimate: v.integer(),
    dueAt: v.optionalDate(),
    details: v.details(),
  })
  const create = () =>
    events.todoCreatedV2 === undefined || rnd.chance(0.2)
      ? events.todoCreated(fields())
      : events.todoCreatedV2({ ...fields(), priority: v.priority() })
  const kinds = [
    ...Array(9).fill(create),
    () => events.tagCreated({ id: v.id('g'), name: v.text(), color: v.color() }),
    () => events.todoRenamed({ id: todo(), text: v.text() }),
    () => events.todoCompleted({ id: todo() }),
    () => events.todoCompleted({ id: todo() }),
    () => events.todoReopened({ id: todo() }),
    () => events.todoMoved({ id: todo(), list: v.list(), position: v.real() }),
    () => events.todoScheduled({ id: todo(), dueAt: v.optionalDate() ?? null }),
    () => events.todoDeleted({ id: todo(), deletedAt: v.date() }),
    () => events.todoTagged({ todoId: todo(), tagId: some(tables.tags) }),
    () => events.todoTagged({ todoId: todo(), tagId: some(tables.tags) }),
    () => events.todoUntagged(rnd.pick(store.query(tables.todoTags)) ?? { todoId: 'none', tagId: 'none' }),
    () => events.draftSaved({ id: rnd.pick(['new', 'reply', '']), text: v.text() }),
    () => events.uiSet({ list: v.list(), showCompleted: rnd.chance(0.5) }),
  ]
  for (let step = 0; step < steps; step++) {
    const event = rnd.chance(0.02) ? events.listCleared({ list: v.list(), deletedAt: v.date() }) : rnd.pick(kinds)()
    client.commit(event)
    record(client, event.name)
  }
}

/** Runs the story and writes DIR. Gives what seed.json holds. */
export const seed = async ({ number, out, storeId, steps }) => {
  const rnd = random(number)
  const v = values(rnd)
  const committed = []
  const record = ({ clientId, version }, event) => {
    const same = committed.find((c) => c.client === clientId && c.release === version && c.event === event)
    if (same) same.count++
    else committed.push({ client: clientId, release: version, event, count: 1 })
  }
  const temp = mkdtempSync(join(tmpdir(), 'todo-seed-'))
  const backend = await startBackend(join(temp, 'backend'))
  let head = 0
  const open = (clientId, version, online = true) =>
    openClient({
      version,
      clientId,
      storeId,
      dir: join(out, clientId),
      token: backend.token,
      ...(online ? { url: backend.url.replace('http', 'ws'), head } : {}),
    })
  const close = async (client) => {
    const state = await client.close()
    head = Math.max(head, state.confirmed)
    return state
  }
  const session = async (clientId, version, online, act) => {
    const client = await open(clientId, version, online)
    await act(client)
    return { client, ...(await close(client)) }
  }
  const working = (share) => (client) => work(client, rnd, v, Math.ceil(steps * share), record)
  const releases = {}

  try {
    // 1.0.0 is all there is: alice starts, then she and bob work side by side.
    await session('alice', '1.0.0', true, working(0.2))
    const pair = [await open('alice', '1.0.0'), await open('bob', '1.0.0')]
    for (let i = 0; i < 6; i++) {
      work(pair[i % 2], rnd, v, 1, record)
      await new Promise((done) => setTimeout(done, turn))
    }
    for (const client of pair) await client.settle()
    for (const client of pair) await close(client)
    releases['1.0.0'] = String(pair[0].schema.state.sqlite.hash)

    // alice goes offline; bob gets 1.1.0 and writes v2.TodoCreated. alice's events wait through her own upgrade and are
    // rebased behind bob's.
    await session('alice', '1.0.0', false, working(0.05))
    await session('bob', '1.1.0', true, working(0.15))
    await session('alice', '1.1.0', true, working(0.15))

    // carol is the canary on 1.2.0: she archives what is done or old.
    const archived = new Set()
    await session('carol', '1.2.0', true, async (client) => {
      await working(0.1)(client)
      const open = client.store.query(client.tables.todos.select('id').where({ deletedAt: null }).orderBy('id', 'asc'))
      const many = Math.max(3, Math.ceil(steps * 0.1))
      while (archived.size < many && open.length > 0) {
        const [id] = open.splice(rnd.int(open.length), 1)
        client.commit(client.events.todoArchived({ id }))
        record(client, 'v1.TodoArchived')
        archived.add(id)
      }
    })

    // alice, on 1.1.0, can't read the archiving: LiveStore skips it. She works on, and then goes offline.
    const online = await session('alice', '1.1.0', true, working(0.15))
    await session('alice', '1.1.0', false, working(0.05))

    // Her upgrade to 1.2.0 rebuilds nothing, because the tables are the same: what she skipped stays skipped. What she
    // archives herself is archived.
    const last = await session('alice', '1.2.0', false, async (client) => {
      const own = client.store
        .query(client.tables.todos.select('id').orderBy('id', 'asc'))
        .find((id) => !archived.has(id))
      if (own !== undefined) {
        client.commit(client.events.todoArchived({ id: own }))
        record(client, 'v1.TodoArchived')
      }
      work(client, rnd, v, 2, record)
    })
    const { client } = last
    releases['1.1.0'] = String(online.client.schema.state.sqlite.hash)
    releases['1.2.0'] = String(client.schema.state.sqlite.hash)

    // What alice has, and what she would have had she never skipped anything.
    const log = join(out, 'alice', storeId, 'eventlog@6.db')
    const state = join(out, 'alice', storeId, `state${releases['1.2.0']}@6.db`)
    const { stateFile } = await rematerialize(client.schema, log, join(temp, 'rebuilt'))
    const [has, right] = await Promise.all([state, stateFile].map(appTables))
    const wrong = (table) => {
      const rows = new Set(has[table].rows.map((row) => JSON.stringify(row)))
      return right[table].rows.filter((row) => !rows.has(JSON.stringify(row))).length
    }
    const wrongRows = Object.fromEntries(Object.keys(right).map((table) => [table, wrong(table)]))
    const inLog = await select(log, 'SELECT name, count(*) AS n FROM eventlog GROUP BY name ORDER BY name')
    const dump = await pullAll(backend, storeId)
    const facts = {
      seed: number,
      storeId,
      steps,
      livestore: '0.4.0',
      stateHashes: releases,
      committed: committed.toSorted((a, b) =>
        [a.client, a.release, a.event].join() < [b.client, b.release, b.event].join() ? -1 : 1,
      ),
      backend: { head: dump.at(-1)?.seqNum ?? 0, events: dump.length },
      alice: {
        releases: ['1.0.0', '1.1.0', '1.2.0'],
        log: {
          events: inLog.reduce((sum, { n }) => sum + n, 0),
          byName: Object.fromEntries(inLog.map(({ name, n }) => [name, n])),
          confirmedHead: last.confirmed,
          head: last.local,
          pending: last.pending,
        },
        skipped: { release: '1.1.0', byName: online.client.skipped() },
        wrongRows: Object.fromEntries(Object.entries(wrongRows).filter(([, n]) => n > 0)),
      },
    }
    writeFileSync(join(out, 'seed.json'), `${JSON.stringify(facts, null, 2)}\n`)
    writeFileSync(
      join(out, 'dump.json'),
      `${JSON.stringify({ version: 1, storeId, exportedAt: new Date().toISOString(), eventCount: dump.length, events: dump }, null, 2)}\n`,
    )
    return facts
  } finally {
    await backend.stop()
    rmSync(temp, { recursive: true, force: true })
  }
}

const main = async () => {
  const text = (value) => ({ type: 'string', ...(value === undefined ? {} : { default: value }) })
  const { values: o } = parseArgs({
    options: { seed: text('1'), out: text(), store: text('todo'), steps: text('100') },
  })
  if (o.out === undefined || !Number.isInteger(Number(o.seed)) || !(Number(o.steps) >= 20)) {
    console.error('usage: node scripts/seed.mjs --out DIR [--seed N] [--store ID] [--steps N]   (steps: 20 or more)')
    return 2
  }
  const out = resolve(o.out)
  mkdirSync(out, { recursive: true })
  if (readdirSync(out).length > 0) {
    console.error(`seed: ${out} is not empty; remove it or name another directory`)
    return 2
  }
  console.log(JSON.stringify(await seed({ number: Number(o.seed), out, storeId: o.store, steps: Number(o.steps) }), null, 2))
  return 0
}

if (isMain(import.meta.url)) process.exit(await main())
