// The page: headgate's generated helper and the stock OpenFeature provider for OFREP. window.page is what the demo asks.
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider'
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk'
import { cacheKeyGenerator, emitVersion, flagContext, HEADGATE_RELEASE, identityOf } from 'todo/headgate.generated.ts'
import { schema } from 'todo/schema.ts'

const { server, token, storeId } = JSON.parse(decodeURIComponent(location.hash.slice(1)))
const identity = identityOf(storeId)
await OpenFeature.setContext(flagContext(identity))
const headers: [string, string][] = [['Authorization', `Bearer ${token}`]]
await OpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl: server, pollInterval: 0, headers, cacheKeyGenerator }))
const flags = OpenFeature.getClient()
const emits = () => emitVersion(schema, 'TodoCreated', flags.getStringValue('event.TodoCreated', 'v1.TodoCreated'))

// When the page knew of which version, by its own clock.
const changes = [{ at: Date.now(), emits: emits() }]
const show = () => {
  document.body.textContent = `${HEADGATE_RELEASE} emits ${emits()} in ${storeId}`
}
flags.addHandler(ProviderEvents.ConfigurationChanged, () => {
  changes.push({ at: Date.now(), emits: emits() })
  show()
})
show()
Object.assign(globalThis, { page: { emits, changes: () => changes, sessionId: identity.sessionId } })
