// Fetches the page again when the server says that something may have changed. Whoever is about to type, or has moved the
// focus into the page, is left alone until then.
'use strict'
let busy = false
const events = new EventSource('/events')
events.addEventListener('look', async () => {
  const main = document.querySelector('main')
  if (busy || document.hidden || main.contains(document.activeElement) || main.querySelector('details[open]')) return
  busy = true
  try {
    const answer = await fetch(location.href, { headers: { 'Headgate-Live': '1' } })
    if (answer.status === 401) location.assign('/sign-in')
    if (!answer.ok) return
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('main')
    if (!main.contains(document.activeElement) && !main.querySelector('details[open]')) main.replaceWith(next)
  } catch {
    // the server is away; the stream comes back when it does
  } finally {
    busy = false
  }
})
