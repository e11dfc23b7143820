// What headgate asks of an app's schema, beside the app's modules in one bundle. Everything goes in and out as JSON
// text through globalThis.__headgate; SQLite is the host's (globalThis.__headgate_sql, on the same thread).
import { done as afterEvaluation } from 'headgate:before'
import * as app from 'headgate:app'
import * as queryModules from 'headgate:queries'
import { freeParsers, makeCodec } from 'headgate:codec'
import { makeLowering } from 'headgate:lower'
import * as common from 'headgate:common'
import { getExecStatementsFromMaterializer, isQueryBuilder, liveStoreStorageFormatVersion, liveStoreVersion, migrateTable } from 'headgate:common'
import { isLiveStoreSchema, makeSchema, SqliteAst, State } from 'headgate:common/schema'
import { Schema as LiveStoreSchema } from 'headgate:utils/effect'
import { Effect, GlobalValue, JSONSchema, Option, ParseResult, Schema, SchemaAST } from 'headgate:effect'

const duplicateEvents = afterEvaluation()

// ---- which export is the schema -----------------------------------------------------------------------------------
let schema
let chosen
const choose = (name) => {
  const found = Object.keys(app).filter((k) => isLiveStoreSchema(app[k]))
  if (name !== '' && !(name in app)) return { error: 'no-export', exports: Object.keys(app).sort(), schemas: found.sort() }
  const value = name === '' ? app[found[0]] : app[name]
  if (name === '' && found.length !== 1) return { error: found.length === 0 ? 'no-schema' : 'several-schemas', exports: Object.keys(app).sort(), schemas: found.sort() }
  if (!isLiveStoreSchema(value)) return { error: 'not-a-schema', exports: Object.keys(app).sort(), schemas: found.sort(), type: value === null ? 'null' : typeof value }
  schema = value
  chosen = name === '' ? found[0] : name
  return undefined
}

