// What the engine lacks of Intl and of V8's built-ins. Texts are those of en-US, which is also what a machine
// without a language shows. What depends on another language or on tables that are not here works while modules are
// evaluated, where it can only end up in a label, and throws in a materializer, where it would end up in the state.
(() => {
  const g = globalThis
  let running = false
  g.__headgate_evaluated = () => {
    running = true
    return ''
  }
  const lacking = (what) => {
    throw new Error(`${what} is not available where headgate runs materializers: it differs by the device's language and platform`)
  }
  const hide = (object, name, value) => Object.defineProperty(object, name, { value, writable: true, configurable: true })

  // ---- locales ---------------------------------------------------------------------------------------------------------
  const localeOf = (locales) => String((Array.isArray(locales) ? locales[0] : locales) ?? 'en-US')
  const english = (locales) => /^en(-US)?(-u-.*)?$/i.test(localeOf(locales))
  // These show a date as 2024-01-31, which apps use them for.
  const isoDates = (locales) => /^(sv|sv-SE|en-CA)$/i.test(localeOf(locales))
  const plainDate = (o) => Object.entries(o ?? {}).every(([k, v]) => k === 'timeZone' || (k === 'year' && v === 'numeric') || ((k === 'month' || k === 'day') && v === '2-digit'))

  const RealDateTimeFormat = Intl.DateTimeFormat
  const isoDate = (date, options) => {
    const parts = new RealDateTimeFormat('en-US', { timeZone: options?.timeZone, year: 'numeric', month: '2-digit', day: '2-digit' }).formatToParts(date)
    const at = (type) => parts.find((p) => p.type === type).value
    return `${at('year').padStart(4, '0')}-${at('month')}-${at('day')}`
  }
  const checked = (name) => {
    const Real = Intl[name]
    const Checked = function (locales, options) {
      const real = new Real(locales, options)
      if (english(locales)) return real
      const iso = name === 'DateTimeFormat' && isoDates(locales) && plainDate(options)
      const methods = {}
      for (const m of ['format', 'formatToParts', 'formatRange', 'formatRangeToParts']) {
        const plain = real[m]
        methods[m] = (...args) => {
          if (iso && m === 'format') return isoDate(args[0], options)
          if (running) lacking(`Intl.${name} for the language ${localeOf(locales)}`)
          return plain.apply(real, args)
        }
      }
      for (const m of Object.keys(methods)) hide(real, m, methods[m])
      return real
    }
    Checked.prototype = Real.prototype
    hide(Checked, 'supportedLocalesOf', Real.supportedLocalesOf ?? (() => []))
    hide(Intl, name, Checked)
  }
  checked('NumberFormat')
  checked('DateTimeFormat')
  const check = (prototype, method) => {
    const real = prototype[method]
    hide(prototype, method, function (locales, options) {
      if (!english(locales)) {
        if (method === 'toLocaleDateString' && isoDates(locales) && plainDate(options)) return isoDate(this, options)
        if (running) lacking(`${method} for the language ${localeOf(locales)}`)
      }
      return real.call(this, locales, options)
    })
  }
  check(Number.prototype, 'toLocaleString')
  for (const m of ['toLocaleString', 'toLocaleDateString', 'toLocaleTimeString']) check(Date.prototype, m)
  hide(BigInt.prototype, 'toLocaleString', function (locales) {
    if (!english(locales) && running) lacking(`toLocaleString for the language ${localeOf(locales)}`)
    return String(this).replace(/\B(?=(\d{3})+$)/g, ',')
  })
  for (const m of ['toLocaleUpperCase', 'toLocaleLowerCase']) {
    const real = String.prototype[m]
    hide(String.prototype, m, function (locales) {
      if (running && /^(tr|az|lt)\b/i.test(localeOf(locales))) lacking(`${m} for the language ${localeOf(locales)}`)
      return real.call(this)
    })
  }

  // ---- collation: the Unicode root order for Latin letters, digits and common signs; other letters by code point ----------
  const table = '\t\n\u000b\f\r\u2028\u2029 _-‐‑‒–—―,;:!¡?¿.·\'‘’‚‛‹›"“”„‟«»()[]{}§¶@*/\\&#%‰†‡•`´¨^¯°©®←↑→↓↔+±÷×<=>¬|¦~−√∞≈≠≤≥¤¢$£¥₩₪₫€₹₽₿'
  // Currencies come after all other signs, also those that are not in the table.
  const order = new Map(Array.from(table, (c, i) => [c, i >= table.indexOf('¤') ? 1_500_000 + i : i + 1]))
  for (const c of '‘’‚‛') order.set(c, order.get("'"))
  for (const c of '“”„‟') order.set(c, order.get('"'))
  const marks = '\u0301\u0300\u0306\u0302\u030c\u030a\u0308\u030b\u0303\u0307\u0338\u0327\u0328\u0304'
  const folded = { æ: 'a\u0338e', œ: 'o\u0338e', ø: 'o\u0338', ß: 'ss\u0338', đ: 'd\u0338', ð: 'd\u0338\u0327', ł: 'l\u0338', ħ: 'h\u0338', '…': '...' }
  const keys = (text, ignorePunctuation, numeric) => {
    const primary = []
    const secondary = []
    const tertiary = []
    const push = (p, upper, accent) => {
      primary.push(p)
      secondary.push(accent)
      tertiary.push(upper)
    }
    const chars = Array.from(text.normalize('NFD').replace(/[æœøßđðłħ…]/gi, (c) => {
      const f = folded[c.toLowerCase()]
      return f === undefined ? c : c === c.toLowerCase() ? f : f.toUpperCase()
    }))
    for (let i = 0; i < chars.length; i++) {
      const c = chars[i]
      const cp = c.codePointAt(0)
      if (cp >= 0x300 && cp <= 0x36f) {
        const m = marks.indexOf(c)
        if (secondary.length > 0) secondary[secondary.length - 1] = secondary[secondary.length - 1] * 100 + (m < 0 ? 20 + cp - 0x300 : m + 1)
        continue
      }
      const known = order.get(c)
      if (known !== undefined) {
        if (!ignorePunctuation || known > table.indexOf('•')) push(known, 0, 0)
      } else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || (cp >= 0xfe00 && cp <= 0xfe0f) || (cp >= 0x200b && cp <= 0x200f) || cp === 0xfeff || cp === 0xad) {
        continue
      } else if (/\d/.test(c)) {
        if (numeric) {
          let run = c
          while (i + 1 < chars.length && /\d/.test(chars[i + 1])) run += chars[++i]
          run = run.replace(/^0+(?=\d)/, '')
          push(2_000_000 + run.length, 0, 0)
          for (const d of run) push(2_000_000 + Number(d), 0, 0)
        } else push(2_000_000 + Number(c), 0, 0)
      } else if (/[\p{L}\p{N}]/u.test(c)) {
        const low = c.toLowerCase()
        push(3_000_000 + low.codePointAt(0), low === c ? 0 : 1, 0)
      } else push(1_000 + cp, 0, 0)
    }
    return [primary, secondary, tertiary]
  }
  const level = (a, b) => {
    for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1
    return Math.sign(a.length - b.length)
  }
  // Languages whose letters sort as in the root order.
  const rootOrder = (locales) => /^(en|de|fr|it|nl|pt|id|ms|ga|und)\b/i.test(localeOf(locales))
  const compare = (a, b, locales, options) => {
    a = String(a)
    b = String(b)
    if (a === b) return 0
    if (running && !rootOrder(locales)) lacking(`comparing texts in the language ${localeOf(locales)}`)
    const ka = keys(a, options?.ignorePunctuation === true, options?.numeric === true)
    const kb = keys(b, options?.ignorePunctuation === true, options?.numeric === true)
    const s = options?.sensitivity ?? 'variant'
    const upperFirst = options?.caseFirst === 'upper' ? -1 : 1
    return (
      level(ka[0], kb[0]) ||
      (s === 'accent' || s === 'variant' ? level(ka[1], kb[1]) : 0) ||
      (s === 'case' || s === 'variant' ? upperFirst * level(ka[2], kb[2]) : 0) ||
      0
    )
  }
  hide(String.prototype, 'localeCompare', function (that, locales, options) {
    return compare(this, that, locales, options)
  })
  const service = (name, make) => {
    const Service = function (locales, options) {
      const made = make(locales, options ?? {})
      Object.setPrototypeOf(made, new.target?.prototype ?? Service.prototype)
      return made
    }
    hide(Service, 'supportedLocalesOf', (l) => [l].flat().filter(english))
    hide(Service.prototype, 'resolvedOptions', function () { return { locale: 'en-US' } })
    Object.defineProperty(Service.prototype, Symbol.toStringTag, { value: `Intl.${name}`, configurable: true })
    if (Intl[name] === undefined) hide(Intl, name, Service)
  }
  service('Collator', (locales, options) => ({ compare: (a, b) => compare(a, b, locales, options) }))
  const inEnglish = (what, locales, f) => (...args) => {
    if (running && !english(locales)) lacking(`${what} for the language ${localeOf(locales)}`)
    return f(...args)
  }
  service('PluralRules', (locales, { type }) => ({
    select: inEnglish('Intl.PluralRules', locales, (n) => {
      const v = Math.abs(Number(n))
      if (type !== 'ordinal') return v === 1 ? 'one' : 'other'
      const ten = v % 10
      const teen = v % 100 >= 11 && v % 100 <= 13
      return teen ? 'other' : ten === 1 ? 'one' : ten === 2 ? 'two' : ten === 3 ? 'few' : 'other'
    }),
  }))
  service('ListFormat', (locales, { type, style }) => ({
    format: inEnglish('Intl.ListFormat', locales, (items) => {
      const list = [...items].map(String)
      if (type === 'unit' || (style !== undefined && style !== 'long')) return running ? lacking('Intl.ListFormat in this style') : list.join(', ')
      const word = type === 'disjunction' ? 'or' : 'and'
      if (list.length < 3) return list.join(` ${word} `)
      return `${list.slice(0, -1).join(', ')}, ${word} ${list.at(-1)}`
    }),
  }))
  for (const [name, ...methods] of [['RelativeTimeFormat', 'format', 'formatToParts'], ['DisplayNames', 'of'], ['Segmenter', 'segment'], ['DurationFormat', 'format', 'formatToParts']]) {
    service(name, () => Object.fromEntries(methods.map((m) => [m, () => lacking(`Intl.${name}`)])))
  }

  Intl.supportedValuesOf ?? hide(Intl, 'supportedValuesOf', () => (running ? lacking('Intl.supportedValuesOf') : []))

  // ---- V8's own ------------------------------------------------------------------------------------------------------------
  Error.captureStackTrace ??= (target) => void hide(target, 'stack', new Error(target?.message ?? '').stack)
  for (const name of ['dispose', 'asyncDispose']) Symbol[name] ?? Object.defineProperty(Symbol, name, { value: Symbol(`Symbol.${name}`) })
  // Summed as V8 does, scaled and compensated: the last digit differs otherwise.
  hide(Math, 'hypot', (...args) => {
    const values = args.map((v) => Math.abs(+v))
    const max = values.reduce((a, v) => (v > a ? v : a), 0)
    if (values.includes(Infinity)) return Infinity
    if (values.some(Number.isNaN)) return NaN
    if (max === 0) return 0
    let sum = 0
    let lost = 0
    for (const v of values) {
      const n = v / max
      const summand = n * n - lost
      const next = sum + summand
      lost = next - sum - summand
      sum = next
    }
    return Math.sqrt(sum) * max
  })
  for (const m of ['toString', 'toTimeString']) {
    const real = Date.prototype[m]
    hide(Date.prototype, m, function () {
      const text = real.call(this)
      return text.endsWith('GMT+0000') ? `${text} (Coordinated Universal Time)` : text
    })
  }
})()
