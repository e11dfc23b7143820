
/** The app's backfill migrations that it runs itself, in their order, as their files below headgate/migrations say them. */
const clientMigrations: ReadonlyArray<ClientMigration> = __CLIENT_MIGRATIONS__

type ClientMigration = {
  readonly name: string
  readonly checksum: string
  readonly file: string
  readonly repeat: boolean
  readonly marker: { readonly event: string; readonly table: string; readonly column: string } | undefined
  readonly emits: ReadonlyArray<ClientEmit>
  readonly asserts: ReadonlyArray<{ readonly label: string; readonly line: number; readonly sql: string }>
}

/** Each row of the query becomes an event. The columns in uuids hold names, which uuid5 makes ids of. */
type ClientEmit = {
  readonly event: string
  readonly key: ReadonlyArray<string>
  readonly uuids: ReadonlyArray<string>
  readonly line: number
  readonly sql: string
}

/** A migration that has something to do on this client. */
export type PendingMigration = {
  readonly migration: string
  /** Rows that would become events now; 0 when only the marker is missing. */
  readonly due: number
}

export type MigrationRun = {
  readonly migration: string
  readonly committed: number
  /** Whether this run committed the marker. */
  readonly marked: boolean
  /** False when the signal ended the run before all was committed. */
  readonly finished: boolean
}

export type MigrationOptions = {
  /** The most events in one commit: 20 unless given. */
  readonly chunk?: number | undefined
  /** The least milliseconds between two commits, 500 unless given; up to half as much is added at random. */
  readonly pace?: number | undefined
  /**
   * The most milliseconds of a random wait before the first commit, 3000 unless given. Clients that start together
   * thus start apart, and what one of them commits is not due any more on the others.
   */
  readonly jitter?: number | undefined
  /** Ends the run after the commit under way. The next run goes on from there. */
  readonly signal?: { readonly aborted: boolean } | undefined
  readonly onProgress?: ((progress: { readonly migration: string; readonly committed: number; readonly due: number }) => void) | undefined
}

/** What is used of LiveStore's store. */
export type MigrationStore = Pick<Store<any, any>, 'storeId' | 'schema' | 'query' | 'commit' | 'syncStatus'>

/** The migrations that have something to do, in the order in which they would run. It commits nothing. */
export const pendingMigrations = (store: MigrationStore): ReadonlyArray<PendingMigration> =>
  clientMigrations.map((migration) => standing(store, migration)).filter((pending) => pending !== undefined)

const standing = (store: MigrationStore, migration: ClientMigration): PendingMigration | undefined => {
  checkMigration(store, migration)
  const marked = isMarked(store, migration)
  if (marked && !migration.repeat) return undefined
  const count = ({ sql, line }: ClientEmit) => Number(ask(store, migration, `SELECT count(*) AS n FROM (\n${sql}\n)`, line)[0]?.['n'])
  const due = migration.emits.reduce((sum, emit) => sum + count(emit), 0)
  const lacksMarker = migration.marker !== undefined && !marked && !isFresh(store)
  return due > 0 || lacksMarker ? { migration: migration.name, due } : undefined
}

/**
 * Commits what is due, migration after migration, and returns those that had something to do. It may be called at
 * every start and be cut short at any moment: what is due is asked of the state. The same call a second time, while
 * the first one runs, gives the first one's result; other tabs of the browser wait for their turn. It is rejected when
 * a migration can't run or one of its asserts does not hold; what was committed until then stays.
 */
export const runPendingMigrations = (
  store: MigrationStore,
  options: MigrationOptions = {},
): Promise<ReadonlyArray<MigrationRun>> => {
  const already = migrating.get(store)
  if (already !== undefined) return already
  const run = oneTabAtATime(store.storeId, () => runMigrations(store, options)).finally(() => migrating.delete(store))
  migrating.set(store, run)
  return run
}

const migrating = new WeakMap<MigrationStore, Promise<ReadonlyArray<MigrationRun>>>()

type Locks = { readonly request: <T>(name: string, run: () => Promise<T>) => Promise<T> }

