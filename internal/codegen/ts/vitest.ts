// @ts-nocheck: the app's compiler options need not know vitest
// What the corrections of headgate.generated.ts do, on events made up to the shape of the bad ones: no value in here is a user's.
// Keep it until the corrections go, which is when no store's log holds the events any more; then it may be deleted with them.
// @vitest-environment node
import { Schema } from '@livestore/livestore'
import { describe, expect, test } from 'vitest'
import * as app from '__ENTRY__'

const schema = app[__EXPORT__]

/**
 * args are encoded. listed: the app's code lists the bad events by a digest of what they say, and the test has the correction
 * list the made-up one. makes: the events whose statements are wanted. answers: what SQLite makes of the correction's SQL here.
 */
const cases = __CASES__

/** What a materializer asks of the state: a made-up row, whose every column is a text; none after the twentieth, for one that asks on. */
const stateOf = (answers) => {
  let asked = 0
  return (q) => {
    const found = typeof q?.query === 'string' ? Object.entries(answers).filter(([sql]) => q.query.includes(sql)) : []
    if (found.length > 0) return found.map(([, value]) => ({ value }))
    if ((asked += 1) > 20) return []
    const row = (of) => new Proxy(of, { get: (target, key) => (typeof key === 'symbol' || key in target ? Reflect.get(target, key) : 'x') })
    return row([row({})])
  }
}

const contextOf = ({ event, args, seq, client, session }, answers) => ({
  currentFacts: new Map(),
  eventDef: schema.eventsDefsMap.get(event),
  query: stateOf(answers),
  event: { name: event, args, seqNum: { global: seq, client: 0, rebaseGeneration: 0 }, parentSeqNum: { global: seq - 1, client: 0, rebaseGeneration: 0 }, clientId: client, sessionId: session },
})

const decode = (event, args) => Schema.decodeUnknownSync(schema.eventsDefsMap.get(event).schema)(args)
const materializer = (event) => schema.state.materializers.get(event)
const own = (event) => materializer(event)?.headgateTest?.own ?? materializer(event)

/** What a materializer does with an event: its statements, or why it does not. */
const outcome = (run, made, answers, about) => {
  const args = decode(made.event, made.args)
  const context = contextOf({ ...made, args }, answers)
  try {
    const list = [(about === undefined ? run : about())(args, context)].flat()
    return list.map((s) => (typeof s === 'string' ? s : typeof s?.asSql === 'function' ? s.asSql() : { sql: s.sql, bindValues: s.bindValues }))
  } catch (cause) {
    return String(cause)
  }
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
      const wanted = makes.map((made) => outcome(own(made.event), { ...bad, ...made }, answers))
      if (wanted.some((one) => typeof one === 'string')) return skip(`the app's materializer needs another state: ${wanted}`)
      const args = decode(event, bad.args)
      expect(outcome(materializer(event), bad, answers, meant(args, contextOf({ ...bad, args }, answers)))).toEqual(wanted.flat())
    })

    for (const { other, ...changed } of others) {
      test(`leaves an event alone that has another ${other}`, () => {
        const args = decode(event, bad.args)
        const got = outcome(materializer(event), { ...bad, ...changed }, answers, meant(args, contextOf({ ...bad, args }, answers)))
        if (unreadable) expect(got).toContain('no correction is about this one')
        else expect(got).toEqual(outcome(own(event), { ...bad, ...changed }, answers))
      })
    }
  })
}
