// @ts-nocheck: the app's compiler options need not know vitest
// What the corrections of headgate.generated.ts do, on events made up to the shape of the bad ones: no value in here is a user's.
// Keep it until the corrections go, which is when no store's log holds the events any more; then it may be deleted with them.
// @vitest-environment node
import { Schema, State } from '@livestore/livestore'
import { describe, expect, test } from 'vitest'
import * as app from '__ENTRY__'

const schema = app[__EXPORT__]

/**
 * args are encoded. listed: the app's code lists the bad events by a digest of what they say, and the test has the correction
 * list the made-up one. makes: the events whose statements are wanted. answers: what SQLite makes of the correction's SQL here, and
 * in others would make of it.
 */
const cases = __CASES__

/** Values that a schema takes, as they are encoded. What code alone can judge is tried: a value that does not decode is left out. */
const known = new Map()
const valuesOf = (ast) => {
  if (!known.has(ast)) {
    known.set(ast, []) // for a type within itself
    const decode = Schema.decodeUnknownEither(Schema.make(ast))
    known.set(ast, tried(ast).filter((value) => decode(value)._tag === 'Right').slice(0, 6))
  }
  return known.get(ast)
}
const texts = ['x', '2026-01-01T00:00:00.000Z', '1', '00000000-0000-4000-8000-000000000000', 'x@example.com', 'https://example.com', '2026-01-01', '#000000', 'x'.repeat(21), '']
const numbers = [1, 0, 1.5, 100, 1_767_225_600_000, -1]
const tried = (ast) => {
  const each = (make) => [0, 1, 2].map((n) => make((of) => valuesOf(of)[n % Math.max(valuesOf(of).length, 1)]))
  switch (ast._tag) {
    case 'Literal': return [ast.literal]
    case 'Enums': return ast.enums.map(([, value]) => value)
    case 'StringKeyword': return texts
    case 'NumberKeyword': return numbers
    case 'BooleanKeyword': return [true, false]
    case 'BigIntKeyword': return [1n]
    case 'TemplateLiteral': return ['x', 1].map((part) => ast.head + ast.spans.map((span) => part + span.literal).join(''))
    case 'Union': return ast.types.flatMap((of) => valuesOf(of).slice(0, 2))
    case 'Refinement': return ast.from._tag === 'StringKeyword' ? texts : ast.from._tag === 'NumberKeyword' ? numbers : valuesOf(ast.from)
    case 'Transformation': return [...valuesOf(ast.to).filter((value) => typeof value !== 'bigint').map((value) => JSON.stringify(value)), ...valuesOf(ast.from), ...texts, ...numbers] // a JSON column's text first
    case 'Suspend': return valuesOf(ast.f())
    case 'TypeLiteral': return each((one) => Object.fromEntries(ast.propertySignatures.map(({ name, type }) => [name, one(type)])))
    case 'TupleType': return [...each((one) => [...ast.elements, ...ast.rest].map(({ type }) => one(type))), []]
    case 'Declaration': return [new Uint8Array([1]), new Date(0)]
    case 'UndefinedKeyword': return [undefined]
    default: return [{}, 'x', 1, null]
  }
}

/** One row of a table, as SQL gives it; the states 0 to 3 differ in the values. */
const rowOf = (table, state) => Object.fromEntries(Object.entries(table.sqliteDef.columns).map(([name, column]) => {
  const values = valuesOf(column.schema.ast)
  return [name, values.length === 0 ? 'x' : values[state % values.length]]
}))

/** What LiveStore makes of a query of its own builder, where each table has that row, or none. */
const built = (ast, state) => {
  if (ast._tag === 'RowQuery') return ast.explicitDefaultValues // a client document
  const rows = state === null ? [] : [rowOf(ast.tableDef, state)]
  if (ast._tag === 'CountQuery') return rows.length
  const decoded = Schema.decodeUnknownSync(Schema.Array(ast.resultSchemaSingle))(rows)
  if (ast.pickFirst._tag === 'disabled') return decoded
  if (decoded.length > 0) return decoded[0]
  if (ast.pickFirst.behaviour === 'error') throw new Error('there is no such row')
  return ast.pickFirst.behaviour === 'undefined' ? undefined : ast.pickFirst.fallback()
}

/** The same for SQL: columns of the tables that it names, and a value of its own for what it computes. */
const bare = (sql, state) => {
  if (state === null) return []
  const tables = [...schema.state.sqlite.tables].filter(([name]) => new RegExp(`\\b${name}\\b`).test(sql)).map(([, table]) => rowOf(table, state))
  const row = Object.assign({}, ...tables.reverse())
  const computed = (name) => {
    const of = new RegExp(`(\\w+)[^\\w,]*\\sas\\s+\\W?${name.replace(/\W/g, '\\$&')}\\b`, 'i').exec(sql)?.[1] // max(position) AS last
    return of in row ? row[of] : state % 2 === 0 ? 1 : 'x'
  }
  return [new Proxy(row, { get: (target, name) => (typeof name === 'symbol' || name in target ? Reflect.get(target, name) : computed(name)) })]
}