const oneTabAtATime = async <T>(storeId: string, run: () => Promise<T>): Promise<T> => {
  const { navigator } = globalThis as unknown as { readonly navigator?: { readonly locks?: Locks } }
  return navigator?.locks === undefined ? run() : navigator.locks.request(`headgate-migrations-${storeId}`, run)
}

const wait = (ms: number) => new Promise<void>((resolve) => host.setTimeout(resolve, ms))

/** Asks again for some seconds: while LiveStore rebases, the state is for moments one that nobody committed. */
const soon = async (holds: () => boolean): Promise<boolean> => {
  for (let tries = 0; tries < 100; tries++) {
    if (holds()) return true
    await wait(50)
  }
  return holds()
}

const runMigrations = async (store: MigrationStore, options: MigrationOptions): Promise<ReadonlyArray<MigrationRun>> => {
  const runs: MigrationRun[] = []
  const pace = options.pace ?? 500
  let next = Date.now() + Math.random() * (options.jitter ?? 3000)
  const turn = async () => {
    await wait(Math.max(0, next - Date.now()))
    await soon(() => store.syncStatus().isSynced) // what the leader does not have yet is all that a rebase can disturb
    next = Date.now() + pace * (1 + Math.random() / 2)
  }
  for (const migration of clientMigrations) {
    if (standing(store, migration) === undefined) continue
    const run = await runMigration(store, migration, options, turn)
    runs.push(run)
    if (!run.finished) break
  }
  await soon(() => store.syncStatus().isSynced) // the next tab asks when the leader has our events
  return runs
}

const runMigration = async (
  store: MigrationStore,
  migration: ClientMigration,
  options: MigrationOptions,
  turn: () => Promise<void>,
): Promise<MigrationRun> => {
  let committed = 0
  const ended = (more: Partial<MigrationRun>): MigrationRun => ({
    migration: migration.name, committed, marked: false, finished: true, ...more,
  })
  for (const emit of migration.emits) {
    const done = new Set<string>() // keys that got their event in this run
    let due: ReadonlyArray<DueEvent> = []
    let most = Number.POSITIVE_INFINITY // of what may be due, as long as nobody else writes
    let head = ''
    for (;;) {
      const now = store.syncStatus().localHead
      if (now !== head) {
        most = Number.POSITIVE_INFINITY
        due = []
        if (!migration.repeat && isMarked(store, migration)) return ended({}) // another client was faster
      }
      if (due.length === 0) {
        head = now
        due = dueOf(store, migration, emit).filter(({ key }) => !done.has(key))
        if (due.length > most) {
          throw failed(migration, emit.line, 'the query returns new rows because of the events that it made: it would never end')
        }
        if (due.length === 0) break
      }
      await turn()
      if (options.signal?.aborted === true) return ended({ finished: false })
      if (store.syncStatus().localHead !== head) continue
      // The first event goes alone: if its row stays due, every start would commit it again, unless a marker ends that.
      const first = done.size === 0 && migration.marker === undefined
      const batch = due.slice(0, first ? 1 : Math.max(1, options.chunk ?? 20))
      store.commit(...(batch.map((event) => decoded(store, migration, emit.line, event)) as never[]))
      for (const { key } of batch) done.add(key)
      committed += batch.length
      due = due.slice(batch.length)
      most = due.length
      head = store.syncStatus().localHead
      options.onProgress?.({ migration: migration.name, committed, due: due.length })
      if (first && dueOf(store, migration, emit).some(({ key }) => done.has(key))) {
        throw failed(migration, emit.line, `the row of the first event is still due after it: without a marker, ${emit.event} has to change what the query looks for`)
      }
    }
  }
  for (const { label, line, sql } of migration.asserts) {
    const holds = () => {
      const rows = ask(store, migration, sql, line)
      const values = Object.values(rows[0] ?? {})
      return rows.length === 1 && values.length === 1 && values[0] !== null && values[0] !== 0
    }
    if (!(await soon(holds))) throw failed(migration, line, `the assert '${label}' does not hold`)
  }
  const { marker } = migration
  if (marker === undefined || isMarked(store, migration) || isFresh(store)) return ended({})
  await turn()
  if (isMarked(store, migration)) return ended({})
  store.commit(...([decoded(store, migration, 1, markerEvent(store, migration, marker.event, committed))] as never[]))
  return ended({ marked: true })
}

