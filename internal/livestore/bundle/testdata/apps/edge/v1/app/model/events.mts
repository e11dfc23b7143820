import * as LS from '@livestore/livestore'
import { kinds, nameOf } from './names.mjs'
// A circular import: tables reads event names lazily, events reads the kinds of tables.
import { tableNames } from './tables.mjs'

const { Events, Schema } = LS
export namespace Wire {
  export const Id = Schema.String
  export const Kind = Schema.Literal(...kinds)
}

export const definitions = {
  [nameOf('Noted', 1)]: Events.synced({
    name: nameOf('Noted', 1),
    schema: Schema.Struct({ id: Wire.Id, kind: Wire.Kind, n: Schema.BigInt, table: Schema.suspend(() => Schema.Literal(...tableNames())) }),
    facts: ({ id }: { id: string }) => ({ modify: { set: [['noted', id]] } }),
  } as never),
  [nameOf('Noted', 2)]: Events.synced({
    name: nameOf('Noted', 2),
    schema: Schema.Struct({ id: Wire.Id, old: Schema.optional(Schema.String).pipe(LS.deprecated?.('use id') ?? ((x: any) => x)) }),
  } as never),
  cleared: Events.synced({ name: 'v1.Cleared', schema: Schema.Void as never, deprecated: 'nothing is cleared any more' } as never),
  ping: Events.synced({ name: 'v1.Ping', schema: Schema.Struct({}) }),
  nested: Events.synced({ name: 'v1.Nested', schema: Schema.Struct({ ids: Schema.Array(Schema.String) }) }),
  plain: Events.synced({ name: 'plainName', schema: Schema.Struct({ "it's": Schema.String, 'a"b': Schema.optional(Schema.Number) }) }),
} satisfies Record<string, unknown>
