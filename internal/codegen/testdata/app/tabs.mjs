// node tabs.mjs '{"dist": DIR, "profile": DIR, "chromium": PATH, "steps": [[TAB…]…]}'
// Opens several tabs of the built page in a real Chromium, those of a step at the same time, and prints what each of them
// saw as JSON.
//   {"tab": NAME, "context": NAME, "start": {…}}                the tab is opened, or reloaded, in a context of its own files
//   {"tab": NAME, "context": NAME, "start": {…}, "commits": N}  … and left when it has committed so often, for a reload
// "close": true closes it when it has been asked.
import { launch, open, serve, within } from './chromium.mjs'

const { dist, profile, chromium, steps } = JSON.parse(process.argv[2])
const server = await serve(dist)
const browser = await launch(chromium, profile)
const contexts = {}
const tabs = {}
const ask = async ({ tab, context, start, commits, close }) => {
  contexts[context] ??= browser.cdp.newContext()
  tabs[tab] ??= open(await contexts[context])
  const { page, log } = await tabs[tab]
  try {
    const hash = `#${encodeURIComponent(JSON.stringify(start))}`
    if (page.url() === 'about:blank') await page.goto(`${server.origin}/${hash}`)
    else {
      await page.evaluate((to) => history.replaceState(null, '', to), hash)
      await page.reload()
    }
    if (commits === undefined) return await within(60_000, page.evaluate(() => globalThis.proof.seen()))
    await page.waitForFunction((n) => globalThis.proof?.commits() >= n, commits, { timeout: 60_000 })
    return {}
  } catch (error) {
    const at = await within(1000, page.evaluate(() => globalThis.proof?.at())).catch(String)
    return { failed: `${String(error).split('\n')[0]} at ${at}; ${log.slice(-5).join('; ')}` }
  } finally {
    if (close === true) {
      await page.close()
      delete tabs[tab]
    }
  }
}
const seen = []
for (const step of steps) seen.push(await Promise.all(step.map(ask)))
await browser.kill()
server.close()
process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0)) // a pipe takes no more than it has room for at once