const failed = (migration: ClientMigration, line: number, message: string): Error =>
  new Error(`headgate: migration ${migration.name} (${migration.file}:${line}): ${message}`)

/** Nobody ever wrote to the store: there is nothing to migrate, and a marker would be its first event. */
const isFresh = (store: MigrationStore): boolean => /^e0(?!\d)/.test(store.syncStatus().localHead)

const isMarked = (store: MigrationStore, migration: ClientMigration): boolean => {
  if (migration.marker === undefined) return false
  const { table, column } = migration.marker
  const name = (text: string) => `"${text.replace(/"/g, '""')}"`
  const sql = `SELECT 1 FROM ${name(table)} WHERE ${name(column)} = '${migration.name}' LIMIT 1`
  return ask(store, migration, sql, 1).length > 0
}

const checkMigration = (store: MigrationStore, migration: ClientMigration): void => {
  const { eventsDefsMap, state } = store.schema
  for (const { event, line } of migration.emits) {
    if (!eventsDefsMap.has(event)) throw failed(migration, line, `the app does not define ${event}`)
    if (!state.materializers.has(event)) throw failed(migration, line, `the app has no materializer for ${event}`)
  }
  const { marker } = migration
  if (marker === undefined) return
  if (!eventsDefsMap.has(marker.event)) throw failed(migration, 1, `the app does not define the marker ${marker.event}`)
  if (!state.sqlite.tables.has(marker.table)) throw failed(migration, 1, `the app has no table ${marker.table}, where ${marker.event} belongs`)
}

type Row = { readonly [column: string]: unknown }

let asked = 0

/** Each question has a text of its own, because LiveStore's cache of results outlives a rebase. */
const ask = (store: MigrationStore, migration: ClientMigration, sql: string, line: number): ReadonlyArray<Row> => {
  try {
    return store.query<ReadonlyArray<Row>>({ query: `/* headgate ${++asked} */ ${sql}`, bindValues: {} })
  } catch (cause) {
    throw Object.assign(failed(migration, line, `the query failed: ${String(cause)}`), { cause })
  }
}

/** An event that is due, with its arguments as they are on the wire. */
type DueEvent = { readonly event: string; readonly args: Row; readonly key: string }

const dueOf = (store: MigrationStore, migration: ClientMigration, emit: ClientEmit): ReadonlyArray<DueEvent> => {
  const fields = wireFields(store, migration, emit.event, emit.line)
  const keys = new Set<string>()
  return ask(store, migration, emit.sql, emit.line).map((row, index) => {
    const refuse = (why: string) => failed(migration, emit.line, `row ${index + 1}${why}`)
    const args: Record<string, unknown> = {}
    for (const [column, value] of Object.entries(row)) {
      const field = fields.get(column)
      if (field === undefined) throw refuse(`: ${emit.event} has no field for the column "${column}"`)
      const plain = emit.uuids.includes(column) && typeof value === 'string' ? uuid5(store.storeId, migration.name, value) : value
      if (plain === null && field.optional && 'why' in encodeValue(field.type, null)) continue
      const encoded = encodeValue(field.type, plain)
      if ('why' in encoded) throw refuse(`: column "${column}" ${encoded.why} (for ${emit.event})`)
      args[column] = encoded.value
    }
    for (const [name, field] of fields) {
      if (!field.optional && !(name in args)) throw refuse(`: ${emit.event} needs "${name}", which the query does not return`)
    }
    for (const name of emit.key) {
      if (row[name] === null || !(name in args)) throw refuse(` has no key: "${name}" is NULL, or no column`)
    }
    const key = JSON.stringify(emit.key.map((name) => args[name]))
    if (keys.has(key)) throw refuse(' has the key of an earlier row')
    keys.add(key)
    return { event: emit.event, args, key }
  })
}

/** Once per migration and store, whoever commits it: id, migration, checksum and events, as far as the event has them. */
const markerEvent = (store: MigrationStore, migration: ClientMigration, event: string, events: number): DueEvent => {
  const known: Row = { id: uuid5(store.storeId, migration.name, 'marker'), migration: migration.name, checksum: migration.checksum, events }
  const args: Record<string, unknown> = {}
  for (const [name, { optional }] of wireFields(store, migration, event, 1)) {
    if (name in known) args[name] = known[name]
    else if (!optional) throw failed(migration, 1, `the marker ${event} needs "${name}", which headgate can't fill`)
  }
  return { event, args, key: event }
}