// ---- Effect Schema AST -> canonical dump ---------------------------------------------------------------------------
const annotation = (ast, id) => ast.annotations?.[id]
const identifier = (ast) => annotation(ast, SchemaAST.IdentifierAnnotationId)
const schemaIdText = (id) => {
  const text = typeof id === 'symbol' ? (Symbol.keyFor(id) ?? id.description ?? '') : String(id)
  return text.replace(/^effect\/(SchemaId|schema)\//, '')
}
// Filters that an app writes itself carry these ids, or none.
const opaqueFilters = new Set(['Refine', 'Brand', 'InstanceOf'])
const plainJson = (v) => {
  if (v === null || typeof v === 'string' || typeof v === 'boolean') return v
  if (typeof v === 'number') return Number.isFinite(v) ? v : undefined
  if (typeof v === 'bigint') return { bigint: String(v) }
  if (Array.isArray(v)) {
    const out = v.map(plainJson)
    return out.includes(undefined) ? undefined : out
  }
  if (typeof v === 'object' && (Object.getPrototypeOf(v) === Object.prototype || Object.getPrototypeOf(v) === null)) {
    const out = {}
    for (const k of Object.keys(v).sort()) {
      if (v[k] === undefined) continue
      const w = plainJson(v[k])
      if (w === undefined) return undefined
      out[k] = w
    }
    return out
  }
  return undefined
}
const keywords = {
  StringKeyword: 'string', NumberKeyword: 'number', BooleanKeyword: 'boolean', BigIntKeyword: 'bigint', SymbolKeyword: 'symbol',
  UndefinedKeyword: 'undefined', VoidKeyword: 'void', NeverKeyword: 'never', AnyKeyword: 'any', UnknownKeyword: 'unknown',
  ObjectKeyword: 'object',
}
const makeDumper = () => {
  const suspended = new Map() // body AST -> id
  let count = 0
  // Effect makes the decoded side of a recursive schema anew at every level, so that bodies are never identical there.
  // On a decoded side a body that looks like one that encloses it, down to the next suspend, is taken for the same.
  let decodedSides = 0
  let shallow = false
  const enclosing = [] // { look, id } of the suspends around
  const look = (body) => {
    shallow = true
    try {
      return JSON.stringify(dump(body))
    } finally {
      shallow = false
    }
  }
  const byKey = (k) => (a, b) => (a[k] < b[k] ? -1 : a[k] > b[k] ? 1 : 0)
  const dump = (ast) => {
    try {
      const out = node(ast)
      const excess = annotation(ast, SchemaAST.ParseOptionsAnnotationId)?.onExcessProperty
      if (excess !== undefined && excess !== 'ignore') out.excess = excess
      return out
    } catch (e) {
      return { kind: 'opaque', why: String(e?.message ?? e).split('\n')[0].slice(0, 200) }
    }
  }
  const filter = (ast) => {
    const id = annotation(ast, SchemaAST.SchemaIdAnnotationId)
    const name = id === undefined ? '' : schemaIdText(id)
    if (name === '' || opaqueFilters.has(name)) return {}
    const params = plainJson(annotation(ast, SchemaAST.JSONSchemaAnnotationId) ?? annotation(ast, id) ?? null)
    const own = plainJson(annotation(ast, id) ?? null)
    const merged = { ...(params ?? {}), ...(own && typeof own === 'object' && !Array.isArray(own) ? own : {}) }
    if (name === 'Pattern') {
      const regex = annotation(ast, id)?.regex
      if (regex instanceof RegExp) {
        merged.pattern = regex.source
        if (regex.flags !== '') merged.flags = regex.flags
      }
    }
    return Object.keys(merged).length === 0 ? { id: name } : { id: name, params: plainJson(merged) }
  }
  const key = (t) => {
    const out = { from: String(t.from), to: String(t.to) }
    // A decoding default answers an absent key; a plain optional key stays absent.
    try {
      const a = t.decode(Option.none())
      if (Option.isSome(a)) {
        const b = t.decode(Option.none())
        const v = plainJson(a.value)
        const w = Option.isSome(b) ? plainJson(b.value) : undefined
        out.default = v !== undefined && JSON.stringify(v) === JSON.stringify(w) ? v : { opaque: true }
      }
    } catch {
      out.default = { opaque: true }
    }
    return out
  }
  const node = (ast) => {
    if (keywords[ast._tag] !== undefined) return { kind: keywords[ast._tag] }
    switch (ast._tag) {
      case 'Literal':
        return { kind: 'literal', value: typeof ast.literal === 'bigint' ? { bigint: String(ast.literal) } : ast.literal }
      case 'UniqueSymbol':
        return { kind: 'uniqueSymbol', id: ast.symbol.description ?? '' }
      case 'Enums':
        return { kind: 'enum', values: ast.enums.map(([, v]) => v) }
      case 'TemplateLiteral':
        return { kind: 'templateLiteral', pattern: SchemaAST.getTemplateLiteralRegExp(ast).source }
      case 'TupleType': {
        const out = { kind: 'tuple' }
        if (ast.elements.length > 0) out.elements = ast.elements.map((e) => (e.isOptional ? { type: dump(e.type), optional: true } : { type: dump(e.type) }))
        if (ast.rest.length > 0) out.rest = ast.rest.map((r) => dump(r.type))
        return out
      }
      case 'TypeLiteral': {
        const out = { kind: 'struct' }
        if (ast.propertySignatures.length > 0) {
          out.fields = ast.propertySignatures
            .map((p) => {
              const f = { name: String(p.name), type: dump(p.type) }
              if (p.isOptional) f.optional = true
              const dep = p.annotations?.[Symbol.for('livestore/schema/annotations/deprecated')] ?? annotation(p.type, Symbol.for('livestore/schema/annotations/deprecated'))
              if (typeof dep === 'string') f.deprecated = dep
              return f
            })
            .sort(byKey('name'))
        }
        if (ast.indexSignatures.length > 0) out.index = ast.indexSignatures.map((s) => ({ key: dump(s.parameter), value: dump(s.type) }))
        return out
      }
      case 'Union':
        return { kind: 'union', members: ast.types.map(dump) }
      case 'Suspend': {
        if (shallow) return { kind: 'suspend', id: identifier(ast) ?? '' }
        const body = ast.f()
        const looks = decodedSides > 0 ? look(body) : undefined
        const known = suspended.get(body) ?? enclosing.find((e) => looks !== undefined && e.looks === looks)?.id
        if (known !== undefined) return { kind: 'ref', id: known }
        const id = identifier(ast) ?? identifier(body) ?? `T${++count}`
        suspended.set(body, id)
        enclosing.push({ looks, id })
        try {
          return { kind: 'suspend', id, type: dump(body) }
        } finally {
          enclosing.pop()
        }
      }
      case 'Refinement': {
        const out = { kind: 'refinement', from: dump(ast.from), filter: filter(ast) }
        const id = identifier(ast)
        if (id !== undefined) out.id = id
        return out
      }
      case 'Transformation': {
        const t = ast.transformation
        const out = { kind: 'transform', from: dump(ast.from) }
        decodedSides++
        try {
          out.to = dump(ast.to)
        } finally {
          decodedSides--
        }
        const id = identifier(ast) ?? (annotation(ast, SchemaAST.SchemaIdAnnotationId) === SchemaAST.ParseJsonSchemaId ? 'parseJson' : undefined)
        if (id !== undefined) out.id = id
        if (t._tag === 'ComposeTransformation') out.how = 'compose'
        else if (t._tag === 'TypeLiteralTransformation') {
          out.how = 'fields'
          out.keys = t.propertySignatureTransformations.map(key).sort(byKey('from'))
        } else out.how = 'function'
        return out
      }
      case 'Declaration': {
        const out = { kind: 'declaration' }
        const sid = annotation(ast, SchemaAST.SchemaIdAnnotationId)
        const id = identifier(ast) ?? (sid === undefined ? undefined : schemaIdText(sid))
        if (id !== undefined) out.id = id
        if (ast.typeParameters.length > 0) out.params = ast.typeParameters.map(dump)
        return out
      }
      default:
        return { kind: 'opaque', why: `unknown node ${ast._tag}` }
    }
  }
  return dump
}
const dumpSchema = (s) => makeDumper()(s.ast)

const jsonSchema = (s) => {
  try {
    const out = JSONSchema.make(s)
    delete out.$schema
    return out
  } catch {
    return undefined
  }
}

// ---- describe ---------------------------------------------------------------------------------------------------------
const recordingDb = () => {
  const statements = []
  const push = (sql) => void statements.push(String(sql).trim())
  const db = {
    _tag: 'SqliteDb', metadata: {}, debug: { head: undefined },
    execute: push,
    select: (sql) => { push(sql); return [] },
    prepare: (sql) => ({ execute: () => push(sql), select: () => { push(sql); return [] }, finalize() {}, sql }),
    export: () => new Uint8Array(), import() {}, close() {}, destroy() {},
    session: () => ({ changeset: () => undefined, finish() {} }),
  }
  return { db, statements }
}
const runHook = (hook, db) => {
  const out = hook(db)
  if (Effect.isEffect(out)) return void Effect.runSync(out)
  if (typeof out?.then === 'function') throw new Error('the hook is asynchronous')
}
const hookNames = ['init', 'pre', 'post']
const describeHooks = (migrations) =>
  hookNames.flatMap((name) => {
    const hook = migrations.hooks?.[name]
    if (hook === undefined) return []
    const { db, statements } = recordingDb()
    try {
      runHook(hook, db)
      return [{ name, statements }]
    } catch (e) {
      return [{ name, statements, error: String(e?.message ?? e).split('\n')[0] }]
    }
  })

const ddl = (ast) => {
  const { db, statements } = recordingDb()
  Effect.runSync(migrateTable({ db, tableAst: ast, behaviour: 'create-if-not-exists', skipMetaTable: true }))
  return statements
}
const isParseJson = (ast) =>
  ast._tag === 'Transformation' &&
  (annotation(ast, SchemaAST.SchemaIdAnnotationId) === SchemaAST.ParseJsonSchemaId || isParseJson(ast.from))
const columnDefault = (c) => {
  if (c.default._tag === 'None') return undefined
  const v = c.default.value
  if (typeof v === 'function') return '(computed)'
  if (v === null) return 'null'
  if (typeof v === 'object' && v !== null && typeof v.sql === 'string' && Object.keys(v).length === 1) return v.sql
  const e = Schema.encodeSync(c.schema)(v)
  return c.type._tag === 'text' ? `'${e}'` : String(e)
}
const isSystem = (name) => name.startsWith('__livestore_')

// The generated file says on a materializer which corrections are around it.
const textsOf = (list) => (Array.isArray(list) && list.every((n) => typeof n === 'string') ? list : undefined)
const correctionsOf = (f) => textsOf(f.headgateCorrections)
const correctionTextsOf = (f) => textsOf(f.headgateCorrectionTexts)

const describeTable = (def) => {
  const ast = def.sqliteDef.ast
  return {
    name: ast.name,
    clientDocument: def.options?.isClientDocumentTable === true,
    hash: String(SqliteAst.hash(ast)),
    columns: ast.columns.map((c) => {
      const json = c.type._tag === 'text' && isParseJson(c.schema.ast)
      const target = json ? c.schema.ast.to : undefined
      return {
        name: c.name, type: c.type._tag, primaryKey: c.primaryKey, nullable: c.nullable, autoIncrement: c.autoIncrement,
        default: columnDefault(c), json,
        untyped: json && (target._tag === 'AnyKeyword' || target._tag === 'UnknownKeyword'),
        schema: dumpSchema(c.schema),
      }
    }),
    indexes: ast.indexes.map((i) => ({ name: i.name ?? '', columns: [...i.columns], unique: i.unique === true })),
    ddl: ddl(ast),
  }
}

const queryText = (v) => {
  if (isQueryBuilder(v)) return { sql: v.asSql().query }
  if (typeof v === 'object' && v !== null && v._tag === 'def' && typeof v.hash === 'string') return { hash: v.hash }
  if (typeof v === 'object' && v !== null && typeof v.query === 'string') return { sql: v.query }
  return undefined
}
// A query that takes arguments is called with the first plausible ones that it accepts.
const samples = [() => 'a', () => 1, () => new Date(0), () => ({}), () => []]
const describeQueries = () => {
  const out = []
  for (const [name, v] of Object.entries(queryModules)) {
    let q = queryText(v)
    let error
    if (q === undefined && typeof v === 'function') {
      for (const s of samples) {
        try {
          q = queryText(v(...Array.from({ length: Math.max(v.length, 1) }, s)))
          if (q !== undefined) break
        } catch (e) {
          error = String(e?.message ?? e).split('\n')[0]
        }
      }
    }
    if (q !== undefined) out.push({ name, ...q })
    else if (error !== undefined) out.push({ name, error })
  }
  return out
}

const describe = () => {
  const unknownDefault = makeSchema({ events: {}, state: State.SQLite.makeState({ tables: {}, materializers: {} }) }).unknownEventHandling
  const sqlite = schema.state.sqlite
  return {
    export: chosen,
    duplicateEvents,
    liveStore: liveStoreVersion,
    storageFormat: liveStoreStorageFormatVersion,
    stateHash: String(sqlite.hash),
    unknownEventHandling: schema.unknownEventHandling.strategy,
    unknownEventHandlingExplicit: schema.unknownEventHandling !== unknownDefault,
    migrations: { strategy: sqlite.migrations.strategy, hooks: sqlite.migrations.strategy === 'auto' ? describeHooks(sqlite.migrations) : [] },
    events: [...schema.eventsDefsMap.values()].map((e) => ({
      name: e.name,
      clientOnly: e.options.clientOnly === true,
      derived: e.options.derived === true,
      deprecated: e.options.deprecated,
      schemaHash: String(LiveStoreSchema.hash(e.schema)),
      // A schema that the generated corrections made tolerant writes what the app's own does, and that is what others read.
      args: dumpSchema(e.headgateStrict ?? e.schema),
      jsonSchema: jsonSchema(e.headgateStrict ?? e.schema),
    })),
    tables: [...sqlite.tables.values()].filter((t) => !isSystem(t.sqliteDef.name)).map(describeTable),
    materializers: [...schema.state.materializers.entries()].map(([event, f]) => ({
      event, source: Function.prototype.toString.call(f), corrections: correctionsOf(f), correctionTexts: correctionTextsOf(f),
    })),
    queries: describeQueries(),
  }
}

// ---- running events ------------------------------------------------------------------------------------------------------
// Values that JSON can't carry go as {"$": kind, "v": text}; binds hold no plain objects, so there is no confusion.
const toWire = (v) => {
  switch (typeof v) {
    case 'number':
      if (Object.is(v, -0)) return 0
      return Number.isFinite(v) ? v : Number.isNaN(v) ? null : { $: 'inf', v: v > 0 ? '+' : '-' }
    case 'boolean':
      return v ? 1 : 0
    case 'bigint':
      return { $: 'int', v: String(v) }
    case 'string':
      return v
    case 'undefined':
      return null
    default:
      if (v === null) return null
      if (v instanceof Uint8Array || Array.isArray(v)) {
        let s = ''
        for (const b of v) s += String.fromCharCode(b & 255)
        return { $: 'blob', v: btoa(s) }
      }
      return null // as LiveStore's SQLite binding does with what it does not know
  }
}
const fromWire = (v) => {
  if (typeof v !== 'object' || v === null) return v
  if (v.$ === 'blob') return Uint8Array.from(atob(v.v), (c) => c.charCodeAt(0))
  if (v.$ === 'int') return BigInt(v.v)
  return v.v === '+' ? Infinity : -Infinity
}
const wireBinds = (binds) => {
  if (binds === undefined || binds === null) return undefined
  if (Array.isArray(binds)) return binds.length === 0 ? undefined : binds.map(toWire)
  const keys = Object.keys(binds)
  if (keys.length === 0) return undefined
  const out = {}
  for (const k of keys) out[k] = toWire(binds[k])
  return out
}
// Operations go as [event, statement, binds]: a statement's text once, its number afterwards. The host counts alike.
const maxTexts = 4096
const texts = new Map()
const operation = (e, sql, binds) => {
  const n = texts.get(sql)
  if (n === undefined && texts.size < maxTexts) texts.set(sql, texts.size)
  return [e, n === undefined ? sql : n, wireBinds(binds) ?? null]
}
const sqlCall = (request) => {
  const r = JSON.parse(globalThis.__headgate_sql(JSON.stringify(request)))
  if (r.error !== undefined) {
    const e = new Error(r.error)
    e.name = 'SqliteError'
    if (r.failed >= 0) earlier = { e: r.failed, stage: 'sql', name: 'SqliteError', message: r.error }
    throw e
  }
  return r
}

let pending = [] // operations of the running batch that SQLite has not seen yet
let queried = false
let earlier // an operation of the batch that SQLite refused when a later query made it run
const rows = (sql, binds) => {
  queried = true
  const o = pending
  pending = [] // whatever happens, the host has seen them
  const r = sqlCall({ o, q: [String(sql), wireBinds(binds) ?? null] })
  if (r.r === undefined) return []
  return r.r.map((row) => {
    const o = {}
    r.c.forEach((c, i) => void (o[c] = fromWire(row[i])))
    return o
  })
}
const run = (sql, binds) => void sqlCall({ o: [operation(-1, String(sql), binds)] })
const stateDb = {
  _tag: 'SqliteDb', metadata: {}, debug: { head: undefined },
  select: (sql, binds) => rows(sql, binds),
  execute: (sql, binds) => run(sql, binds),
  prepare: (sql) => ({
    execute: (binds) => run(sql, binds),
    select: (binds) => rows(sql, binds), finalize() {}, sql,
  }),
  export: () => { throw new Error('export is not available where headgate replays a log') },
  import: () => { throw new Error('import is not available where headgate replays a log') },
  session: () => ({ changeset: () => undefined, finish() {} }),
  close() {}, destroy() {},
}

const issuePath = (e) => {
  try {
    if (ParseResult.isParseError(e)) {
      // Leaf first: in a union the deepest problem says most. Messages would quote payload values, so only what was wanted is kept.
      const issues = ParseResult.ArrayFormatter.formatErrorSync(e)
      const path = '$' + (issues[0]?.path ?? []).map((p) => (typeof p === 'number' ? `[${p}]` : `.${String(p)}`)).join('')
      return { path, wanted: wanted(e.issue), tag: issues[0]?._tag }
    }
  } catch {}
  return { path: '$', wanted: '' }
}
const wanted = (issue) => {
  let i = issue
  for (;;) {
    if (i._tag === 'Pointer') i = i.issue
    else if (i._tag === 'Composite') i = Array.isArray(i.issues) ? i.issues[0] : i.issues
    else if (i._tag === 'Refinement' && i.kind === 'From') i = i.issue
    else if (i._tag === 'Transformation' && i.issue) {
      if (i.issue._tag === 'Type' || i.issue._tag === 'Forbidden') return String(i.ast).slice(0, 200)
      i = i.issue
    } else break
  }
  if (i._tag === 'Missing') return 'a value (the key is missing)'
  if (i._tag === 'Unexpected') return 'no such key'
  return String(i.ast ?? i.actual?._tag ?? '').slice(0, 200)
}
// LiveStore's and SQLite's messages hold statements, Effect's and the app's hold payloads: the first line, without
// quoted values and without what is a value of the event's arguments.
const thrown = (e, args) => ({
  name: String(e?.name ?? 'Error'),
  message: redact(String(e?.message ?? e).split('\n')[0].replace(/"(?:[^"\\]|\\.)*"/g, '"…"'), args).slice(0, 300),
  stack: String(e?.stack ?? ''),
})
const leaves = (v, out) => {
  if (typeof v === 'string' || typeof v === 'number') out.add(String(v))
  else if (typeof v === 'object' && v !== null) for (const k of Object.keys(v)) leaves(v[k], out)
  return out
}
const redact = (text, args) => {
  for (const leaf of [...leaves(args, new Set())].sort((a, b) => b.length - a.length)) {
    if (leaf === '' || !text.includes(leaf)) continue
    // A short value may be part of a word of the message.
    if (leaf.length > 3) text = text.replaceAll(leaf, '…')
    else text = text.split(/([\p{L}\p{N}_]+)/u).map((w) => (w === leaf ? '…' : w)).join('')
  }
  return text
}

freeParsers(GlobalValue.globalValue)
const codec = makeCodec({ Schema, SchemaAST, Option })

const resolve = (name) => {
  const def = schema.eventsDefsMap.get(name)
  if (def === undefined) return { reason: 'event-definition-missing' }
  const materializer = schema.state.materializers.get(name)
  if (materializer === undefined) return { reason: 'materializer-missing' }
  return { def, materializer }
}

const lowering = makeLowering({
  Schema, codec, isQueryBuilder, getResultSchema: common.getResultSchema, prepareBindValues: common.prepareBindValues,
})
const query = lowering.query(rows)
const canQuery = typeof common.getResultSchema === 'function' && typeof common.prepareBindValues === 'function'
let inMaterializer = false
let decoded // the arguments of the event at hand: LiveStore is not given them, so that it does not parse them once more
const guarded = new Map() // event definition -> its materializer, noting that it is being called
const guard = (def, materializer) => {
  let g = guarded.get(def)
  if (g === undefined) {
    g = (_, ctx) => {
      inMaterializer = true
      const own = { ...ctx, eventDef: def, event: { ...ctx.event, args: decoded } }
      if (canQuery) own.query = query
      return lowering.operation(materializer(decoded, own))
    }
    guarded.set(def, g)
  }
  return g
}
const untyped = new Map() // event definition -> the same for arguments of any kind, or none
const takesNone = (def) => {
  let d = untyped.get(def)
  if (d === undefined) untyped.set(def, (d = { ...def, schema: Schema.Unknown }))
  return d
}

const statements = (ev, def, materializer, db) => {
  inMaterializer = false
  decoded = codec.decoder(def.schema)(ev.a)
  const event = {
    name: ev.n, args: undefined,
    seqNum: { global: ev.s[0], client: ev.s[1], rebaseGeneration: ev.s[2] },
    parentSeqNum: { global: ev.p[0], client: ev.p[1], rebaseGeneration: ev.p[2] },
    clientId: ev.c, sessionId: ev.x,
  }
  return getExecStatementsFromMaterializer({
    eventDef: takesNone(def), materializer: guard(def, materializer), dbState: db, event: { decoded: event, encoded: event },
  })
}
// The same as in the file that is generated into the app: a test holds them against each other.
const canonical = (value) =>
  JSON.stringify(value, (_, v) => (typeof v === 'object' && v !== null && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v))
const digest = (name, clientId, sessionId, encoded) => {
  const text = canonical([name, clientId, sessionId, encoded ?? null])
  let a = 0x811c9dc5
  let b = 0x9dc5811c
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193)
    b = Math.imul(b ^ text.charCodeAt(i), 0x5bd1e995) ^ (a >>> 15)
  }
  return [a, b].map((n) => (n >>> 0).toString(16).padStart(8, '0')).join('')
}

