// Effect's parsers, remembered. LiveStore decodes each event and encodes each column through Effect's interpreter, which
// wraps every value in an Either and makes its bookkeeping anew for every struct. Here a schema is turned into plain
// functions once, for what event and column schemas are mostly made of. Whatever is not understood, and every value that
// does not fit, goes to Effect's own parser; so do the first uses of each schema, and where the two differ then, Effect's
// own parser is what counts from there on.
const checks = 3 // uses of a schema that Effect's own parser computes too
const miss = Symbol('miss') // the value does not fit, or only Effect can say

/** Reports whether two values are the same, the order of their keys included: a materializer may show it. */
export const sameValue = (a, b) => {
  if (Object.is(a, b)) return true
  if (a instanceof Uint8Array && b instanceof Uint8Array) return a.length === b.length && a.every((x, i) => x === b[i])
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  if (a instanceof Date) return Object.is(a.getTime(), b.getTime())
  const keys = Reflect.ownKeys(a)
  const others = Reflect.ownKeys(b)
  return keys.length === others.length && keys.every((k, i) => k === others[i] && sameValue(a[k], b[k]))
}

/** QuickJS never frees a WeakMap's value that refers to its key, as V8 does. Effect remembers the parsers of each schema so,
 * and LiveStore makes schemas anew for each event of a client document, an app may, too: a long log would fill the memory.
 * So the maps of Effect keep what they have in the keys themselves. */
export const freeParsers = (globalValue) => {
  for (const name of ['decode', 'encode']) {
    const map = globalValue(Symbol.for(`effect/ParseResult/${name}MemoMap`), () => new WeakMap())
    const slot = Symbol(name)
    map.get = (ast) => (ast[slot]?.ast === ast ? ast[slot].parser : undefined) // a copy of an AST has its original's
    map.set = (ast, parser) => {
      Object.defineProperty(ast, slot, { value: { ast, parser }, configurable: true, writable: true })
      return map
    }
  }
}

const hasOwn = Object.prototype.hasOwnProperty
const DateId = Symbol.for('effect/SchemaId/DateFromSelf')

/** makeCodec({Schema, SchemaAST, Option}) -> {decoder, encoder}: of a schema, what Schema.decodeUnknownSync and
 * Schema.encodeUnknownSync give of it. */