/** What `commit` takes. LiveStore encodes it again, which must give what was to be committed. */
const decoded = (store: MigrationStore, migration: ClientMigration, line: number, { event, args }: DueEvent) => {
  const { schema } = eventNamed(store, migration, event, line)
  const input = Schema.decodeUnknownSync(schema)(args)
  const again = Schema.encodeUnknownSync(schema)(input) as Row
  const differs = [...new Set([...Object.keys(args), ...Object.keys(again)])].find((name) => canonical(args[name]) !== canonical(again[name]))
  if (differs !== undefined) {
    throw failed(migration, line, `${event} writes "${differs}" in another form than the query: return it as the app does (a date with strftime('%Y-%m-%dT%H:%M:%fZ', …), a field with a default as a column)`)
  }
  return { name: event, args: input }
}

const canonical = (value: unknown): string | undefined =>
  JSON.stringify(value, (_, v) =>
    typeof v === 'object' && v !== null && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v,
  )

const eventNamed = (store: MigrationStore, migration: ClientMigration, name: string, line: number): { readonly schema: Schema.Schema<any, any> } => {
  const event = store.schema.eventsDefsMap.get(name)
  if (event === undefined) throw failed(migration, line, `the app does not define ${name}`)
  return event as never
}

type Ast = SchemaAST.AST
type WireField = { readonly type: Ast; readonly optional: boolean }

const wireOf = (ast: Ast): Ast => (ast._tag === 'Transformation' || ast._tag === 'Refinement' ? wireOf(ast.from) : ast)

const wireFields = (store: MigrationStore, migration: ClientMigration, event: string, line: number): ReadonlyMap<string, WireField> => {
  const wire = wireOf(eventNamed(store, migration, event, line).schema.ast)
  if (wire._tag !== 'TypeLiteral') throw failed(migration, line, `the arguments of ${event} are no plain object, so that columns can't make them`)
  return new Map(
    wire.propertySignatures.map(({ name, type, isOptional }) => [String(name), { type: wireOf(type), optional: isOptional || admitsUndefined(type) }]),
  )
}

const admitsUndefined = (ast: Ast): boolean => {
  const wire = wireOf(ast)
  if (wire._tag === 'Union') return wire.types.some(admitsUndefined)
  if (wire._tag === 'Suspend') return admitsUndefined(wire.f())
  return ['UndefinedKeyword', 'VoidKeyword', 'AnyKeyword', 'UnknownKeyword'].includes(wire._tag)
}

type EncodedValue = { readonly value: unknown } | { readonly why: string }