const poison = (e, args) =>
  e?.name === 'SqliteError' && inMaterializer
    ? { stage: 'query', ...thrown(e, args) }
    : inMaterializer
      ? { stage: 'materialize', ...thrown(e, args) }
      : ParseResult.isParseError(e)
        ? { stage: 'decode', ...issuePath(e) }
        : { stage: 'decode', path: '$', wanted: '', ...thrown(e, args) }

const api = {
  // choose(exportName) -> null | problem
  choose: (name) => JSON.stringify(choose(JSON.parse(name)) ?? null),
  describe: () => JSON.stringify(describe()),

  // hook(name): runs one migration hook against the host's database -> {ran, error?}
  hook: (arg) => {
    const hook = schema.state.sqlite.migrations.hooks?.[JSON.parse(arg)]
    if (hook === undefined) return JSON.stringify({ ran: false })
    try {
      runHook(hook, stateDb)
      return JSON.stringify({ ran: true })
    } catch (e) {
      return JSON.stringify({ ran: true, error: thrown(e) })
    }
  },

  // apply([{n,a,s,p,c,x}]) -> {o: [[e, statement, binds]], s?: [[index, reason]], p?: {e, …}}, in this order
  // Stops at the first poison event; operations of events before it are complete.
  apply: (arg) => {
    const events = JSON.parse(arg)
    let s
    let p
    pending = []
    earlier = undefined
    for (let e = 0; e < events.length; e++) {
      const ev = events[e]
      const { reason, def, materializer } = resolve(ev.n)
      if (reason !== undefined) {
        if (schema.unknownEventHandling.strategy === 'fail') {
          p = { e, stage: 'unknown', path: '$', wanted: reason }
          break
        }
        ;(s ??= []).push([e, reason])
        continue
      }
      try {
        for (const st of statements(ev, def, materializer, stateDb)) pending.push(operation(e, st.statementSql, st.bindValues))
      } catch (err) {
        p = earlier ?? { e, ...poison(err, ev.a) }
        break
      }
      if (earlier !== undefined) {
        p = earlier
        pending = []
        break
      }
    }
    const o = pending
    pending = []
    return JSON.stringify({ o, s, p })
  },

  // materialize(event) -> {ops, queried} | {skipped: reason} | {poison}: one event, nothing executed
  materialize: (arg) => {
    const ev = JSON.parse(arg)
    const { reason, def, materializer } = resolve(ev.n)
    if (reason !== undefined) return JSON.stringify({ skipped: reason })
    queried = false
    pending = []
    try {
      const ops = statements(ev, def, materializer, stateDb).map((s) => ({ e: 0, sql: s.statementSql, binds: wireBinds(s.bindValues) }))
      return JSON.stringify({ ops, queried })
    } catch (err) {
      return JSON.stringify({ queried, poison: { e: 0, ...poison(err, ev.a) } })
    }
  },

  // decode([[name, args], …]) -> [null | {reason} | {path, wanted}]
  decode: (arg) =>
    JSON.stringify(
      JSON.parse(arg).map(([name, args]) => {
        const def = schema.eventsDefsMap.get(name)
        if (def === undefined) return { reason: 'event-definition-missing' }
        try {
          codec.decoder(def.schema)(args)
          return null
        } catch (e) {
          return issuePath(e)
        }
      }),
    ),

  // identify([{n,a,s,p,c,x}]) -> [{digest, args, undefined?, unreadable?, unwritable?}], as the generated corrections do on a client
  identify: (arg) =>
    JSON.stringify(
      JSON.parse(arg).map(({ n, a, c, x }) => {
        const def = schema.eventsDefsMap.get(n)
        const of = (args, more) => ({ digest: digest(n, c, x, args), args: args ?? null, ...more })
        if (def === undefined) return of(a, { undefined: true })
        const strict = def.headgateStrict ?? def.schema // the one around it decodes anything
        let args
        try {
          args = codec.decoder(strict)(a)
        } catch {
          return of(a, { unreadable: true })
        }
        try {
          return of(Schema.encodeUnknownSync(strict)(args))
        } catch {
          return of(a, { unwritable: true })
        }
      }),
    ),
}
for (const [k, f] of Object.entries(api)) globalThis[`__headgate_${k}`] = f