/** The states that a materializer may want: rows of one kind or another, or none. */
const states = [0, 1, 2, 3, null]

/** What a materializer asks of the state; nothing is there after the twentieth question, for one that asks on. */
const answering = (answers, state) => {
  let asked = 0
  return (q) => {
    if (typeof q?.query === 'string' && q.query.includes('\n) AS value FROM (SELECT $name AS name, ')) { // a correction's SQL; 0: another's
      return [{ value: Object.entries(answers).find(([sql]) => q.query.startsWith(`SELECT (\n${sql}\n) AS value`))?.[1] ?? 0 }]
    }
    const now = (asked += 1) > 20 ? null : state
    return typeof q?.query === 'string' ? bare(q.query, now) : built(q[State.QueryBuilderAstSymbol], now)
  }
}

const contextOf = ({ event, args, seq, client, session }, answers, state = 0) => ({
  currentFacts: new Map(),
  eventDef: schema.eventsDefsMap.get(event),
  query: answering(answers, state),
  event: { name: event, args, seqNum: { global: seq, client: 0, rebaseGeneration: 0 }, parentSeqNum: { global: seq - 1, client: 0, rebaseGeneration: 0 }, clientId: client, sessionId: session },
})

const decode = (event, args) => Schema.decodeUnknownSync(schema.eventsDefsMap.get(event).schema)(args)
const materializer = (event) => schema.state.materializers.get(event)
const own = (event) => materializer(event)?.headgateTest?.own ?? materializer(event)

/** What a materializer does with an event in a state: its statements, or why it does not. */
const outcome = (run, made, answers, state, about) => {
  const args = decode(made.event, made.args)
  const context = contextOf({ ...made, args }, answers, state)
  try {
    const list = [(about === undefined ? run : about())(args, context)].flat(Infinity)
    return list.map((s) => (typeof s === 'string' ? s : typeof s?.asSql === 'function' ? s.asSql() : { sql: s.sql, bindValues: s.bindValues }))
  } catch (cause) {
    return String(cause)
  }
}

/** The state that tells most: one in which the materializers run, and make something. */
const telling = (outcomes) => {
  const worth = (list) => (list.some((one) => typeof one === 'string') ? 0 : list.flat().length === 0 ? 1 : 2)
  const all = states.map((state) => worth(outcomes(state)))
  return states[all.indexOf(Math.max(...all))]
}

test('there is a correction to test', () => expect(cases).not.toEqual([]))

for (const { name, event, listed, makes, answers, unreadable, others, ...writer } of cases) {
  const bad = { event, ...writer }
  const meant = (args, context) => (listed ? () => materializer(event).headgateTest.about(name, args, context) : undefined)

  describe(`correction ${name}`, () => {
    test('is in the app, around its materializers', () => {
      expect(materializer(event)?.headgateCorrections ?? [], 'withHeadgate goes around the materializers').toContain(name)
    })

    test(makes.length === 0 ? 'skips the event' : 'makes of the event what it declares', ({ skip }) => {
      const ownWay = makes.length > 0 ? makes : unreadable ? [] : [bad] // a skipped one would have to make something
      const of = telling((state) => ownWay.map((made) => outcome(own(made.event), { ...bad, ...made }, answers, state)))
      const wanted = makes.map((made) => outcome(own(made.event), { ...bad, ...made }, answers, of))
      if (wanted.some((one) => typeof one === 'string')) return skip(`the app's materializer needs another state: ${wanted}`)
      const args = decode(event, bad.args)
      expect(outcome(materializer(event), bad, answers, of, meant(args, contextOf({ ...bad, args }, answers)))).toEqual(wanted.flat())
    })

    for (const { other, answers: theirs, ...changed } of others) {
      test(`leaves an event alone that has another ${other}`, () => {
        const args = decode(event, bad.args)
        const said = { ...answers, ...theirs }
        const made = (state) => outcome(own(event), { ...bad, ...changed }, said, state)
        const state = unreadable ? 0 : telling((one) => [made(one)])
        const got = outcome(materializer(event), { ...bad, ...changed }, said, state, meant(args, contextOf({ ...bad, args }, said)))
        if (unreadable) expect(got).toContain('no correction is about this one')
        else expect(got).toEqual(made(state))
      })
    }
  })
}
