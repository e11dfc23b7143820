// node web.mjs '{"dist": DIR, "profile": DIR, "chromium": PATH, "steps": [STEP…]}'
// Opens the built page in a real Chromium with a profile on disk, step by step, and prints what each step saw as JSON.
//   {"start": {…}, "commit": ["v1", FIRST, COUNT], "flush": true}    boots, commits, and reports the state
//   {"start": {…, "stopAtEvent": N}, "kill": true}                   boots, and kills the browser when the leader blocks
// "beside": true leaves the page of the step before open, as another tab.
import { spawn } from 'node:child_process'
import { createReadStream, existsSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { chromium } from 'playwright-core'

const { dist, profile, chromium: executable, port, steps } = JSON.parse(process.argv[2])
const types = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' }
const server = createServer((request, response) => {
  const path = join(dist, normalize(new URL(request.url, 'http://x').pathname.replace(/\/$/, '/index.html')))
  if (!existsSync(path)) return response.writeHead(404).end()
  response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' })
  createReadStream(path).pipe(response)
})
// The origin's port is part of where OPFS lies, so it has to be the same for all steps.
await new Promise((resolve) => server.listen(port ?? 0, '127.0.0.1', resolve))
const origin = `http://127.0.0.1:${server.address().port}`

let browser
const launch = async () => {
  const activePort = join(profile, 'DevToolsActivePort')
  for (const name of ['DevToolsActivePort', 'SingletonLock', 'SingletonCookie', 'SingletonSocket']) rmSync(join(profile, name), { force: true })
  const child = spawn(
    executable,
    ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'],
    { stdio: 'ignore', detached: true },
  )
  const ended = new Promise((resolve) => child.on('exit', resolve))
  const kill = async () => {
    process.kill(-child.pid, 'SIGKILL')
    await ended
    browser = undefined
  }
  for (let i = 0; !existsSync(activePort) || readFileSync(activePort, 'utf8').split('\n').length < 2; i++) {
    if (i === 400) throw new Error('the browser did not start')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const [debugPort] = readFileSync(activePort, 'utf8').split('\n')
  const cdp = await chromium.connectOverCDP(`http://127.0.0.1:${debugPort}`)
  browser = { cdp, kill }
}

const seen = []
for (const { start, commit, flush, kill, beside, timeout = 60_000 } of steps) {
  if (browser === undefined) await launch()
  if (beside !== true) for (const open of browser.cdp.contexts()[0].pages().slice(1)) await open.close()
  const page = await browser.cdp.contexts()[0].newPage()
  const log = []
  page.on('console', (message) => log.push(message.text().slice(0, 300)))
  page.on('pageerror', (error) => log.push(String(error).slice(0, 300)))
  await page.goto(`${origin}/#${encodeURIComponent(JSON.stringify(start))}`)
  const within = (promise) =>
    Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error('timeout')), timeout))])
  try {
    if (kill === true) {
      const stopped = await within(page.evaluate(() => globalThis.proof.stopped()))
      await browser.kill()
      seen.push({ stopped })
      continue
    }
    if (commit !== undefined) await within(page.evaluate((c) => globalThis.proof.commit(...c), commit))
    if (flush === true) await within(page.evaluate(() => globalThis.proof.flushed()))
    seen.push({ ...(await within(page.evaluate(() => globalThis.proof.state()))), ...(process.env.VERBOSE ? { log } : {}) })
  } catch (error) {
    seen.push({ failed: String(error).split('\n')[0], log: log.slice(-5) })
  }
}
await browser?.kill()
server.close()
console.log(JSON.stringify(seen))
process.exit(0)
