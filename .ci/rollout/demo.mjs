// node demo.mjs ROOT TMP: the story, told by what headgate prints and by what real clients do. TMP/todo is a copy of the example
// app, TMP/flag the program that asks for a flag with the stock Go client. It ends with 1 where something is not as it says.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [root, tmp] = process.argv.slice(2)
const app = join(tmp, 'todo')
const packages = join(root, 'cmd/headgate/internal/server/testdata/clients')
const proofs = join(root, 'internal/codegen/testdata/app')
const rollout = 'todo-created-v2'
const v1 = 'v1.TodoCreated'
const v2 = 'v2.TodoCreated'
const env = { ...process.env, NO_COLOR: '1', HEADGATE_ACTOR: 'ana' }
const began = Date.now()

// ---- telling, and holding to it

const say = (text) => console.log(`\n# ${text}`)
const tell = (text) => console.log(`  ${text}`)
const must = (what, holds, saw) => {
  if (holds) return tell(what)
  throw new Error(`not so: ${what}\n${typeof saw === 'string' ? saw : JSON.stringify(saw, null, 1)}`)
}

/** Runs a program in the app's directory. */
const run = (program, ...args) =>
  new Promise((resolve, reject) => {
    execFile(program, args, { cwd: app, env, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(' ')}: ${error.code}\n${stdout}${stderr}`))
      else resolve(stdout)
    })
  })
/** Shows a command of headgate and what it prints. */
const show = async (...args) => {
  console.log(`$ headgate ${args.map((arg) => (/[ *]/.test(arg) ? JSON.stringify(arg) : arg)).join(' ')}`)
  const out = await run('headgate', ...args)
  process.stdout.write(out)
  return out
}
/** Waits for a fact. */
const eventually = async (what, look) => {
  let saw
  for (const end = Date.now() + 60_000; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const found = await look((value) => (saw = value))
    if (found) return found
    if (Date.now() > end) throw new Error(`never so: ${what}\n${JSON.stringify(saw, null, 1)}`)
  }
}

// ---- what is left behind must end

const endings = []
const end = async () => {
  for (const ending of endings.reverse()) await ending()
}

/** Starts a program that stays, and gives its lines. */
const stay = (program, args) => {
  const child = spawn(program, args, { cwd: app, env, stdio: ['pipe', 'pipe', 'pipe'] })
  endings.push(() => child.kill('SIGKILL')) // where nobody ended it before
  let wrong = ''
  child.stderr.on('data', (data) => (wrong = (wrong + data).slice(-4000)))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, 'exit')
  return {
    child,
    said: () => wrong,
    tell: (line) => child.stdin.write(`${line}\n`),
    next: async () => {
      const { value, done } = await lines.next()
      if (done) throw new Error(`${program} ${args[0]} ended:\n${wrong}`)
      return value
    },
    end: async (how) => {
      if (how === undefined) child.stdin.end()
      else child.kill(how)
      await ended
    },
  }
}

// ---- a client of the app

let server
let serving
let clientToken
let sync
let select
/** The clients of builds that don't know v2. */
const old = []
/** Starts a real LiveStore client; ask gives it a command, and remembers what it answered last. */
const open = async (name, storeId, version, says = version) => {
  const options = { app, packages, version, says, storeId, clientId: name, dir: join(tmp, `${storeId}-${name}`), sync, server, token: clientToken }
  const program = stay(process.execPath, [join(root, '.ci/rollout/client.mjs'), JSON.stringify(options)])
  const client = { name, storeId, version, says, saw: JSON.parse(await program.next()) }
  let open = true
  client.ask = async (wants = {}) => {
    program.tell(JSON.stringify(wants))
    client.saw = JSON.parse(await program.next())
    return client.saw
  }
  client.leave = async () => {
    if (!open) return
    open = false
    await client.ask()
    await program.end()
    client.kept = await select(join(options.dir, storeId, 'eventlog@6.db'), 'SELECT name, schemaHash FROM eventlog')
  }
  if (says === '1.0.0') old.push(client)
  client.commits = async (id, event) => {
    const { emitted } = await client.ask({ add: id })
    must(`${name}, on ${says}, adds a todo in ${storeId}: ${emitted}`, emitted === event, client.saw)
  }
  return client
}

// ---- who looks at the rollout

let operator
const api = async (path) => {
  const response = await fetch(`${server}${path}`, { headers: { authorization: `Bearer ${operator}` } })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  return response.json()
}
const status = () => api(`/v1/rollouts/${rollout}?logs=false`)
const blockedBy = (s) => s.blocking.map(({ store, client }) => `${client} in ${store}`).sort().join(', ')
/** Waits until just these clients hold stores back. */
const awaitBlockers = (...names) => {
  const want = names.sort().join(', ')
  return eventually(`held back by ${want || 'nobody'}`, async (saw) => {
    const s = saw(await status())
    return blockedBy(s) === want && s
  })
}

/** What the stock Go client for OFREP is told. */
const askGo = async (storeId, version) => JSON.parse(await run(join(tmp, 'flag'), server, clientToken, 'event.TodoCreated', storeId, version))
const goIsTold = async (storeId, version, event) => {
  const what = `the stock Go client, for a build of ${version} in ${storeId}, is told ${event}`
  await eventually(what, async (saw) => saw(await askGo(storeId, version)).value === event)
  tell(what)
}

/** What the backend has of a store: headgate reads it. */
const exported = async (storeId) => JSON.parse(await run('headgate', 'log', 'export', '--env', 'prod', '--store', storeId)).events

// ---- a page in a real browser

const openPage = async (storeId) => {
  const from = createRequire(join(app, 'package.json'))
  const { build } = from('esbuild')
  const dist = join(tmp, 'page')
  await build({
    entryPoints: [join(root, '.ci/rollout/page.ts')],
    outfile: join(dist, 'page.js'),
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    nodePaths: [join(packages, 'node_modules'), join(app, 'node_modules')],
    alias: { todo: join(app, 'history/1.1.0/livestore') },
    define: { 'process.env.NODE_ENV': '"production"' },
    logLevel: 'error',
  })
  writeFileSync(join(dist, 'index.html'), '<!doctype html><title>todo</title><body></body><script type="module" src="page.js"></script>')
  const pages = createServer((request, response) => {
    const script = request.url === '/page.js'
    if (!script && request.url !== '/') return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': script ? 'text/javascript' : 'text/html' })
    createReadStream(join(dist, script ? 'page.js' : 'index.html')).pipe(response)
  })
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve))
  endings.push(() => pages.close())
  const { chromium } = createRequire(join(proofs, 'package.json'))('playwright-core')
  const executablePath = (await run('bash', '-c', 'command -v chromium || command -v chromium-browser || command -v google-chrome')).trim()
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
  endings.push(() => browser.close())
  const tab = await browser.newPage()
  const wrong = []
  tab.on('pageerror', (error) => wrong.push(String(error)))
  tab.on('console', (message) => message.type() === 'error' && wrong.push(message.text()))
  const hash = encodeURIComponent(JSON.stringify({ server, token: clientToken, storeId }))
  await tab.goto(`http://127.0.0.1:${pages.address().port}/#${hash}`)
  await tab.waitForFunction(() => globalThis.page !== undefined, undefined, { timeout: 30_000 }).catch((cause) => {
    throw new Error(`the page did not start: ${wrong.join('; ')}`, { cause })
  })
  /** Waits until the page emits an event, and gives the time at which it knew, by its own clock. */
  const until = async (event) => {
    await tab.waitForFunction((event) => globalThis.page.changes().at(-1).emits === event, event, { timeout: 30_000 })
    return tab.evaluate(() => globalThis.page.changes().at(-1).at)
  }
  return { until, version: await browser.version(), emits: () => tab.evaluate(() => globalThis.page.emits()) }
}

// ---- the story

const setUp = async () => {
  await run('headgate', 'init')
  const own = join(app, 'backend/src/headgate.worker.ts')
  rmSync(own)
  await run('headgate', 'generate', '--worker', 'backend/src/worker.ts')
  for (const version of ['1.0.0', '1.1.0']) {
    await run(process.execPath, 'scripts/checkout.mjs', version)
    await run('headgate', 'generate', '--release', version)
    await run('headgate', 'release', 'add', version)
    cpSync(join(app, 'src/livestore'), join(app, 'history', version, 'livestore'), { recursive: true }) // with the helper that says it
  }
  const port = await new Promise((resolve) => {
    const free = createServer().listen(0, '127.0.0.1', () => {
      const { port } = free.address()
      free.close(() => resolve(port))
    })
  })
  server = `http://127.0.0.1:${port}`
  const config = join(app, 'headgate.yaml')
  const before = readFileSync(config, 'utf8')
  writeFileSync(config, `${before}  prod:\n    stores: []\n`)
  const token = async (...args) => JSON.parse(await run('headgate', 'token', 'create', '--env', 'prod', '--format', 'json', ...args)).token
  const worker = await token('--role', 'worker')
  clientToken = await token('--role', 'client')
  operator = await token('--role', 'operator', '--for', 'ana')
  ;({ select } = await import(pathToFileURL(join(app, 'scripts/sqlite.mjs')).href))
  Object.assign(env, { HEADGATE_URL: server, HEADGATE_TOKEN: worker, HEADGATE_FLOOR_MS: '200', HEADGATE_SAMPLE_MS: '200' })
  const backend = /sync-cf:(http\S+?)"/.exec(await run(process.execPath, 'scripts/serve.mjs', 'start'))[1]
  for (const name of ['HEADGATE_URL', 'HEADGATE_TOKEN', 'HEADGATE_FLOOR_MS', 'HEADGATE_SAMPLE_MS']) delete env[name]
  env.HEADGATE_TOKEN = operator
  sync = backend.replace('http', 'ws')
  const stores = ['team', 'shop', 'home'].map((id) => `      - {id: ${id}, log: "sync-cf:${backend}"}\n`).join('')
  writeFileSync(config, `${before}  prod:\n    fleet: {horizon: 30d}\n    auth: {payload: {authToken: todo}}\n    stores:\n${stores}`)
  mkdirSync(join(app, 'headgate/rollouts'), { recursive: true })
}

const serve = async () => {
  serving = stay('headgate', ['serve', '--env', 'prod', '--listen', server.slice('http://'.length), '--tick', '500ms'])
  endings.push(() => serving.end('SIGTERM'))
  await eventually('the server is ready', () => fetch(`${server}/readyz`).then((r) => r.ok, () => false))
}

const story = async () => {
  await setUp()
  say('v2.TodoCreated is out with 1.1.0, beside v1. A store may have it when all who are active there read it')
  await show('rollout', 'create', 'TodoCreated', '--to', 'v2')
  writeFileSync(join(app, 'headgate/rollouts', `${rollout}.yaml`), readFileSync(join(root, '.ci/rollout/rollout.yaml')))
  console.log(`$ cat headgate/rollouts/${rollout}.yaml\n${readFileSync(join(root, '.ci/rollout/rollout.yaml'), 'utf8').trimEnd()}`)
  await serve()

  say('Three clients of the store team: ann has 1.1.0, ben has 1.0.0, and cleo, on 1.0.0 too, only reads')
  const [ann, ben, cleo, page] = await Promise.all([
    open('ann', 'team', '1.1.0'), open('ben', 'team', '1.0.0'), open('cleo', 'team', '1.0.0'), openPage('team'),
  ])
  tell(`and a page of 1.1.0 in Chromium ${page.version}, with the stock web provider`)
  await ben.commits('ben-1', v1)
  await cleo.ask({ head: 1 })

  say('headgate has watched the stores for 35 days. fay, in the store home, was last seen on 1.0.0 almost 30 days ago')
  const day = 86_400_000
  const agesOut = 20_000
  const seen = (ago) => new Date(Date.now() - ago).toISOString()
  writeFileSync(join(app, 'seen.csv'), `storeId,clientId,release,lastSeen\nhome,hal,1.1.0,${seen(35 * day)}\nhome,fay,1.0.0,${seen(30 * day - agesOut)}\n`)
  await show('census', 'import', 'seen.csv', '--source', 'sync', '--env', 'prod')
  await show('rollout', 'start', rollout, '--env', 'prod', '--reason', '1.1.0 is out')
  await awaitBlockers('ben in team', 'cleo in team', 'fay in home')
  await show('rollout', 'status', rollout, '--env', 'prod')
  must('ben and cleo hold team back, though cleo never wrote; fay holds home back', true)
  await ann.commits('ann-1', v1)
  must(`the page emits ${v1}`, (await page.emits()) === v1)
  await goIsTold('team', '1.1.0', v1)

  say('ben upgrades. cleo still holds team back')
  await ben.leave()
  const ben2 = await open('ben', 'team', '1.1.0')
  await awaitBlockers('cleo in team', 'fay in home')
  await ann.commits('ann-2', v1)
  await cleo.ask({ head: 3 })

  say('cleo upgrades: team opens, and who is there hears of it')
  await cleo.leave()
  const cleo2 = await open('cleo', 'team', '1.1.0')
  await ann.ask({ flag: v2 })
  await page.until(v2)
  must(`the page emits ${v2}`, (await page.emits()) === v2)
  await goIsTold('team', '1.1.0', v2)
  await goIsTold('team', '1.0.0', v1)
  await ann.commits('ann-3', v2)
  for (const reader of [ben2, cleo2]) {
    await reader.ask({ head: 4 })
    must(`${reader.name} has it: ${reader.saw.todos.length} todos, nothing skipped`, reader.saw.todos.includes('ann-3') && Object.keys(reader.saw.skipped).length === 0, reader.saw)
  }

  say('fay has been away for 30 days: home opens')
  await awaitBlockers()
  await goIsTold('home', '1.1.0', v2)

  say('In the store shop, dan only reads, and does not update')
  const [dan, eva] = await Promise.all([open('dan', 'shop', '1.0.0'), open('eva', 'shop', '1.1.0')])
  await awaitBlockers('dan in shop')
  await eva.commits('eva-1', v1)
  await dan.ask({ head: 1 })
  await show('floor', 'set', '1.1.0', '--env', 'prod', '--reason', 'reads v2', '--dry-run')
  await show('floor', 'set', '1.1.0', '--env', 'prod', '--reason', 'reads v2')
  // Whoever is connected is cut off before the next push is sent on.
  await eventually('dan is cut off', async (saw) => {
    await eva.ask({ add: `eva-${Date.now()}` })
    return saw(await dan.ask()).connected === false
  })
  await dan.ask({ below: true })
  must('dan is turned away, and his app tells him to update to 1.1.0', dan.saw.below === '1.1.0', dan.saw)
  await eva.ask({ flag: v2 })
  tell('shop opens')
  await eva.commits('eva-last', v2)

  say('fay is back after all, with what she had. Events of v2 are in home by now')
  const hal = await open('hal', 'home', '1.1.0')
  await hal.commits('hal-1', v2)
  await hal.ask({ head: 1 })
  const fay = await open('fay', 'home', '1.0.0')
  await fay.ask({ below: true })
  must('fay is turned away, too, before she gets any', fay.saw.below === '1.1.0' && fay.saw.head === 0, fay.saw)

  say("gus's build says 1.1.0, but a bad merge lost v2 in it. No floor and no gate can know that; what his app skips tells")
  const gus = await open('gus', 'team', '1.0.0', '1.1.0')
  await gus.ask({ skips: 1 })
  tell(`gus skips ${JSON.stringify(gus.saw.skipped)}`)
  const paused = await eventually('the rollout is paused', async (saw) => saw(await status()).paused)
  must(`it is paused by ${paused.by}: ${paused.reason}`, paused.by === 'controller' && paused.reason.includes('unknown'), paused)
  await show('rollout', 'status', rollout, '--env', 'prod')

  say('The rollout is aborted')
  const sent = Date.now()
  await show('rollout', 'abort', rollout, '--env', 'prod', '--reason', 'v2 shows the wrong priority', '--server', server)
  const knew = await page.until(v1)
  const { entries } = await api(`/v1/rollouts/${rollout}/history`)
  const aborted = Date.parse(entries.findLast(({ action }) => action.endsWith('abort')).at)
  must(`the page emits ${v1} ${knew - aborted} ms after the abort, ${knew - sent} ms after the command was typed: over SSE, it never polls`, knew - aborted < 1000, { sent, aborted, knew })
  await ann.ask({ flag: v1 })
  await ann.commits('ann-last', v1)
  await goIsTold('team', '1.1.0', v1)
  await ann.ask({ head: 5 })

  say('What is committed stays, so the readers of v2 stay, too. The logs say who wrote what')
  await show('log', 'stats', '--env', 'prod')
  for (const client of old) {
    await client.leave()
    const log = await exported(client.storeId)
    const had = log.filter(({ seqNum }) => seqNum <= client.saw.head)
    const skipped = Object.keys(client.saw.skipped).length
    must(
      `${client.name} on ${client.says}: ${client.saw.head} of the ${log.length} events of ${client.storeId} reached this build, none of v2; skipped ${skipped}`,
      skipped === 0 && [...had, ...client.kept].every(({ name }) => name !== v2),
      { had, kept: client.kept, saw: client.saw },
    )
    if (!log.some(({ name }) => name === v2)) throw new Error(`no event of v2 is in ${client.storeId}: nothing was proven`)
  }
}

try {
  await story()
  console.log(`\nTook ${Math.round((Date.now() - began) / 1000)} s.`)
} catch (error) {
  process.exitCode = 1
  console.error(`rollout-demo: ${error.stack}`)
  if (serving) console.error(`\nheadgate serve said:\n${serving.said()}`)
}
await end()
process.exit()
