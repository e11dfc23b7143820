
// Corrections: what this release makes of bad events in the place of what they say. headgate writes them from
// headgate/corrections/; each stays as long as a log holds the events that it is about.

type Correction = {
  readonly name: string
  readonly event: string
  /** `number:digest` of each event that is meant; without it the conditions below pick them, also among those to come. */
  readonly pins?: string
  /** What the arguments had when they were listed; a field that the event got later is in none of the digests. */
  readonly fields?: ReadonlyArray<ReadonlyArray<string>>
  readonly release?: string
  readonly from?: number
  readonly to?: number
  readonly clients?: ReadonlyArray<string>
  readonly where?: string
  /** What is made of an event: nothing, the event with these fields or arguments, or what other events make. */
  readonly skip?: true
  readonly set?: { readonly [field: string]: unknown }
  readonly rewrite?: string
  readonly replace?: ReadonlyArray<{ readonly event: string; readonly args: string }>
}

export const headgateCorrections: ReadonlyArray<Correction> = __CORRECTIONS__

/** Events that the release reads though their arguments do not decode, and events that it knows only to correct them. */
const tolerated: ReadonlyArray<string> = __TOLERATED__
const adopted: ReadonlyArray<string> = __ADOPTED__

type SchemaEvents = Parameters<typeof makeSchema>[0]['events']
type SchemaEvent = SchemaEvents extends infer E ? (E extends ReadonlyArray<infer D> ? D : never) : never
type Materialize = (args: any, context: any) => any

/** Arguments that the event's own schema does not take, as they are in the log. */
class Unreadable {
  readonly encoded: unknown
  constructor(encoded: unknown) {
    this.encoded = encoded
  }
}

/**
 * Goes around the events that the app gives to `makeSchema`, where a correction is about one that this release could not
 * read, or does not know: `makeSchema({ events: withCorrectedEvents(events), state })`.
 */
export const withCorrectedEvents = <T extends SchemaEvents>(events: T): T => {
  const own = Object.entries(events as { readonly [key: string]: SchemaEvent })
  const all = own.map(([key, def]) => [key, tolerated.includes(def.name) ? tolerant(def) : def] as const)
  for (const name of adopted) {
    if (!own.some(([, def]) => def.name === name)) all.push([name, Events.synced({ name, schema: Schema.Unknown })])
  }
  return (Array.isArray(events) ? all.map(([, def]) => def) : Object.fromEntries(all)) as unknown as T
}

const tolerant = (def: SchemaEvent): SchemaEvent => {
  const decode = Schema.decodeUnknownEither(def.schema as Schema.Schema<unknown>)
  const encode = Schema.encodeUnknownSync(def.schema as Schema.Schema<unknown>)
  const schema = Schema.transform(Schema.Unknown, Schema.Unknown, {
    strict: true,
    decode: (encoded) => {
      const read = decode(encoded)
      return read._tag === 'Right' ? read.right : new Unreadable(encoded)
    },
    encode: (args) => (args instanceof Unreadable ? args.encoded : encode(args)),
  })
  const { clientOnly, facts, derived, deprecated } = def.options
  const define = clientOnly ? Events.clientOnly : Events.synced
  if (derived) return def
  const made = define({ name: def.name, schema, ...(facts === undefined ? {} : { facts: facts as never }), ...(deprecated === undefined ? {} : { deprecated }) })
  return Object.assign(made, { headgateStrict: def.schema }) // what is written: headgate compares releases by it
}

/** Goes around the app's materializers; `withHeadgate` does it. events is needed where events are replaced by others. */
export const withCorrections = <T extends { readonly [event: string]: unknown }>(materializers: T, events?: SchemaEvents): T => {
  const own = materializers as unknown as { readonly [event: string]: Materialize }
  const defs = new Map(Object.values((events ?? {}) as { readonly [key: string]: SchemaEvent }).map((def) => [def.name, def]))
  const out: { [event: string]: Materialize } = { ...own }
  for (const name of new Set(headgateCorrections.map((c) => c.event))) {
    const mine = headgateCorrections.filter((c) => c.event === name)
    const others = mine.flatMap((c) => c.replace ?? []).map((r) => [r.event, defs.get(r.event), own[r.event]] as const)
    for (const [event, def, run] of others) {
      if (def === undefined || run === undefined) {
        throw new Error(`headgate: a correction replaces ${name} by ${event}, which the app does not define and materialize. It needs the events: withHeadgate({ tables, materializers }, events)`)
      }
    }
    out[name] = Object.assign(correct(name, own[name] ?? (() => []), mine.map(matcher), of(others)), {
      headgateCorrections: mine.map((c) => c.name),
      headgateTest: { own: own[name] ?? (() => []), about: (which: string, args: unknown, context: any) => correct(name, own[name] ?? (() => []), meant(mine, which, args, context), of(others)) },
      headgateCorrectionTexts: mine.map((c) => JSON.stringify(c)), // two releases may correct otherwise under the same name
    })
  }
  return out as unknown as T
}

type Others = ReadonlyMap<string, readonly [def: SchemaEvent, run: Materialize]>
const of = (others: ReadonlyArray<readonly [event: string, def: SchemaEvent | undefined, run: Materialize | undefined]>): Others =>
  new Map(others.map(([event, def, run]) => [event, [def!, run!] as const]))

/** For headgate.corrections.test.ts, whose events are made up: the correction, as if it listed this one. */
const meant = (mine: ReadonlyArray<Correction>, which: string, args: unknown, { event, eventDef }: any): ReadonlyArray<Matcher> =>
  mine.filter((c) => c.name === which).map((c) => {
    const encoded = args instanceof Unreadable ? args.encoded : Schema.encodeUnknownSync(eventDef.schema)(args)
    return matcher({ ...c, pins: `${event.seqNum.global}.${event.seqNum.client}:${digest(event, encoded)}` })
  })

