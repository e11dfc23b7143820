// node drive.mjs DIST CHROMIUM: opens the page of 1.2.0, reloads it, lets the same tab go on as 1.3.0, and opens a second
// tab beside it. Each commits one event, but for the reload. Prints what each saw.
import { createReadStream, existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { chromium } from 'playwright-core'

const [dist, executablePath] = process.argv.slice(2)
const types = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' }
const server = createServer((request, response) => {
  const path = join(dist, normalize(new URL(request.url, 'http://x').pathname.replace(/\/$/, '/index.html')))
  if (!existsSync(path)) return response.writeHead(404).end()
  response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' })
  createReadStream(path).pipe(response)
})
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const origin = `http://127.0.0.1:${server.address().port}`
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
const context = await browser.newContext()
const ask = async (page, id, rows) => {
  await page.waitForFunction(() => globalThis.helper !== undefined)
  return page.evaluate(([id, rows]) => globalThis.helper(id ?? undefined, rows), [id, rows])
}
const tab = await context.newPage()
tab.on('pageerror', (error) => console.error(String(error)))
await tab.goto(`${origin}/1.2.0/`)
const first = await ask(tab, 'a', 1)
await tab.reload()
const reloaded = await ask(tab, null, 1)
await tab.goto(`${origin}/1.3.0/`)
const upgraded = await ask(tab, 'b', 2)
const other = await context.newPage()
await other.goto(`${origin}/1.3.0/`)
const beside = await ask(other, 'c', 3)
const both = await ask(tab, 'd', 4)
// The tab that came first, and leads, leaves the page; the other goes on, and the first one comes back to it.
await tab.goto('about:blank')
const alone = await ask(other, 'e', 5)
await tab.goBack()
const back = await ask(tab, 'f', 6)
await browser.close()
server.close()
process.stdout.write(JSON.stringify([first, reloaded, upgraded, beside, both, alone, back]), () => process.exit(0))
