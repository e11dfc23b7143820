// Values that break naive code, dealt by a seeded generator: the same seed gives the same values in the same order.

/** A small random generator (mulberry32): same seed, same numbers, on any machine. */
export const random = (seed) => {
  let a = seed >>> 0
  const next = () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const int = (n) => Math.floor(next() * n)
  return { int, chance: (p) => next() < p, pick: (list) => list[int(list.length)] }
}

/** Deals a list's values in random order, each once before any comes again. */
const deck = (rnd, values) => {
  let left = []
  return () => {
    if (left.length === 0) left = [...values]
    return left.splice(rnd.int(left.length), 1)[0]
  }
}

const texts = [
  '',
  ' ',
  'Buy milk',
  'Call the landlord about the heating',
  `O'Brien said "no" \\ and \\\\ left`,
  `'; DROP TABLE todos; --`,
  'first line\nsecond line\r\n\tand a tab',
  '  two  spaces   and	tabs  ',
  'family 👩‍👩‍👧‍👦 flag 🏳️‍🌈 skin 👍🏽',
  'שלום עולם, مرحبا بالعالم',
  'e\u0301 is not \u00e9, \u212b is not \u00c5',
  'zero\u200bwidth, separator\u2028 and BOM\ufeff',
  '\u0001\u001f\u007f control',
  '𝕬𝖘𝖙𝖗𝖆𝖑 𠜎𠜱 beyond the first plane',
  '買い物リスト、장보기 목록',
  '%_LIKE_% $id ?1 :name @p',
  '{"json":"in a text","n":[1,null]}',
  'null',
  '0012.50',
  '\uffff\ufffd',
  'long '.repeat(200),
]

const integers = [0, 1, -1, 15, 2147483648, -2147483649, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]

const reals = [0, 1, -1.5, 0.1 + 0.2, 1e-7, 1e21, 123456789.125, Number.MAX_VALUE, Number.MIN_VALUE, 2 ** 53]

const dates = [
  '2026-03-01T09:30:00.000Z',
  '2024-02-29T23:59:59.999Z',
  '1970-01-01T00:00:00.000Z',
  '1969-12-31T23:59:59.999Z',
  '1900-02-28T12:34:56.789Z',
  '0001-01-01T00:00:00.001Z',
  '9999-12-31T23:59:59.999Z',
  '+010000-01-01T00:00:00.000Z',
  '-000753-04-21T00:00:00.000Z',
]

/** The generators of one seed. */
export const values = (rnd) => {
  const text = deck(rnd, texts)
  const color = deck(rnd, [undefined, null, '', '#ff0', 'rebeccapurple'])
  const date = deck(rnd, dates)
  const links = deck(rnd, [[], [''], ['https://example.org/?q="a b"&x=\\'], ['a', 'ü', '👍']])
  const shape = deck(rnd, ['omitted', 'no note', 'null note', 'note'])
  const details = () => {
    switch (shape()) {
      case 'omitted':
        return undefined
      case 'no note':
        return { links: links() }
      case 'null note':
        return { links: links(), note: null }
      default:
        return { links: links(), note: text() }
    }
  }
  let ids = 0
  const ending = deck(rnd, ['', '', '', `'s`, '-é', '"', '%', '👍'])
  return {
    text,
    color,
    details,
    id: (kind) => `${kind}${++ids}-${rnd.int(1e9).toString(36)}${ending()}`,
    date: () => new Date(date()),
    integer: deck(rnd, [...integers, null, undefined]),
    real: deck(rnd, reals),
    optionalReal: deck(rnd, [...reals, undefined]),
    optionalDate: deck(rnd, [...dates.map((d) => new Date(d)), null, undefined]),
    list: deck(rnd, ['inbox', 'home', 'work', "mum's", 'архив']),
    optionalList: deck(rnd, ['inbox', 'home', 'work', "mum's", undefined]),
    priority: deck(rnd, ['low', 'normal', 'high']),
  }
}
