// A real Chromium, and a server of built pages for it.
import { spawn } from 'node:child_process'
import { createReadStream, existsSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { chromium } from 'playwright-core'

const types = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' }

/** Serves the pages in dist. The origin's port is part of where OPFS lies. */
export const serve = async (dist, port = 0) => {
  const server = createServer((request, response) => {
    const path = join(dist, normalize(new URL(request.url, 'http://x').pathname.replace(/\/$/, '/index.html')))
    if (!existsSync(path)) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' })
    createReadStream(path).pipe(response)
  })
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve))
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }
}

/** Starts a browser with a profile on disk; kill ends it, and all that it started, with SIGKILL. */
export const launch = async (executable, profile) => {
  const activePort = join(profile, 'DevToolsActivePort')
  for (const name of ['DevToolsActivePort', 'SingletonLock', 'SingletonCookie', 'SingletonSocket']) rmSync(join(profile, name), { force: true })
  const child = spawn(
    executable,
    ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'],
    { stdio: 'ignore', detached: true },
  )
  const ended = new Promise((resolve) => child.on('exit', resolve))
  for (let i = 0; !existsSync(activePort) || readFileSync(activePort, 'utf8').split('\n').length < 2; i++) {
    if (i === 400) throw new Error('the browser did not start')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const [debugPort] = readFileSync(activePort, 'utf8').split('\n')
  const cdp = await chromium.connectOverCDP(`http://127.0.0.1:${debugPort}`)
  const kill = async () => {
    process.kill(-child.pid, 'SIGKILL')
    await ended
  }
  return { cdp, kill }
}

/** Opens a tab, and gathers the last words of its console. */
export const open = async (context) => {
  const page = await context.newPage()
  const log = []
  page.on('console', (message) => log.push(message.text().slice(0, 300)))
  page.on('pageerror', (error) => log.push(String(error).slice(0, 300)))
  return { page, log }
}

export const within = (ms, promise) =>
  Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error('timeout')), ms))])
