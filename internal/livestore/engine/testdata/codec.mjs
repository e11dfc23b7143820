// Holds the remembered parsers against Effect's own: node codec.mjs CODEC_JS EFFECT_DIR SEED. Prints what it compared as JSON.
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'

const [codecFile, effectDir, seed] = process.argv.slice(2)
const { makeCodec, sameValue } = await import(pathToFileURL(codecFile))
const { Option, Schema, SchemaAST } = await import(pathToFileURL(join(effectDir, 'dist/esm/index.js')))

// The same values for the same seed.
let state = Number(seed) >>> 0
const random = (n) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return Math.floor((state / 2 ** 32) * n)
}

class Person extends Schema.Class('Person')({ name: Schema.String }) {}
const Trimmed = Schema.transform(Schema.String, Schema.String, { strict: true, decode: (s) => s.trim(), encode: (s) => s })
const Refusing = Schema.transform(Schema.String, Schema.String, { strict: true, decode: (s) => { if (s.length > 4) throw new Error('long'); return s }, encode: (s) => s })
const Tree = Schema.Struct({ name: Schema.String, kids: Schema.Array(Schema.suspend(() => Tree)) })

// understood: whether values that fit must be parsed without Effect, once the first uses have been compared.
const schemas = [
  [true, Schema.Struct({ id: Schema.String, n: Schema.Number, done: Schema.Boolean })],
  [true, Schema.Struct({ z: Schema.String, a: Schema.optional(Schema.String), m: Schema.NullOr(Schema.Number) })],
  [true, Schema.Struct({ a: Schema.optionalWith(Schema.String, { exact: true }), b: Schema.UndefinedOr(Schema.Number) })],
  [true, Schema.Struct({ at: Schema.Date, due: Schema.optional(Schema.NullOr(Schema.Date)) })],
  [true, Schema.Struct({ at: Schema.DateFromString, ms: Schema.DateFromNumber })],
  [true, Schema.Struct({ level: Schema.Literal('low', 'high'), one: Schema.Literal(1), mixed: Schema.Literal('a', 1, null, true) })],
  [true, Schema.Struct({ tags: Schema.Array(Schema.String), nested: Schema.Struct({ x: Schema.Int, y: Schema.NonEmptyString }) })],
  [true, Schema.Struct({ withDefault: Schema.optionalWith(Schema.Number, { default: () => 7 }), s: Schema.String })],
  [true, Schema.Struct({ asOption: Schema.optionalWith(Schema.String, { as: 'Option' }), renamed: Schema.propertySignature(Schema.String).pipe(Schema.fromKey('old')) })],
  [true, Schema.Struct({ t: Trimmed, either: Schema.Union(Schema.String, Schema.Number, Schema.Null) })],
  [true, Schema.Struct({ email: Schema.String.pipe(Schema.pattern(/^[^@]+@[^@]+$/)), n: Schema.Number.pipe(Schema.between(0, 10)) })],
  [true, Schema.Struct({ b: Schema.BooleanFromUnknown })],
  [true, Schema.Struct({ num: Schema.NumberFromString })],
  [true, Schema.Struct({ json: Schema.parseJson(Schema.Struct({ k: Schema.String })) })],
  [true, Schema.Struct({ p: Person })],
  [true, Schema.Struct({ r: Refusing, any: Schema.Unknown })],
  [true, Schema.Struct({ blob: Schema.Uint8ArrayFromBase64 })],
  [true, Schema.Date],
  [true, Schema.Array(Schema.Struct({ id: Schema.String, at: Schema.NullOr(Schema.Date) }))],
  [false, Schema.Struct({ free: Schema.Record({ key: Schema.String, value: Schema.Number }) })],
  [false, Schema.Struct({ u: Schema.Union(Schema.Struct({ k: Schema.Literal('a'), x: Schema.String }), Schema.Struct({ k: Schema.Literal('b'), y: Schema.Number })) })],
  [false, Schema.Struct({ u: Schema.Union(Schema.Date, Schema.String) })],
  [false, Schema.Struct({ strict: Schema.String }).annotations({ parseOptions: { onExcessProperty: 'error' } })],
  [false, Schema.Struct({ safe: Schema.String.annotations({ decodingFallback: () => Schema.decodeUnknownEither(Schema.String)('fell back') }) })],
  [false, Tree],
  [false, Schema.Tuple(Schema.String, Schema.Number)],
]

