// node dashboard.mjs '{"proofs": DIR, "chromium": PATH, "profile": DIR, "url": URL, "token": TOKEN}'
// Uses the dashboard in a real Chromium, and prints what it saw as JSON.
const { proofs, chromium, profile, url, token } = JSON.parse(process.argv[2])
const { launch, open } = await import(`${proofs}/chromium.mjs`)
const browser = await launch(chromium, profile)
const seen = {}
try {
  const context = await browser.cdp.newContext({ colorScheme: 'light', viewport: { width: 1200, height: 900 } })
  const { page, log } = await open(context)
  const main = (p = page) => p.locator('main').innerText()
  await page.goto(`${url}/`)
  await page.getByLabel('Token').fill(token)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  seen.signedIn = await main()
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme })
    for (const at of ['', 'rollouts/promote', 'fleet', 'audit']) {
      await page.goto(`${url}/${at}`)
      await page.getByRole('heading').first().waitFor()
    }
  }

  // Somebody else aborts: the page that is only open shows it.
  await page.goto(`${url}/rollouts/approve`)
  const began = Date.now()
  await fetch(`${url}/v1/rollouts/approve/abort`, {
    method: 'POST', body: '{"reason":"elsewhere"}', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  })
  await page.locator('.badge.aborted').waitFor({ timeout: 10_000 })
  seen.liveMs = Date.now() - began
  seen.live = await main()

  // One click and a reason, with the keyboard alone.
  await page.goto(`${url}/rollouts/promote`)
  await page.getByText('Abort…').focus()
  await page.keyboard.press('Enter')
  await page.keyboard.press('Tab')
  await page.keyboard.type('typed with care')
  await page.keyboard.press('Enter')
  await page.locator('.badge.aborted').waitFor({ timeout: 10_000 })
  seen.aborted = await main()

  const plain = await browser.cdp.newContext({ javaScriptEnabled: false })
  const without = await plain.newPage()
  await without.goto(`${url}/`)
  await without.getByLabel('Token').fill(token)
  await without.getByRole('button', { name: 'Sign in' }).click()
  await without.goto(`${url}/rollouts/promote`)
  seen.without = await main(without)
  await without.getByRole('button', { name: 'Sign out' }).click()
  await without.goto(`${url}/fleet`)
  seen.outside = without.url()
  seen.complaints = log
} finally {
  await browser.kill()
}
console.log(JSON.stringify(seen))
process.exit(0)