/** What SQLite returned as a value of a wire type, by the rules of `headgate migration`; or why that can't be. */
const encodeValue = (type: Ast, value: unknown): EncodedValue => {
  const ast = wireOf(type)
  switch (ast._tag) {
    case 'Union':
      return encodeUnion(ast.types, value)
    case 'Literal':
      return encodeLiteral([ast.literal], value)
    case 'Enums':
      return encodeLiteral(ast.enums.map(([, member]) => member), value)
    case 'StringKeyword':
    case 'TemplateLiteral':
      return typeof value === 'string' ? { value } : { why: `is ${sqlType(value)} and must be text` }
    case 'NumberKeyword':
      return encodeNumber(value)
    case 'BooleanKeyword':
      return value === 0 || value === 1 ? { value: value === 1 } : { why: `is ${sqlType(value)} and must be 0 or 1` }
    case 'UndefinedKeyword':
    case 'VoidKeyword':
    case 'NeverKeyword':
      return { why: "can't have a value" }
    case 'AnyKeyword':
    case 'UnknownKeyword':
    case 'Declaration': {
      if (value === null) return { value }
      if (typeof value !== 'string') return value instanceof Uint8Array ? { why: "is a blob, which JSON can't hold" } : encodeNumber(value)
      const json = /^\s*[[{]/.test(value) ? parseJson(value) : undefined
      return { value: json === undefined ? value : json }
    }
    default: {
      const json = typeof value === 'string' ? parseJson(value) : undefined
      return json === undefined ? { why: `is ${sqlType(value)} and must be JSON text` } : { value: json }
    }
  }
}

const encodeUnion = (types: ReadonlyArray<Ast>, value: unknown): EncodedValue => {
  for (const type of types) {
    const encoded = encodeValue(type, value)
    if ('value' in encoded) return encoded
  }
  return { why: `is ${sqlType(value)}, which is none of the values that the schema admits` }
}

const encodeLiteral = (literals: ReadonlyArray<unknown>, value: unknown): EncodedValue => {
  const found = literals.find((literal) => (typeof literal === 'boolean' ? value === Number(literal) : value === literal))
  return found === undefined ? { why: `is ${sqlType(value)}, which is none of the values that the schema admits` } : { value: found }
}

const encodeNumber = (value: unknown): EncodedValue => {
  if (typeof value === 'bigint') return { why: "is an integer beyond 2^53, which JavaScript can't keep" }
  if (typeof value !== 'number') return { why: `is ${sqlType(value)} and must be a number` }
  return Number.isFinite(value) ? { value } : { why: 'is not a finite number' }
}

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const sqlType = (value: unknown): string => {
  if (value === null || value === undefined) return 'NULL'
  if (typeof value === 'string') return 'text'
  if (typeof value === 'bigint' || Number.isInteger(value)) return 'an integer'
  return typeof value === 'number' ? 'a real number' : 'a blob'
}

/** The SQL function uuid5(name) of `headgate migration`: the same id for the same name in one migration of one store. */
const uuid5 = (storeId: string, migration: string, name: string): string => {
  const url = [0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8]
  const hash = (namespace: ReadonlyArray<number>, text: string) => {
    const id = sha1([...namespace, ...utf8(text)]).slice(0, 16)
    id[6] = (id[6]! & 0x0f) | 0x50
    id[8] = (id[8]! & 0x3f) | 0x80
    return id
  }
  const hex = hash(hash(url, `headgate:${storeId}:${migration}`), name).map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** Without TextEncoder and crypto, which not every place has where an app runs. */
const utf8 = (text: string): number[] =>
  [...encodeURIComponent(text).matchAll(/%(..)|(.)/g)].map(([, hex, char]) => (hex === undefined ? char!.charCodeAt(0) : Number.parseInt(hex, 16)))

const sha1 = (bytes: ReadonlyArray<number>): number[] => {
  const padded = [...bytes, 0x80]
  while (padded.length % 64 !== 56) padded.push(0)
  const bits = bytes.length * 8
  for (let shift = 56; shift >= 0; shift -= 8) padded.push(Math.floor(bits / 2 ** shift) & 0xff)
  const rotate = (n: number, by: number) => (n << by) | (n >>> (32 - by))
  const state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]
  for (let at = 0; at < padded.length; at += 64) {
    const words: number[] = []
    for (let i = 0; i < 80; i++) {
      const byte = (k: number) => padded[at + i * 4 + k]!
      words.push(
        i < 16
          ? (byte(0) << 24) | (byte(1) << 16) | (byte(2) << 8) | byte(3)
          : rotate(words[i - 3]! ^ words[i - 8]! ^ words[i - 14]! ^ words[i - 16]!, 1),
      )
    }
    let [a, b, c, d, e] = state as [number, number, number, number, number]
    for (let i = 0; i < 80; i++) {
      const [mix, constant] =
        i < 20 ? [(b & c) | (~b & d), 0x5a827999]
        : i < 40 ? [b ^ c ^ d, 0x6ed9eba1]
        : i < 60 ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc]
        : [b ^ c ^ d, 0xca62c1d6]
      const next = (rotate(a, 5) + mix! + e + constant! + words[i]!) | 0
      e = d
      d = c
      c = rotate(b, 30)
      b = a
      a = next
    }
    ;[a, b, c, d, e].forEach((n, i) => (state[i] = (state[i]! + n) | 0))
  }
  return state.flatMap((n) => [24, 16, 8, 0].map((shift) => (n >>> shift) & 0xff))
}