const scalars = [
  'text', '', ' padded ', 'long text', 'low', 'high', 'a', 'a@b', '12', 'NaN', 'true', 'AQID', '{"k":"v"}', '{"k":1}', '2026-01-01T00:00:00.000Z', '2026-02-30', 'never',
  0, -0, 1, 7, 1.5, -3, 2 ** 53, 1e300, true, false, null, undefined,
]
const value = (depth) => {
  const n = random(depth > 0 ? 12 : 10)
  if (n < 10) return scalars[random(scalars.length)]
  return n === 10 ? Array.from({ length: random(3) }, () => value(depth - 1)) : record(['x', 'y', 'k', 'name'], depth - 1)
}
const record = (names, depth) => Object.fromEntries(names.filter(() => random(5) > 0).map((n) => [n, value(depth)]))

// What may fit: for each schema values of the right shape are made more often than others.
const fitting = (ast) => {
  switch (ast._tag) {
    case 'StringKeyword': return scalars[random(17)]
    case 'NumberKeyword': return scalars[17 + random(8)]
    case 'BooleanKeyword': return random(2) === 0
    case 'UndefinedKeyword': return undefined
    case 'Literal': return ast.literal
    case 'Union': return fitting(ast.types[random(ast.types.length)])
    case 'Refinement': case 'Transformation': return fitting(ast.from)
    case 'Suspend': return random(3) === 0 ? fitting(ast.f()) : value(1)
    case 'TupleType': return [...ast.elements.map((e) => fitting(e.type)), ...ast.rest.flatMap((r) => Array.from({ length: random(3) }, () => fitting(r.type)))]
    case 'TypeLiteral': {
      const out = {}
      for (const p of ast.propertySignatures) if (!p.isOptional || random(2) === 0) out[p.name] = fitting(p.type)
      for (const _ of ast.indexSignatures) out.free = fitting(ast.indexSignatures[0].type)
      return out
    }
  }
  return value(1)
}
const spoiled = (v) => {
  if (typeof v !== 'object' || v === null || Array.isArray(v)) return value(2)
  const out = { ...v }
  const keys = Object.keys(out)
  if (keys.length > 0 && random(3) > 0) out[keys[random(keys.length)]] = value(2)
  if (random(3) === 0) delete out[keys[random(keys.length)]]
  if (random(3) === 0) out.more = value(1)
  return out
}
const attempt = (f, v) => {
  try {
    return { ok: f(v) }
  } catch (e) {
    return { error: String(e?.message ?? e) }
  }
}

const result = { schemas: schemas.length, fitted: 0, refused: 0, differences: [] }
for (const [at, [understood, schema]] of schemas.entries()) {
  let own = 0
  const counted = (make) => (s) => {
    const f = make(s)
    return (v) => {
      own++
      return f(v)
    }
  }
  const codec = makeCodec({
    Schema: { decodeUnknownSync: counted(Schema.decodeUnknownSync), encodeUnknownSync: counted(Schema.encodeUnknownSync) }, SchemaAST, Option,
  })
  for (const [way, fast, slow] of [
    ['decode', codec.decoder(schema), Schema.decodeUnknownSync(schema)],
    ['encode', codec.encoder(schema), Schema.encodeUnknownSync(schema)],
  ]) {
    let fitted = 0
    for (let i = 0; i < 3000; i++) {
      let v = fitting(schema.ast)
      if (random(3) === 0) v = spoiled(v)
      if (way === 'encode') {
        const d = attempt(Schema.decodeUnknownSync(schema), v)
        if ('ok' in d && random(10) > 0) v = d.ok
      }
      const want = attempt(slow, v)
      own = 0
      const got = attempt(fast, v)
      if ('ok' in want) {
        fitted++
        if (understood && fitted > 10 && own > 0) result.differences.push(`${at} ${way}: Effect was asked for what fits: ${JSON.stringify(v)}`)
      } else result.refused++
      if (want.error !== got.error || !sameValue(want.ok, got.ok)) {
        result.differences.push(`${at} ${way} of ${JSON.stringify(v)}: ${JSON.stringify(got)}, Effect says ${JSON.stringify(want)}`)
      }
    }
    result.fitted += fitted
    if (fitted < 50) result.differences.push(`${at} ${way}: only ${fitted} values fit`)
  }
}
result.differences = result.differences.slice(0, 10)
process.stdout.write(JSON.stringify(result), () => process.exit(0))
