// LiveStore's query builder, remembered. asSql() and ctx.query build and compile Effect schemas anew for every event;
// a query's text and codecs depend only on its shape (table, columns, operators), so they are kept per shape. Each
// shape is computed by LiveStore's own code as well for its first uses and compared: where the two differ, in this or
// any other version of LiveStore, or where a shape is not understood here, LiveStore's own code is what counts.
import { sameValue } from 'headgate:codec'

const astOf = Symbol.for('QueryBuilderAst')
const checks = 3 // uses of a shape that LiveStore's own code computes too
const maxSteps = 20000
const [conditions, returning, conflict, excluded, result] = ['where', 'returning', 'conflict', 'excluded', 'result'].map(Symbol) // no column's name

/** makeLowering({codec, Schema, isQueryBuilder, getResultSchema, prepareBindValues}) -> {operation, query} */
export const makeLowering = ({ Schema, codec, isQueryBuilder, getResultSchema, prepareBindValues }) => {
  // A shape is found step by step from the root: by the kind of query, its table, then what else its text depends on.
  const shape = () => ({ next: new Map(), left: checks, bad: false })
  const root = shape()
  let count = 0
  const step = (from, key) => {
    let to = from.next.get(key)
    if (to === undefined) {
      if (++count > maxSteps) {
        root.next.clear()
        count = 0
      }
      from.next.set(key, (to = shape()))
    }
    return to
  }
  /** The step to a column, with its encoder; null for one that the table does not have. */
  const column = (from, def, name) => {
    const to = step(from, name)
    if (to.encode === undefined) {
      const c = def.sqliteDef.columns[name]
      to.encode = c === undefined ? null : codec.encoder(c.schema)
    }
    return to
  }

  // Each returns the shape and adds its encoded values to out; undefined where the shape is not understood.
  const values = (from, def, named, out) => {
    const names = Object.keys(named)
    for (let i = 0; i < names.length; i++) {
      from = column(from, def, names[i])
      if (from.encode === null) return undefined
      out.push(from.encode(named[names[i]]))
    }
    return from
  }
  const where = (from, ast, out) => {
    from = step(from, conditions)
    for (let i = 0; i < ast.where.length; i++) {
      const { col, op, value } = ast.where[i]
      if (typeof op !== 'string' || op === 'IN' || op === 'NOT IN' || op.startsWith('JSON_')) return undefined
      const at = column(from, ast.tableDef, col)
      from = step(at, op)
      if (value === null) {
        from = step(from, null)
        continue
      }
      if (at.encode === null || value === undefined) return undefined
      out.push(at.encode(value))
    }
    return from
  }
  // An insert without one of these fails.
  const complete = (def, named) => {
    const ast = def.insertSchema?.ast
    return ast?._tag === 'TypeLiteral' && ast.propertySignatures.every((p) => p.isOptional || Object.hasOwn(named, String(p.name)))
  }
  const end = (from, ast) => from && step(step(from, returning), ast.returning?.join('|'))
  const read = (ast, out) => {
    const def = ast.tableDef
    let s = step(step(root, ast._tag), def)
    switch (ast._tag) {
      case 'InsertQuery': {
        s = values(s, def, ast.values, out)
        if (s === undefined) return undefined
        s.complete ??= complete(def, ast.values)
        if (!s.complete) return undefined
        if (ast.onConflict !== undefined) {
          const { targets, action } = ast.onConflict
          s = step(step(step(s, conflict), action._tag), targets.join('|'))
          if (action._tag === 'update') {
            for (const c of Object.keys(action.update)) {
              s = column(s, def, c)
              if (action.update[c] === undefined) s = step(s, excluded)
              else if (s.encode === null) return undefined
              else out.push(s.encode(action.update[c]))
            }
          }
        }
        return end(s, ast)
      }
      case 'UpdateQuery':
        if (Object.keys(ast.values).length === 0) return undefined
        s = values(s, def, ast.values, out)
        return s && end(where(s, ast, out), ast)
      case 'DeleteQuery':
        return end(where(s, ast, out), ast)
      case 'SelectQuery': {
        s = where(step(s, ast.select.columns.join('|')), ast, out)
        if (s === undefined) return undefined
        if (ast.limit._tag === 'Some') out.push(ast.limit.value)
        if (ast.offset._tag === 'Some') out.push(ast.offset.value)
        const order = ast.orderBy.map((o) => `${o.col} ${o.direction}`).join('|')
        return step(s, `${order}|${ast.limit._tag}|${ast.offset._tag}`)
      }
    }
    return undefined
  }

  /** The query's text and bind values, as qb.asSql() gives them. */
  const sql = (qb) => {
    const out = []
    const ast = qb[astOf]
    // An encoder that throws throws in LiveStore too: let it, for its own error.
    let s
    try {
      s = ast === undefined ? undefined : read(ast, out)
    } catch {}
    if (s === undefined || s.bad) return qb.asSql()
    if (s.left === 0) return { query: s.query, bindValues: out }
    const own = qb.asSql()
    s.bad = (s.query !== undefined && s.query !== own.query) || !sameValue(own.bindValues, out)
    s.query = own.query
    s.left--
    return own
  }

  const resultShape = (ast) => {
    if (ast?._tag !== 'SelectQuery') return undefined
    const first = ast.pickFirst._tag === 'disabled' ? 'all' : ast.pickFirst.behaviour
    if (first !== 'all' && first !== 'undefined' && first !== 'error') return undefined
    if (ast.select.columns.length === 0 && ast.resultSchemaSingle !== ast.tableDef.rowSchema) return undefined
    return step(step(step(step(root, result), ast.tableDef), first), ast.select.columns.join('|'))
  }
  const decode = (qb, rows) => {
    const s = resultShape(qb[astOf])
    if (s === undefined) return Schema.decodeSync(getResultSchema(qb))(rows)
    s.decode ??= codec.decoder(getResultSchema(qb))
    if (s.bad || s.left > 0) {
      const own = Schema.decodeSync(getResultSchema(qb))(rows)
      if (!s.bad) s.bad = !sameValue(own, s.decode(rows))
      s.left = Math.max(0, s.left - 1)
      return own
    }
    return s.decode(rows)
  }

  /** What a materializer returned, with every query builder in it turned into its statement. */
  const operation = (result) => {
    if (Array.isArray(result)) return result.map(operation)
    if (!isQueryBuilder(result)) return result
    const { query, bindValues } = sql(result)
    return { sql: query, bindValues, writeTables: undefined }
  }
  /** ctx.query over select(sql, binds). */
  const query = (select) => (q) => {
    if (!isQueryBuilder(q)) return select(q.query, prepareBindValues(q.bindValues, q.query))
    const s = sql(q)
    return decode(q, select(s.query, prepareBindValues(s.bindValues, s.query)))
  }
  return { operation, query }
}
