// LiveStore's query builder, remembered. asSql() and ctx.query build and compile Effect schemas anew for every event;
// a query's text and codecs depend only on its shape (table, columns, operators), so they are kept per shape. Each
// shape is computed by LiveStore's own code as well for its first uses and compared: where the two differ, in this or
// any other version of LiveStore, or where a shape is not understood here, LiveStore's own code is what counts.
import { sameValue } from 'headgate:codec'

const astOf = Symbol.for('QueryBuilderAst')
const checks = 3 // uses of a shape that LiveStore's own code computes too
const maxShapes = 2000

/** makeLowering({Schema, codec, isQueryBuilder, getResultSchema, prepareBindValues}) -> {operation, query} */
export const makeLowering = ({ Schema, codec, isQueryBuilder, getResultSchema, prepareBindValues }) => {
  const shapes = new Map()
  const shape = (key) => {
    let s = shapes.get(key)
    if (s === undefined) {
      if (shapes.size >= maxShapes) shapes.clear()
      shapes.set(key, (s = { left: checks, bad: false }))
    }
    return s
  }
  const ids = new WeakMap() // table definition -> number
  let nextId = 0
  const tableId = (def) => {
    let id = ids.get(def)
    if (id === undefined) ids.set(def, (id = ++nextId))
    return id
  }

  const required = new WeakMap() // table definition -> columns without which an insert fails
  const requiredColumns = (def) => {
    let r = required.get(def)
    if (r === undefined) {
      const ast = def.insertSchema?.ast
      r = ast?._tag === 'TypeLiteral' ? ast.propertySignatures.filter((p) => !p.isOptional).map((p) => String(p.name)) : null
      required.set(def, r)
    }
    return r
  }

  // key names the shape and binds are its encoded values; undefined where the shape is not understood.
  const binds = (def, columns, values, out) => {
    for (const c of columns) {
      const col = def.sqliteDef.columns[c]
      if (col === undefined) return false
      out.push(codec.encoder(col.schema)(values[c]))
    }
    return true
  }
  const where = (ast, out) => {
    let key = ''
    for (const { col, op, value } of ast.where) {
      if (typeof op !== 'string' || op === 'IN' || op === 'NOT IN' || op.startsWith('JSON_')) return undefined
      key += `|${col}|${op}`
      if (value === null) {
        key += '|null'
        continue
      }
      const def = ast.tableDef.sqliteDef.columns[col]
      if (def === undefined || value === undefined) return undefined
      out.push(codec.encoder(def.schema)(value))
    }
    return key
  }
  const read = (ast, out) => {
    const def = ast.tableDef
    switch (ast._tag) {
      case 'InsertQuery': {
        const columns = Object.keys(ast.values)
        const need = requiredColumns(def)
        if (need === null || !need.every((c) => Object.hasOwn(ast.values, c)) || !binds(def, columns, ast.values, out)) return undefined
        let key = `I${tableId(def)}|${columns.join('|')}`
        if (ast.onConflict !== undefined) {
          const { targets, action } = ast.onConflict
          key += `|?${action._tag}|${targets.join('|')}`
          if (action._tag === 'update') {
            for (const c of Object.keys(action.update)) {
              key += `|${c}`
              if (action.update[c] === undefined) key += '=excluded'
              else if (!binds(def, [c], action.update, out)) return undefined
            }
          }
        }
        return `${key}|>${ast.returning?.join('|')}`
      }
      case 'UpdateQuery': {
        const columns = Object.keys(ast.values)
        if (columns.length === 0 || !binds(def, columns, ast.values, out)) return undefined
        const w = where(ast, out)
        return w === undefined ? undefined : `U${tableId(def)}|${columns.join('|')}|?${w}|>${ast.returning?.join('|')}`
      }
      case 'DeleteQuery': {
        const w = where(ast, out)
        return w === undefined ? undefined : `D${tableId(def)}|?${w}|>${ast.returning?.join('|')}`
      }
      case 'SelectQuery': {
        const w = where(ast, out)
        if (w === undefined) return undefined
        if (ast.limit._tag === 'Some') out.push(ast.limit.value)
        if (ast.offset._tag === 'Some') out.push(ast.offset.value)
        const order = ast.orderBy.map((o) => `${o.col} ${o.direction}`).join('|')
        return `S${tableId(def)}|${ast.select.columns.join('|')}|?${w}|>${order}|${ast.limit._tag}|${ast.offset._tag}`
      }
    }
    return undefined
  }

  /** The query's text and bind values, as qb.asSql() gives them. */
  const sql = (qb) => {
    const out = []
    const ast = qb[astOf]
    // An encoder that throws throws in LiveStore too: let it, for its own error.
    let key
    try {
      key = ast === undefined ? undefined : read(ast, out)
    } catch {}
    if (key === undefined) return qb.asSql()
    const s = shape(key)
    if (s.bad) return qb.asSql()
    if (s.left === 0) return { query: s.query, bindValues: out }
    const own = qb.asSql()
    s.bad = (s.query !== undefined && s.query !== own.query) || !sameValue(own.bindValues, out)
    s.query = own.query
    s.left--
    return own
  }

  const resultKey = (ast) => {
    if (ast?._tag !== 'SelectQuery') return undefined
    const first = ast.pickFirst._tag === 'disabled' ? 'all' : ast.pickFirst.behaviour
    if (first !== 'all' && first !== 'undefined' && first !== 'error') return undefined
    if (ast.select.columns.length === 0 && ast.resultSchemaSingle !== ast.tableDef.rowSchema) return undefined
    return `R${tableId(ast.tableDef)}|${first}|${ast.select.columns.join('|')}`
  }
  const decode = (qb, rows) => {
    const key = resultKey(qb[astOf])
    if (key === undefined) return Schema.decodeSync(getResultSchema(qb))(rows)
    const s = shape(key)
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
