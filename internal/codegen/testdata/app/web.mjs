// node web.mjs '{"dist": DIR, "profile": DIR, "chromium": PATH, "steps": [STEP…]}'
// Opens the built page in a real Chromium with a profile on disk, step by step, and prints what each step saw as JSON.
//   {"start": {…}, "commit": ["v1", FIRST, COUNT], "flush": true}    boots, commits, and reports the state
//   {"start": {…, "stopAtEvent": N}, "kill": true}                   boots, and kills the browser when the leader blocks
// "beside": true leaves the page of the step before open, as another tab.
import { launch, open, serve, within } from './chromium.mjs'

const { dist, profile, chromium, port, steps } = JSON.parse(process.argv[2])
const server = await serve(dist, port)
let browser
const seen = []
for (const { start, commit, flush, kill, beside, timeout = 60_000 } of steps) {
  browser ??= await launch(chromium, profile)
  const [context] = browser.cdp.contexts()
  if (beside !== true) for (const before of context.pages().slice(1)) await before.close()
  const { page, log } = await open(context)
  await page.goto(`${server.origin}/#${encodeURIComponent(JSON.stringify(start))}`)
  try {
    if (kill === true) {
      const stopped = await within(timeout, page.evaluate(() => globalThis.proof.stopped()))
      await browser.kill()
      browser = undefined
      seen.push({ stopped })
      continue
    }
    if (commit !== undefined) await within(timeout, page.evaluate((c) => globalThis.proof.commit(...c), commit))
    if (flush === true) await within(timeout, page.evaluate(() => globalThis.proof.flushed()))
    seen.push({ ...(await within(timeout, page.evaluate(() => globalThis.proof.state()))), ...(process.env.VERBOSE ? { log } : {}) })
  } catch (error) {
    seen.push({ failed: String(error).split('\n')[0], log: log.slice(-5) })
  }
}
await browser?.kill()
server.close()
process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0)) // a pipe takes no more than it has room for at once
