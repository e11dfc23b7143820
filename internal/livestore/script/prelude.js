// What an app's module may touch while it is evaluated, for an engine that has no web platform: fixed clock, seeded
// randomness, no I/O. Everything that would leave the sandbox throws when it is called, not when it is mentioned.
(() => {
  const g = globalThis
  const conf = JSON.parse(g.__headgate_conf)
  g.self = g
  g.global = g
  g.window = undefined
  delete g.window

  // ---- clock: it stands still, so that two runs of one materializer give the same result -----------------------
  const RealDate = g.Date
  const now = conf.now
  const FixedDate = function Date(...args) {
    if (!new.target) return new RealDate(now).toString()
    return Reflect.construct(RealDate, args.length === 0 ? [now] : args, new.target)
  }
  FixedDate.prototype = RealDate.prototype
  Object.defineProperty(RealDate.prototype, 'constructor', { value: FixedDate, writable: true, configurable: true })
  FixedDate.now = () => now
  FixedDate.parse = RealDate.parse
  FixedDate.UTC = RealDate.UTC
  Object.defineProperty(FixedDate, 'length', { value: 7 })
  g.Date = FixedDate
  g.performance = {
    now: () => conf.now % 1000000, timeOrigin: conf.now,
    mark: () => ({}), measure: () => ({}), clearMarks() {}, clearMeasures() {},
    getEntries: () => [], getEntriesByName: () => [], getEntriesByType: () => [],
  }

  // ---- randomness: seeded (mulberry32) --------------------------------------------------------------------------
  let s = conf.seed >>> 0
  const next = () => {
    s = (s + 0x6d2b79f5) >>> 0
    let t = s
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  Math.random = next
  const fill = (a) => {
    const bytes = new Uint8Array(a.buffer, a.byteOffset, a.byteLength)
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(next() * 256)
    return a
  }
  const hex = (a) => Array.from(a, (b) => b.toString(16).padStart(2, '0')).join('')
  const denied = (what) => () => {
    throw new Error(`${what} is not available where headgate evaluates a schema: events and materializers must not do I/O`)
  }
  g.crypto = {
    getRandomValues: fill,
    randomUUID: () => {
      const b = fill(new Uint8Array(16))
      b[6] = (b[6] & 0x0f) | 0x40
      b[8] = (b[8] & 0x3f) | 0x80
      const h = hex(b)
      return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`
    },
    subtle: new Proxy({}, { get: (_, k) => denied(`crypto.subtle.${String(k)}`) }),
  }

  // ---- timers never fire: evaluating a schema is synchronous ------------------------------------------------------
  let timer = 0
  g.setTimeout = g.setInterval = g.setImmediate = g.requestAnimationFrame = g.requestIdleCallback = () => ++timer
  g.clearTimeout = g.clearInterval = g.clearImmediate = g.cancelAnimationFrame = g.cancelIdleCallback = () => {}
  g.queueMicrotask ??= (f) => void Promise.resolve().then(f)

  const quiet = () => {}
  g.console = new Proxy({}, { get: () => quiet })

  // ---- text and base64 -----------------------------------------------------------------------------------------------
  g.TextEncoder = class TextEncoder {
    get encoding() { return 'utf-8' }
    encode(str = '') {
      const out = []
      for (const ch of String(str)) {
        let c = ch.codePointAt(0)
        if (c >= 0xd800 && c <= 0xdfff) c = 0xfffd
        if (c < 0x80) out.push(c)
        else if (c < 0x800) out.push(0xc0 | (c >> 6), 0x80 | (c & 63))
        else if (c < 0x10000) out.push(0xe0 | (c >> 12), 0x80 | ((c >> 6) & 63), 0x80 | (c & 63))
        else out.push(0xf0 | (c >> 18), 0x80 | ((c >> 12) & 63), 0x80 | ((c >> 6) & 63), 0x80 | (c & 63))
      }
      return new Uint8Array(out)
    }
    encodeInto(str, dest) {
      const b = this.encode(str).subarray(0, dest.length)
      dest.set(b)
      return { read: str.length, written: b.length }
    }
  }
  g.TextDecoder = class TextDecoder {
    constructor(label = 'utf-8', options = {}) {
      const name = String(label).trim().toLowerCase()
      this.encoding = { utf8: 'utf-8', 'unicode-1-1-utf-8': 'utf-8', 'utf-16': 'utf-16le', latin1: 'windows-1252', ascii: 'windows-1252', 'iso-8859-1': 'windows-1252' }[name] ?? name
      if (!['utf-8', 'utf-16le', 'windows-1252'].includes(this.encoding)) throw new RangeError(`The "${label}" encoding is not supported`)
      this.fatal = options.fatal === true
      this.ignoreBOM = options.ignoreBOM === true
    }
    decode(input) {
      if (input === undefined) return ''
      const b = input instanceof ArrayBuffer ? new Uint8Array(input) : new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
      let out = ''
      if (this.encoding === 'windows-1252') {
        for (const c of b) out += c >= 0x80 && c < 0xa0 ? '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ'[c - 0x80] : String.fromCharCode(c)
        return out
      }
      if (this.encoding === 'utf-16le') {
        for (let k = 0; k + 1 < b.length; k += 2) out += String.fromCharCode(b[k] | (b[k + 1] << 8))
        return (b.length % 2 === 1 ? out + '\ufffd' : out).toWellFormed().replace(this.ignoreBOM ? /^$/ : /^\ufeff/, '')
      }
      let i = !this.ignoreBOM && b[0] === 0xef && b[1] === 0xbb && b[2] === 0xbf ? 3 : 0
      while (i < b.length) {
        const c = b[i]
        const n = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : -1
        let cp = n === 0 ? c : n === 1 ? c & 31 : n === 2 ? c & 15 : c & 7
        let ok = n >= 0 && i + n < b.length
        for (let k = 1; ok && k <= n; k++) {
          ok = (b[i + k] & 0xc0) === 0x80
          cp = (cp << 6) | (b[i + k] & 63)
        }
        if (ok && ((n === 2 && (cp < 0x800 || (cp >= 0xd800 && cp <= 0xdfff))) || (n === 3 && (cp < 0x10000 || cp > 0x10ffff)))) ok = false
        if (!ok) {
          if (this.fatal) throw new TypeError('The encoded data was not valid utf-8')
          out += '\ufffd'
          i++
        } else {
          out += String.fromCodePoint(cp)
          i += n + 1
        }
      }
      return out
    }
  }
  const abc = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  g.btoa = (str) => {
    let out = ''
    for (let i = 0; i < str.length; i += 3) {
      const [a, b, c] = [str.charCodeAt(i), str.charCodeAt(i + 1), str.charCodeAt(i + 2)]
      if (a > 255 || b > 255 || c > 255) throw new RangeError('btoa: not a byte string')
      out += abc[a >> 2] + abc[((a & 3) << 4) | (b >> 4)]
      out += i + 1 < str.length ? abc[((b & 15) << 2) | (c >> 6)] : '='
      out += i + 2 < str.length ? abc[c & 63] : '='
    }
    return out
  }
  g.atob = (str) => {
    const t = String(str).replace(/[\t\n\f\r ]/g, '').replace(/={1,2}$/, '')
    if (/[^A-Za-z0-9+/]/.test(t) || t.length % 4 === 1) throw new RangeError('atob: not base64')
    let out = ''
    let bits = 0
    let acc = 0
    for (const ch of t) {
      acc = (acc << 6) | abc.indexOf(ch)
      bits += 6
      if (bits >= 8) {
        bits -= 8
        out += String.fromCharCode((acc >> bits) & 255)
      }
    }
    return out
  }
  g.DOMException ??= class DOMException extends Error { constructor(m, n) { super(m); Object.defineProperty(this, 'name', { value: n ?? 'Error', configurable: true }) } }
  g.structuredClone ??= (v) => {
    const seen = new Map()
    const clone = (x) => {
      if (typeof x === 'function' || typeof x === 'symbol') throw new g.DOMException(`${String(x)} could not be cloned.`, 'DataCloneError')
      if (typeof x !== 'object' || x === null) return x
      if (seen.has(x)) return seen.get(x)
      if (x instanceof RealDate) return new RealDate(x.getTime())
      if (x instanceof RegExp) return new RegExp(x.source, x.flags)
      if (x instanceof ArrayBuffer) return x.slice(0)
      if (ArrayBuffer.isView(x)) return x.slice()
      const out = Array.isArray(x) ? [] : x instanceof Map ? new Map() : x instanceof Set ? new Set() : x instanceof Error ? new Error(x.message) : {}
      seen.set(x, out)
      if (x instanceof Map) for (const [k, w] of x) out.set(clone(k), clone(w))
      else if (x instanceof Set) for (const w of x) out.add(clone(w))
      else if (x instanceof Error) Object.setPrototypeOf(out, (g[x.name]?.prototype instanceof Error ? g[x.name] : Error).prototype)
      else for (const k of Object.keys(x)) out[k] = clone(x[k])
      return out
    }
    return clone(v)
  }

  // ---- classes that are mentioned at module level; those that only wait for something may be made there ---------------
  for (const name of ['Request', 'Response', 'Blob', 'File', 'ReadableStream', 'WritableStream',
    'TransformStream', 'CompressionStream', 'DecompressionStream', 'WebSocket',
    'Worker', 'SharedWorker', 'EventSource', 'XMLHttpRequest', 'Notification']) {
    g[name] ??= { [name]: class { constructor() { denied(name)() } } }[name]
  }
  g.fetch = denied('fetch')
  const none = { getItem: () => null, setItem() {}, removeItem() {}, clear() {}, key: () => null, length: 0 }
  g.localStorage ??= none
  g.sessionStorage ??= none
  g.navigator ??= { userAgent: 'headgate', language: 'en-US', languages: ['en-US'], hardwareConcurrency: 1, onLine: false }
  g.process ??= { env: { NODE_ENV: 'production' }, argv: [], versions: {}, platform: 'linux', cwd: () => '/', nextTick: (f) => void Promise.resolve().then(f), on() {}, once() {}, off() {}, emitWarning() {} }

  delete g.__headgate_conf
})()
