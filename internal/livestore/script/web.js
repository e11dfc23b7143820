// The web platform's values that hold no connection to the outside: events, headers, URLs. As WHATWG has them, for
// what apps do with them; IPv6 addresses are kept as written.
(() => {
  const g = globalThis

  // ---- events -----------------------------------------------------------------------------------------------------------
  g.Event ??= class Event {
    defaultPrevented = false
    constructor(type, init) {
      this.type = String(type)
      this.bubbles = init?.bubbles === true
      this.cancelable = init?.cancelable === true
      this.timeStamp = 0
    }
    preventDefault() { this.defaultPrevented = this.cancelable }
    stopPropagation() {}
    stopImmediatePropagation() { this.stopped = true }
  }
  g.CustomEvent ??= class CustomEvent extends g.Event { constructor(type, init) { super(type, init); this.detail = init?.detail ?? null } }
  g.MessageEvent ??= class MessageEvent extends g.Event { constructor(type, init) { super(type, init); this.data = init?.data ?? null } }
  g.EventTarget ??= class EventTarget {
    #listeners = []
    addEventListener(type, f, options) {
      if (f && !this.#listeners.some((l) => l.type === type && l.f === f)) this.#listeners.push({ type, f, once: options?.once === true })
    }
    removeEventListener(type, f) { this.#listeners = this.#listeners.filter((l) => l.type !== type || l.f !== f) }
    dispatchEvent(event) {
      event.target ??= this
      for (const l of [...this.#listeners]) {
        if (l.type !== event.type) continue
        if (l.once) this.removeEventListener(l.type, l.f)
        typeof l.f === 'function' ? l.f.call(this, event) : l.f.handleEvent(event)
        if (event.stopped) break
      }
      this[`on${event.type}`]?.(event)
      return !event.defaultPrevented
    }
  }
  const abort = (signal, reason) => {
    if (signal.aborted) return
    signal.aborted = true
    signal.reason = reason === undefined ? new g.DOMException('This operation was aborted', 'AbortError') : reason
    signal.dispatchEvent(new g.Event('abort'))
  }
  g.AbortSignal ??= class AbortSignal extends g.EventTarget {
    aborted = false
    reason = undefined
    onabort = null
    throwIfAborted() { if (this.aborted) throw this.reason }
    static abort(reason) { const s = new g.AbortSignal(); abort(s, reason); return s }
    static timeout() { return new g.AbortSignal() }
    static any(signals) {
      const out = new g.AbortSignal()
      for (const s of signals) s.aborted ? abort(out, s.reason) : s.addEventListener('abort', () => abort(out, s.reason))
      return out
    }
  }
  g.AbortController ??= class AbortController {
    signal = new g.AbortSignal()
    abort(reason) { abort(this.signal, reason) }
  }
  // These wait for something that never comes here.
  const Port = class MessagePort extends g.EventTarget { postMessage() {} start() {} close() {} unref() {} ref() {} }
  g.MessagePort ??= Port
  g.MessageChannel ??= class MessageChannel { port1 = new g.MessagePort(); port2 = new g.MessagePort() }
  g.BroadcastChannel ??= class BroadcastChannel extends Port { constructor(name) { super(); this.name = String(name) } }
  for (const name of ['MutationObserver', 'ResizeObserver', 'IntersectionObserver', 'PerformanceObserver']) {
    g[name] ??= { [name]: class { observe() {} unobserve() {} disconnect() {} takeRecords() { return [] } } }[name]
  }

  // ---- lists of names and values -------------------------------------------------------------------------------------------
  const pairs = (init) => (init === undefined || init === null ? [] : Symbol.iterator in Object(init) ? [...init] : Object.entries(init))
  g.Headers ??= class Headers {
    #m = new Map()
    constructor(init) { for (const [k, v] of pairs(init)) this.append(k, v) }
    append(k, v) { const n = String(k).toLowerCase(); const t = String(v).trim(); this.#m.set(n, this.#m.has(n) ? `${this.#m.get(n)}, ${t}` : t) }
    set(k, v) { this.#m.set(String(k).toLowerCase(), String(v).trim()) }
    get(k) { return this.#m.get(String(k).toLowerCase()) ?? null }
    has(k) { return this.#m.has(String(k).toLowerCase()) }
    delete(k) { this.#m.delete(String(k).toLowerCase()) }
    forEach(f) { for (const [k, v] of this) f(v, k, this) }
    entries() { return [...this.#m].sort(([a], [b]) => (a < b ? -1 : 1))[Symbol.iterator]() }
    keys() { return [...this].map((e) => e[0])[Symbol.iterator]() }
    values() { return [...this].map((e) => e[1])[Symbol.iterator]() }
    [Symbol.iterator]() { return this.entries() }
  }
  class List {
    p = []
    append(k, v) { this.p.push([String(k), String(v)]); this.changed?.() }
    get(k) { return this.p.find((e) => e[0] === String(k))?.[1] ?? null }
    getAll(k) { return this.p.filter((e) => e[0] === String(k)).map((e) => e[1]) }
    has(k, v) { return this.p.some((e) => e[0] === String(k) && (v === undefined || e[1] === String(v))) }
    delete(k, v) { this.p = this.p.filter((e) => e[0] !== String(k) || (v !== undefined && e[1] !== String(v))); this.changed?.() }
    set(k, v) {
      const i = this.p.findIndex((e) => e[0] === String(k))
      if (i < 0) return this.append(k, v)
      this.p = this.p.filter((e, n) => n <= i || e[0] !== String(k))
      this.p[i] = [String(k), String(v)]
      this.changed?.()
    }
    forEach(f) { for (const [k, v] of this.p) f(v, k, this) }
    entries() { return this.p.map((e) => [...e])[Symbol.iterator]() }
    keys() { return this.p.map((e) => e[0])[Symbol.iterator]() }
    values() { return this.p.map((e) => e[1])[Symbol.iterator]() }
    [Symbol.iterator]() { return this.entries() }
  }
  const inner = (object) => {
    for (const k of ['p', 'changed']) Object.defineProperty(object, k, { value: k === 'p' ? [] : undefined, writable: true, configurable: true })
  }
  g.FormData ??= class FormData extends List { constructor() { super(); inner(this) } }

  const bytes = new g.TextEncoder()
  const hex = (b) => `%${b.toString(16).toUpperCase().padStart(2, '0')}`
  const encode = (text, keep) => {
    let out = ''
    for (const c of text) out += keep(c) ? c : Array.from(bytes.encode(c), hex).join('')
    return out
  }
  const decode = (text) => {
    if (!text.includes('%')) return text
    const out = []
    const all = bytes.encode(text)
    for (let i = 0; i < all.length; i++) {
      const two = all[i] === 37 ? String.fromCharCode(all[i + 1] ?? 0, all[i + 2] ?? 0) : ''
      if (/^[0-9a-f]{2}$/i.test(two)) {
        out.push(Number.parseInt(two, 16))
        i += 2
      } else out.push(all[i])
    }
    return new g.TextDecoder('utf-8', { ignoreBOM: true }).decode(new Uint8Array(out))
  }
  const form = (text) => encode(text, (c) => /[A-Za-z0-9*\-._ ]/.test(c)).replaceAll(' ', '+')
  const parseForm = (text) =>
    text.split('&').filter((part) => part !== '').map((part) => {
      const [k, ...v] = part.replaceAll('+', ' ').split('=')
      return [decode(k), decode(v.join('='))]
    })
  g.URLSearchParams ??= class URLSearchParams extends List {
    constructor(init) {
      super()
      inner(this)
      this.p = typeof init === 'string' ? parseForm(init.replace(/^\?/, '')) : pairs(init).map(([k, v]) => [String(k), String(v)])
    }
    get size() { return this.p.length }
    sort() { this.p.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)); this.changed?.() }
    toString() { return this.p.map(([k, v]) => `${form(k)}=${form(v)}`).join('&') }
  }

  // ---- URL -------------------------------------------------------------------------------------------------------------------
  const ports = { 'http:': '80', 'https:': '443', 'ws:': '80', 'wss:': '443', 'ftp:': '21', 'file:': '' }
  const plain = (not) => (c) => c >= ' ' && c <= '~' && !not.includes(c)
  const inFragment = plain(' "<>`')
  const inQuery = plain(' "#<>')
  const inSpecialQuery = plain(' "#<>\'')
  const inPath = plain(' "#<>?`{}')
  const inUser = plain(' "#<>?`{}/:;=@[\\]^|')
  const inOpaque = (c) => c >= ' ' && c <= '~'
  const punycode = (label) => {
    const input = Array.from(label, (c) => c.codePointAt(0))
    let out = input.filter((c) => c < 128).map((c) => String.fromCharCode(c)).join('')
    const basic = out.length
    let h = basic
    if (basic > 0) out += '-'
    let n = 128
    let delta = 0
    let bias = 72
    const digit = (d) => String.fromCharCode(d < 26 ? d + 97 : d + 22)
    while (h < input.length) {
      const m = Math.min(...input.filter((c) => c >= n))
      delta += (m - n) * (h + 1)
      n = m
      for (const c of input) {
        if (c < n) delta++
        if (c !== n) continue
        let q = delta
        for (let k = 36; ; k += 36) {
          const t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias
          if (q < t) break
          out += digit(t + ((q - t) % (36 - t)))
          q = Math.floor((q - t) / (36 - t))
        }
        out += digit(q)
        delta = h === basic ? Math.floor(delta / 700) : delta >> 1
        delta += Math.floor(delta / (h + 1))
        let k = 0
        for (; delta > 455; k += 36) delta = Math.floor(delta / 35)
        bias = k + Math.floor((36 * delta) / (delta + 38))
        delta = 0
        h++
      }
      delta++
      n++
    }
    return out
  }
  const bad = (url) => {
    const e = new TypeError('Invalid URL')
    e.code = 'ERR_INVALID_URL'
    e.input = url
    return e
  }
  const hostOf = (text, special, url) => {
    if (text.startsWith('[')) {
      if (!/^\[[0-9a-f:.]+\]$/i.test(text)) throw bad(url)
      return text.toLowerCase()
    }
    if (!special) {
      if (/[\0\t\n\r #/<>?@[\\\]^|]/.test(text)) throw bad(url)
      return encode(text, inOpaque)
    }
    const name = decode(text).normalize('NFKC').toLowerCase().normalize('NFC').replace(/\u00ad/g, '').replace(/[\u3002\uff0e\uff61]/g, '.')
    const ascii = name.split('.').map((l) => (/[^\0-\x7f]/.test(l) ? `xn--${punycode(l)}` : l)).join('.')
    if (ascii === '' || /[\0-\x20"#%/:<>?@[\\\]^`{|}\x7f]/.test(ascii)) throw bad(url)
    if (/(^|\.)(\d+|0x[0-9a-f]*)\.?$/.test(ascii)) {
      const parts = ascii.replace(/\.$/, '').split('.')
      const numbers = parts.map((p) => (/^0x[0-9a-f]*$/.test(p) ? Number.parseInt(p.slice(2) || '0', 16) : /^0[0-7]+$/.test(p) ? Number.parseInt(p, 8) : /^\d+$/.test(p) ? Number(p) : Number.NaN))
      if (parts.length > 4 || numbers.some(Number.isNaN) || numbers.slice(0, -1).some((v) => v > 255) || numbers.at(-1) >= 256 ** (5 - parts.length)) throw bad(url)
      const value = numbers.at(-1) + numbers.slice(0, -1).reduce((sum, v, i) => sum + v * 256 ** (3 - i), 0)
      return [24, 16, 8, 0].map((s) => Math.floor(value / 2 ** s) % 256).join('.')
    }
    return ascii
  }
  const dots = (segments) => {
    const out = []
    segments.forEach((s, i) => {
      const last = i === segments.length - 1
      const plainDots = s.replace(/%2e/gi, '.')
      if (plainDots === '..') {
        out.pop()
        if (last) out.push('')
      } else if (plainDots === '.') {
        if (last) out.push('')
      } else out.push(s)
    })
    return out
  }
  const split = (text) => {
    const hash = text.indexOf('#')
    const fragment = hash < 0 ? null : text.slice(hash + 1)
    const rest = hash < 0 ? text : text.slice(0, hash)
    const mark = rest.indexOf('?')
    return { path: mark < 0 ? rest : rest.slice(0, mark), query: mark < 0 ? null : rest.slice(mark + 1), fragment }
  }
  const parse = (raw, base) => {
    const text = String(raw).replace(/^[\0-\x20]+|[\0-\x20]+$/g, '').replace(/[\t\n\r]/g, '')
    const m = /^([a-z][a-z0-9+.-]*):/i.exec(text)
    let protocol = m ? m[0].toLowerCase() : undefined
    let rest = m ? text.slice(m[0].length) : text
    const u = { username: '', password: '', hostname: null, port: '', path: [], opaque: null, query: null, fragment: null }
    let special = protocol in ports
    if (protocol !== undefined && special && base?.protocol === protocol && protocol !== 'file:' && !/^[/\\]/.test(rest)) protocol = undefined // "https:path"
    const relative = protocol === undefined
    if (relative) {
      if (base === undefined || (base.opaque !== null && !text.startsWith('#'))) throw bad(raw)
      protocol = base.protocol
      special = protocol in ports
    }
    u.protocol = protocol
    const part = split(rest)
    let path = special ? part.path.replaceAll('\\', '/') : part.path
    let authority
    if (special && protocol !== 'file:' ? (!relative || /^\/\//.test(path)) : /^\/\//.test(path)) {
      path = special && !relative && protocol !== 'file:' ? path.replace(/^\/*/, '') : path.slice(2)
      const end = path.indexOf('/')
      authority = end < 0 ? path : path.slice(0, end)
      path = end < 0 ? '' : path.slice(end)
    }
    if (authority !== undefined) {
      const at = authority.lastIndexOf('@')
      if (at >= 0) {
        const [user, ...password] = authority.slice(0, at).split(':')
        u.username = encode(user, inUser)
        u.password = encode(password.join(':'), inUser)
        authority = authority.slice(at + 1)
      }
      const port = /:(\d*)$/.exec(authority)
      if (port) {
        if (Number(port[1]) > 65535) throw bad(raw)
        u.port = port[1] === '' ? '' : String(Number(port[1]))
        if (u.port === ports[protocol]) u.port = ''
        authority = authority.slice(0, port.index)
      }
      if (authority === '' && special && protocol !== 'file:') throw bad(raw)
      u.hostname = authority === '' ? '' : hostOf(authority, special, raw)
      if (protocol === 'file:' && u.hostname === 'localhost') u.hostname = ''
    } else if (relative) {
      Object.assign(u, { username: base.username, password: base.password, hostname: base.hostname, port: base.port, opaque: base.opaque })
    } else if (protocol === 'file:') u.hostname = ''
    const segments = (p) => dots(p.slice(1).split('/').map((s) => encode(s, inPath)))
    if (authority === undefined && relative && path === '') {
      u.path = [...base.path]
      u.query = part.query === null ? base.query : part.query
    } else if (authority === undefined && relative && !path.startsWith('/')) {
      u.path = dots([...base.path.slice(0, -1), ...path.split('/').map((s) => encode(s, inPath))])
      u.query = part.query
    } else {
      if (!relative && !special && authority === undefined && !path.startsWith('/')) u.opaque = encode(path, inOpaque)
      else if (path !== '' || special) u.path = segments(path === '' || !path.startsWith('/') ? `/${path}` : path)
      u.query = part.query
    }
    if (u.query !== null) u.query = encode(u.query, special ? inSpecialQuery : inQuery)
    if (part.fragment !== null) u.fragment = encode(part.fragment, inFragment)
    return u
  }
  g.URL ??= class URL {
    #u
    #params
    constructor(url, base) {
      this.#u = parse(url, base === undefined ? undefined : parse(base))
    }
    get searchParams() {
      if (this.#params === undefined) {
        this.#params = new g.URLSearchParams(this.#u.query ?? '')
        this.#params.changed = () => void (this.#u.query = this.#params.size === 0 ? null : String(this.#params))
      }
      return this.#params
    }
    get protocol() { return this.#u.protocol }
    get username() { return this.#u.username }
    get password() { return this.#u.password }
    get hostname() { return this.#u.hostname ?? '' }
    get port() { return this.#u.port }
    get host() { return this.hostname + (this.port ? `:${this.port}` : '') }
    get origin() { return this.protocol in ports && this.protocol !== 'file:' ? `${this.protocol}//${this.host}` : 'null' }
    get pathname() { return this.#u.opaque ?? this.#u.path.map((s) => `/${s}`).join('') }
    get search() { return this.#u.query ? `?${this.#u.query}` : '' }
    get hash() { return this.#u.fragment ? `#${this.#u.fragment}` : '' }
    get href() {
      const u = this.#u
      const user = u.username || u.password ? `${u.username}${u.password ? `:${u.password}` : ''}@` : ''
      return `${u.protocol}${u.hostname === null ? '' : `//${user}${this.host}`}${this.pathname}${u.query === null ? '' : `?${u.query}`}${u.fragment === null ? '' : `#${u.fragment}`}`
    }
    set href(v) { this.#u = parse(v); this.#params = undefined }
    #put(change) {
      try {
        this.#u = { ...this.#u, ...change() }
      } catch {}
    }
    set protocol(v) { this.#put(() => ({ protocol: `${String(v).replace(/:.*$/s, '').toLowerCase()}:` })) }
    set username(v) { this.#put(() => ({ username: encode(String(v), inUser) })) }
    set password(v) { this.#put(() => ({ password: encode(String(v), inUser) })) }
    set hostname(v) { this.#put(() => ({ hostname: hostOf(String(v), this.protocol in ports) })) }
    set port(v) { this.#put(() => ({ port: String(v) === ports[this.protocol] ? '' : String(v) })) }
    set host(v) { this.#put(() => { const u = parse(`${this.protocol}//${v}`); return { hostname: u.hostname, port: u.port } }) }
    set pathname(v) { this.#put(() => (this.#u.opaque !== null ? {} : { path: parse(`${this.protocol}//h/${String(v).replace(/^[/\\]/, '').replace(/[?#]/g, (c) => hex(c.charCodeAt(0)))}`).path })) }
    set search(v) { this.#put(() => ({ query: String(v) === '' ? null : encode(String(v).replace(/^\?/, ''), this.protocol in ports ? inSpecialQuery : inQuery) })); this.#params = undefined }
    set hash(v) { this.#put(() => ({ fragment: String(v) === '' ? null : encode(String(v).replace(/^#/, ''), inFragment) })) }
    toString() { return this.href }
    toJSON() { return this.href }
    static canParse(u, b) {
      try {
        new g.URL(u, b)
        return true
      } catch {
        return false
      }
    }
    static parse(u, b) { return g.URL.canParse(u, b) ? new g.URL(u, b) : null }
  }
})()
