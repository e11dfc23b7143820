// The stock web provider in node, with undici's EventSource. Prints a line of JSON per thing that happens; the test
// changes the flags and reads on.
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider'
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk'
import { EventSource } from 'undici'

globalThis.EventSource = EventSource
const [baseUrl, token] = process.argv.slice(2)
const say = (what) => console.log(JSON.stringify(what))

const statuses = []
const fetchImplementation = async (...args) => {
  const response = await fetch(...args)
  statuses.push(response.status)
  return response
}
const provider = new OFREPWebProvider({
  baseUrl,
  pollInterval: 0,
  fetchImplementation,
  headers: [['Authorization', `Bearer ${token}`]],
})
await OpenFeature.setContext({ targetingKey: 'u1', storeId: 's1', appVersion: '1.3.0' })
await OpenFeature.setProviderAndWait(provider)
const client = OpenFeature.getClient()
const ask = () => client.getStringDetails('event.TodoCreated', 'own default')
client.addHandler(ProviderEvents.ConfigurationChanged, () => say({ changed: ask().value, statuses }))
say({ value: ask().value, reason: ask().reason })

// A session that is updated must not stay on what the old build got.
await OpenFeature.setContext({ targetingKey: 'u1', storeId: 's1', appVersion: '1.5.0' })
say({ value: ask().value, reason: ask().reason, variant: ask().variant })
process.stdin.resume()
process.stdin.on('end', async () => {
  await OpenFeature.close()
  process.exit(0)
})
