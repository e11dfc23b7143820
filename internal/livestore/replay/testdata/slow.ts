import { Events, Schema } from '@livestore/livestore'
import { make } from './schema.ts'

const spin = () => {
  for (;;);
}
export const schema = make(undefined, undefined, {
  events: { slow: Events.synced({ name: 'v1.Slow', schema: Schema.Struct({}) }) },
  materializers: { 'v1.Slow': spin },
})