export const makeCodec = ({ Schema, SchemaAST, Option }) => {
  const options = SchemaAST.defaultParseOption
  const right = (either) => (either?._tag === 'Right' ? either.right : miss)

  const memo = { decode: new WeakMap(), encode: new WeakMap() } // AST -> function from a value to a value or miss; null: not understood
  const compile = (ast, way) => {
    let f = memo[way].get(ast)
    if (f === undefined) {
      memo[way].set(ast, null) // a recursive schema is not understood
      f = understood(ast) ? (make(ast, way) ?? null) : null
      memo[way].set(ast, f)
    }
    return f
  }
  const understood = (ast) =>
    ast.annotations?.[SchemaAST.ParseOptionsAnnotationId] === undefined && ast.annotations?.[SchemaAST.DecodingFallbackAnnotationId] === undefined

  const when = (test) => (v) => (test(v) ? v : miss)
  const make = (ast, way) => {
    switch (ast._tag) {
      case 'StringKeyword': return when((v) => typeof v === 'string')
      case 'NumberKeyword': return when((v) => typeof v === 'number')
      case 'BooleanKeyword': return when((v) => typeof v === 'boolean')
      case 'UndefinedKeyword': return when((v) => v === undefined)
      case 'Literal': return when((v) => v === ast.literal)
      case 'Enums': return when((v) => ast.enums.some(([, value]) => value === v))
      case 'UnknownKeyword':
      case 'AnyKeyword': return (v) => v
      case 'TypeLiteral': return struct(ast, way)
      case 'TupleType': return array(ast, way)
      case 'Union': return union(ast, way)
      case 'Refinement': return refinement(ast, way)
      case 'Transformation': return transformation(ast, way)
      case 'Declaration': {
        if (ast.annotations?.[SchemaAST.SchemaIdAnnotationId] === DateId) return when((v) => v instanceof Date)
        const parse = (way === 'decode' ? ast.decodeUnknown : ast.encodeUnknown)(...ast.typeParameters)
        return (v) => right(parse(v, options, ast))
      }
    }
    return null
  }

  const struct = (ast, way) => {
    if (ast.indexSignatures.length > 0 || ast.propertySignatures.length === 0) return null
    const fields = ast.propertySignatures.map((p) => ({ name: p.name, optional: p.isOptional, parse: compile(p.type, way) }))
    if (fields.some((f) => f.parse === null || f.name === '__proto__')) return null
    return (v) => {
      if (typeof v !== 'object' || v === null || Array.isArray(v)) return miss
      const out = {}
      for (const { name, optional, parse } of fields) {
        if (optional && !hasOwn.call(v, name)) continue
        const value = parse(v[name])
        if (value === miss) return miss
        out[name] = value
      }
      return out
    }
  }

  const array = (ast, way) => {
    if (ast.elements.length > 0 || ast.rest.length !== 1) return null
    const parse = compile(ast.rest[0].type, way)
    if (parse === null) return null
    return (v) => {
      if (!Array.isArray(v)) return miss
      const out = []
      for (let i = 0; i < v.length; i++) {
        const value = parse(v[i])
        if (value === miss) return miss
        out.push(value)
      }
      return out
    }
  }

  // The kind of value that an AST takes; undefined where that is not known.
  const kind = (ast, way) => {
    switch (ast._tag) {
      case 'StringKeyword': return 'string'
      case 'NumberKeyword': return 'number'
      case 'BooleanKeyword': return 'boolean'
      case 'UndefinedKeyword': return 'undefined'
      case 'Literal': return kindOf(ast.literal)
      case 'TypeLiteral': return ast.propertySignatures.length > 0 ? 'object' : undefined
      case 'TupleType': return 'array'
      case 'Refinement': return kind(ast.from, way)
      case 'Transformation': return kind(way === 'decode' ? ast.from : ast.to, way)
      case 'Declaration': return ast.annotations?.[SchemaAST.SchemaIdAnnotationId] === DateId ? 'object' : undefined
    }
    return undefined
  }
  const kindOf = (v) => (v === null ? 'null' : Array.isArray(v) ? 'array' : typeof v)
  const flat = (ast) => (ast._tag === 'Union' && understood(ast) ? ast.types.flatMap(flat) : [ast])
  // Effect takes the first member that a value fits. Where no two of them take the same kind of value, the kind decides.
  const union = (ast, way) => {
    const types = flat(ast)
    if (types.every((t) => t._tag === 'Literal' && understood(t))) {
      const literals = types.map((t) => t.literal)
      return when((v) => literals.includes(v))
    }
    const members = new Map()
    for (const t of types) {
      const k = kind(t, way)
      const parse = compile(t, way)
      if (k === undefined || parse === null || members.has(k)) return null
      members.set(k, parse)
    }
    return (v) => {
      const parse = members.get(kindOf(v))
      return parse === undefined ? miss : parse(v)
    }
  }

  const refinement = (ast, way) => {
    if (way === 'encode') {
      let from = ast.from
      while (from._tag === 'Refinement') from = from.from
      const check = compile(SchemaAST.typeAST(ast), 'decode')
      const encode = compile(from, 'encode')
      return check === null || encode === null ? null : then(check, encode)
    }
    const parse = compile(ast.from, way)
    if (parse === null) return null
    return then(parse, (v) => (ast.filter(v, options, ast)?._tag === 'None' ? v : miss))
  }
  const then = (f, g) => (v) => {
    const w = f(v)
    return w === miss ? miss : g(w)
  }

  const transformation = (ast, way) => {
    const first = compile(way === 'decode' ? ast.from : ast.to, way)
    const last = compile(way === 'decode' ? ast.to : ast.from, way)
    const between = step(ast, way)
    if (first === null || last === null || between === null) return null
    return (v) => {
      const a = first(v)
      if (a === miss) return miss
      const b = between(a, v)
      return b === miss ? miss : last(b)
    }
  }
  const step = (ast, way) => {
    const t = ast.transformation
    switch (t._tag) {
      case 'FinalTransformation': {
        const f = t[way]
        return (a, v) => right(f(a, options, ast, v))
      }
      case 'ComposeTransformation':
        return (a) => a
      case 'TypeLiteralTransformation': {
        // What comes in is made by struct, so it may be changed in place, as Effect does.
        if (ast.from._tag !== 'TypeLiteral' || ast.to._tag !== 'TypeLiteral') return null
        const keys = t.propertySignatureTransformations.map((p) => (way === 'decode' ? [p.from, p.to, p.decode] : [p.to, p.from, p.encode]))
        return (a) => {
          for (const [from, to, f] of keys) {
            const o = f(hasOwn.call(a, from) ? Option.some(a[from]) : Option.none())
            delete a[from]
            if (Option.isSome(o)) a[to] = o.value
          }
          return a
        }
      }
    }
    return null
  }

  const remembered = (schema, way, own) => {
    const fast = compile(schema.ast, way)
    if (fast === null) return own
    let left = checks
    let bad = false
    return (v) => {
      if (bad) return own(v)
      let f = miss
      try {
        f = fast(v)
      } catch {} // Effect's own parser throws it as it should be
      if (f === miss || left === 0) return f === miss ? own(v) : f
      const w = own(v)
      bad = !sameValue(f, w)
      left--
      return w
    }
  }
  const kept = (way, make) => {
    const all = new WeakMap() // schema -> its parser
    return (schema) => {
      let f = all.get(schema)
      if (f === undefined) all.set(schema, (f = remembered(schema, way, make(schema))))
      return f
    }
  }
  return {
    decoder: kept('decode', Schema.decodeUnknownSync),
    encoder: kept('encode', Schema.encodeUnknownSync),
  }
}
