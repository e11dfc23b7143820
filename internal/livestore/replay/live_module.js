// What stands around a migration that is written in TypeScript: a module that exports what it is about, and a generator
// of events by default. Everything goes in and out as JSON text. SQLite is the host's (globalThis.__headgate_query), and
// so are the ids (globalThis.__headgate_uuid5).
const { parse, stringify } = JSON
const { __headgate_query: hostQuery, __headgate_uuid5: hostUUID } = globalThis

// ---- what would make the events hang on more than the state: refused, also while the module is evaluated ------------
const refuse = (what, instead) => () => {
  throw new Error(`headgate: ${what} gives something else each time, and a migration gives the same events whenever and wherever it runs: ${instead}`)
}
const clock = 'write the time itself, or take it from the state'
const chance = 'use uuid5(name) for an id'
Math.random = refuse('Math.random()', chance)
crypto.randomUUID = refuse('crypto.randomUUID()', chance)
crypto.getRandomValues = refuse('crypto.getRandomValues()', chance)
performance.now = refuse('performance.now()', clock)
const now = refuse('the time now', clock)
globalThis.Date = new Proxy(Date, {
  apply: now,
  construct: (date, args, target) => (args.length === 0 ? now() : Reflect.construct(date, args, target)),
  get: (date, key) => (key === 'now' ? now : date[key]),
})
Object.defineProperty(Date.prototype, 'constructor', { value: Date, writable: true, configurable: true })
globalThis.fetch = () => {
  throw new Error('headgate: fetch is not available: a migration does no I/O')
}

// The module is evaluated after what is above.
const migration = require('headgate:module')

// ---- queries ---------------------------------------------------------------------------------------------------------
const toHost = (v, i) => {
  switch (typeof v) {
    case 'string':
      return v
    case 'boolean':
      return v ? 1 : 0
    case 'bigint':
      return { $: 'int', v: String(v) }
    case 'number':
      if (!Number.isFinite(v)) break
      if (Object.is(v, -0)) return 0
      return Number.isSafeInteger(v) ? { $: 'int', v: String(v) } : v
  }
  if (v === null) return null
  if (v instanceof Uint8Array) {
    let s = ''
    for (const b of v) s += String.fromCharCode(b)
    return { $: 'blob', v: btoa(s) }
  }
  throw new TypeError(`headgate: query's parameter ${i + 1} is ${v === undefined ? 'undefined' : typeof v === 'number' ? 'no finite number' : `a ${typeof v}`}, and SQLite takes null, text, numbers, booleans and Uint8Array`)
}
const fromHost = (v) => {
  if (typeof v !== 'object' || v === null) return v
  if (v.$ === 'blob') return Uint8Array.from(atob(v.v), (c) => c.charCodeAt(0))
  if (v.$ === 'int') return BigInt(v.v)
  return v.v === '+' ? Infinity : -Infinity
}
const seen = new Set()
const query = (sql, ...binds) => {
  if (typeof sql !== 'string') throw new TypeError('headgate: query(sql, …parameters): the first argument is the text of the query')
  const request = { sql, binds: binds.map(toHost) }
  if (!seen.has(sql)) {
    seen.add(sql)
    request.trace = new Error().stack // each text is looked at by the host, which wants to say where it stands
  }
  const { error, columns, rows } = parse(hostQuery(stringify(request)))
  if (error !== undefined) {
    const e = new Error(error)
    e.name = 'SqliteError'
    throw e
  }
  return rows.map((row) => Object.fromEntries(columns.map((c, i) => [c, fromHost(row[i])])))
}
const uuid5 = (name) => {
  if (typeof name !== 'string') throw new TypeError('headgate: uuid5(name): the name is a text')
  return hostUUID(name)
}

// ---- what the module is about ------------------------------------------------------------------------------------
const describe = () => {
  const values = {}
  for (const [name, v] of Object.entries(migration)) {
    if (name === 'default') values.default = Object.prototype.toString.call(v).slice(8, -1)
    else if (typeof v === 'object' && v !== null && !Array.isArray(v)) values[name] = { entries: Object.entries(v) } // in their order
    else values[name] = v ?? null
  }
  return stringify(values, (_, v) => (typeof v === 'function' || typeof v === 'bigint' || typeof v === 'symbol' ? `a ${typeof v}` : v))
}

// ---- its events --------------------------------------------------------------------------------------------------
let rules // by event: { fields, needed, key, open }, see ModuleRule
let events
let count = 0
const begin = (text) => {
  rules = new Map(Object.entries(parse(text)))
  events = migration.default(query, uuid5)
  return ''
}
// blame throws at the yield that the event came from, so that the trace leads there.
const blame = (message) => {
  const e = new TypeError(`headgate: ${message}`)
  delete e.stack
  events.throw(e)
  throw e // the generator went on
}
const plain = (v) => typeof v === 'object' && v !== null && !Array.isArray(v)
const complaint = (y) => {
  if (!plain(y) || typeof y.event !== 'string' || !plain(y.args)) return `what is yielded as number ${count} is no { event, args }`
  const { event, args } = y
  const rule = rules.get(event)
  const what = `event ${count} is a ${stringify(event)}`
  if (rule === undefined) return `${what}, which is none of its emits: ${[...rules.keys()].join(', ')}`
  const given = (k) => args[k] !== undefined
  const odd = rule.open ? undefined : Object.keys(args).find((k) => given(k) && !rule.fields.includes(k))
  if (odd !== undefined) return `${what} with ${stringify(odd)}, which it has no field for: its fields are ${rule.fields.join(', ')}`
  const missing = rule.needed.find((k) => !given(k))
  if (missing !== undefined) return `${what} without ${stringify(missing)}, which it needs`
  const key = rule.key.find((k) => !given(k) || args[k] === null)
  if (key !== undefined) return `${what} that has no key: ${stringify(key)} is ${args[key] === null ? 'null' : 'missing'}`
  const unwritable = misfit(args, '$')
  if (unwritable !== undefined) return `${what} with ${unwritable}`
  return undefined
}
// misfit finds what JSON can't hold, which stringify would drop or make null of without a word.
const misfit = (v, path) => {
  if (typeof v === 'number' && !Number.isFinite(v)) return `no finite number at ${path}`
  if (typeof v === 'bigint' || typeof v === 'function' || typeof v === 'symbol') return `a ${typeof v} at ${path}, which JSON can't hold`
  if (v instanceof Date && Number.isNaN(v.getTime())) return `no valid date at ${path}`
  if (ArrayBuffer.isView(v) || v instanceof Map || v instanceof Set) return `a ${v.constructor.name} at ${path}, which JSON can't hold`
  if (typeof v !== 'object' || v === null) return undefined
  for (const [k, w] of Object.entries(v)) {
    const found = misfit(w, Array.isArray(v) ? `${path}[${k}]` : `${path}.${k}`)
    if (found !== undefined) return found
  }
  return undefined
}
// next(most) -> {"done":…,"events":[[name, args], …]}
const next = (most) => {
  const out = []
  let done = false
  for (let left = Number(most), size = 0; left > 0 && size < 262144; left--) {
    const step = events.next()
    if (step.done) {
      done = true
      break
    }
    count++
    const why = complaint(step.value)
    if (why !== undefined) blame(why)
    const text = `[${stringify(step.value.event)},${stringify(step.value.args)}]`
    out.push(text)
    size += text.length
  }
  return `{"done":${done},"events":[${out.join(',')}]}`
}

for (const [k, f] of Object.entries({ describe, begin, next })) globalThis[`__headgate_module_${k}`] = f