type Matcher = { readonly correction: Correction; readonly matches: (encoded: () => unknown, context: any) => boolean }

const correct = (name: string, run: Materialize, mine: ReadonlyArray<Matcher>, others: Others): Materialize => (args, context) => {
  let seen: { readonly encoded: unknown } | undefined
  const encoded = () => (seen ??= { encoded: args instanceof Unreadable ? args.encoded : Schema.encodeUnknownSync(context.eventDef.schema)(args) }).encoded
  const found = mine.find(({ matches }) => matches(encoded, context))?.correction
  if (found?.skip === true) return []
  try {
    if (found?.set !== undefined) return run(read(context.eventDef, { ...(encoded() as object), ...found.set }), context)
    if (found?.rewrite !== undefined) return run(read(context.eventDef, object(found.rewrite, encoded(), context)), context)
    if (found?.replace !== undefined) {
      return found.replace.flatMap((r) => {
        const [def, materialize] = others.get(r.event)!
        const made = read(def, object(r.args, encoded(), context))
        return materialize(made, { ...context, eventDef: def, event: { ...context.event, name: r.event, args: made } })
      })
    }
  } catch (cause) {
    // An event that came later than the correction, and is not as those that it was made for: what the release makes of it
    // without the correction is better than a client that stops.
    if (args instanceof Unreadable) throw cause
  }
  if (args instanceof Unreadable) throw new Error(`headgate: the arguments of ${name} do not decode, and no correction is about this one`)
  return run(args, context)
}

const read = (def: SchemaEvent, encoded: unknown): unknown => {
  const args = Schema.decodeUnknownSync(def.schema as Schema.Schema<unknown>)(encoded)
  if (args instanceof Unreadable) throw new Error(`headgate: what a correction made of ${def.name} does not decode`)
  return args
}

/** SQLite evaluates the expressions: as headgate does, over the event alone. */
const evaluate = (sql: string, encoded: unknown, { event, query }: any): unknown =>
  query({
    query: `SELECT (\n${sql}\n) AS value FROM (SELECT $name AS name, $args AS args, $seq AS seq, $client AS client, $session AS session, $release AS release)`,
    bindValues: {
      name: event.name,
      args: JSON.stringify(encoded ?? null),
      seq: event.seqNum.global,
      client: event.clientId,
      session: event.sessionId,
      release: stampOf(event.sessionId)?.replace(/^(\d+)-(\d+)-(\d+)/, '$1.$2.$3').replace(/_/g, '.') ?? null,
    },
  })[0]?.value

const object = (sql: string, encoded: unknown, context: any): unknown => {
  const made: unknown = JSON.parse(String(evaluate(sql, encoded, context)))
  if (typeof made !== 'object' || made === null || Array.isArray(made)) throw new Error('headgate: what a correction made is no object')
  return made
}

const stampOf = (sessionId: string): string | undefined => /\.(\d+-\d+-\d+(?:-[^.]+)?)$/.exec(sessionId)?.[1]

const matcher = (correction: Correction): Matcher => {
  const { pins, fields = [], release, from, to, clients, where } = correction
  if (pins !== undefined) {
    const known = new Set(pins.split(' '))
    const numbers = new Set([...known].map((pin) => pin.slice(0, pin.indexOf(':'))))
    return {
      correction,
      matches: (encoded, { event }) => {
        const number = `${event.seqNum.global}.${event.seqNum.client}`
        if (!numbers.has(number)) return false
        let args: unknown
        try {
          args = encoded()
        } catch {
          return false // what the schema can't write again was not listed
        }
        return [args, ...fields.map((names) => only(names, args))].some((a) => known.has(`${number}:${digest(event, a)}`))
      },
    }
  }
  const stamp = release?.replace(/[.+]/g, '-')
  return {
    correction,
    matches: (encoded, context) => {
      const { seqNum, clientId, sessionId } = context.event
      if (seqNum.global < (from ?? 0) || seqNum.global > (to ?? Infinity) || clients?.includes(clientId) === false) return false
      if (stamp !== undefined && (clientId.startsWith('hg:') || stampOf(sessionId)?.replace(/[._+]/g, '-') !== stamp)) return false
      if (where === undefined) return true
      try {
        const truth = evaluate(where, encoded(), context)
        return (typeof truth === 'number' || typeof truth === 'bigint') && Number(truth) !== 0 // a text is no truth
      } catch {
        return false // not one of those that the expression was written for
      }
    },
  }
}

const only = (names: ReadonlyArray<string>, args: unknown): unknown =>
  typeof args === 'object' && args !== null && !Array.isArray(args) ? Object.fromEntries(Object.entries(args).filter(([name]) => names.includes(name))) : args

/** What tells an event from all others: a pending one may have another's number, but not its writer and arguments, too. */
const digest = (event: { readonly name: string; readonly clientId: string; readonly sessionId: string }, encoded: unknown): string => {
  const text = textOf([event.name, event.clientId, event.sessionId, encoded ?? null])
  let a = 0x811c9dc5
  let b = 0x9dc5811c
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193)
    b = Math.imul(b ^ text.charCodeAt(i), 0x5bd1e995) ^ (a >>> 15)
  }
  return [a, b].map((n) => (n >>> 0).toString(16).padStart(8, '0')).join('')
}

const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, v) => (typeof v === 'object' && v !== null && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v))
