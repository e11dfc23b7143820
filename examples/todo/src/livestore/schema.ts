import { makeSchema, State } from '@livestore/livestore'
import { events } from './events.ts'
import { withHeadgate } from './headgate.generated.ts'
import { materializers } from './materializers.ts'
import { tables } from './tables.ts'
import { reportUnknownEvent } from './telemetry.ts'

export const schema = makeSchema({
  events,
  state: State.SQLite.makeState(withHeadgate({ tables, materializers })),
  unknownEventHandling: {
    strategy: 'callback',
    onUnknownEvent: ({ event }) => reportUnknownEvent(event),
  },
})
